// `npm run bench:mls`: what encryption costs a device, in time and bytes, in groups of several sizes.

import type { Suite } from "../../client/mls/mls.ts";
import { readOptions } from "../../scripts/options.ts";
import { conditionsNow, formatConditions } from "../conditions.ts";
import { type Measured, measureGroup } from "./measure.ts";
import { formatTables } from "./table.ts";

const USAGE = `usage: npm run bench:mls [-- <option> …]

Makes groups of 2, 32, 256 and 1,024 devices with the suite of Curve25519 and of 2 and 32 with the hybrid one, in this
process alone, and measures each thing that a device does there, and what the gateway does with a commit: medians, in
milliseconds and bytes. Groups are measured as they are after one device has added all others, and up to 256 also after
every device has renewed its keys once.

  --json   prints one JSON object
  --help`;

const groups: readonly { suite: Suite; devices: number; isWarmed: boolean }[] = [
  { suite: 1, devices: 2, isWarmed: false },
  { suite: 1, devices: 32, isWarmed: true },
  { suite: 1, devices: 256, isWarmed: true },
  { suite: 1, devices: 1_024, isWarmed: false },
  { suite: 83, devices: 2, isWarmed: false },
  { suite: 83, devices: 32, isWarmed: true },
];

const options = readOptions(USAGE, { json: { type: "boolean" } });
const conditions = { ...conditionsNow(), bodyBytes: 1024 };
const conditionsLine = formatConditions(conditions);
console.error(conditionsLine);

// What was not run before is slow once.
for (const suite of [1, 83] as const) await measureGroup({ suite, devices: 4, isWarmed: true });
const measured: Measured[] = [];
for (const group of groups) {
  const before = performance.now();
  measured.push(...(await measureGroup(group)));
  const seconds = ((performance.now() - before) / 1000).toFixed(1);
  console.error(`suite ${group.suite}, ${group.devices} devices: ${seconds} s`);
}
console.log(
  options.json ? JSON.stringify({ conditions, groups: measured }) : `${conditionsLine}\n\n${formatTables(measured)}`,
);
