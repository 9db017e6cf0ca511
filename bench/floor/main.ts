// `npm run bench:floor`: what the product costs over the floor, the shortest pipeline that the platform allows
// (naive-worker.ts), on the same engine under the same load.

import { fork } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOptions } from "../../scripts/options.ts";
import { conditionsNow, formatConditions } from "../conditions.ts";
import { engineVersion, type Subject, startEngine } from "./engine.ts";
import type { Job, Measure } from "./generator.ts";
import { faultsOf, type Load, makePoint, type Point } from "./point.ts";
import { type SubjectName, subjects } from "./subjects.ts";
import { formatTable } from "./table.ts";

const USAGE = `usage: npm run bench:floor [-- <option> …]

Puts load on the floor and on the product in turn and compares them. A point is a number of pairs of people, each with
a conversation of its own, and a window, the number of messages that each pair keeps in flight. Linux only.

  --points <list>    the loads as pairs x window (default 1x1,10x4,50x8,100x16)
  --only <subject>   measures one of: ${Object.keys(subjects).join(", ")}
  --seconds <n>      the measured time of each point and subject (default 8)
  --tmpfs            keeps the state in memory (/dev/shm), where a flush costs nothing
  --json             prints one JSON object
  --help

Ends with status 1 if the product lost, duplicated or reordered a message, or never answered one.`;

const BODY_BYTES = 1024;
const WARM_UP_SECONDS = 2;
const TMPFS_MAGIC = 0x01021994;

const options = readOptions(
  USAGE,
  {
    points: { type: "string", default: "1x1,10x4,50x8,100x16" },
    only: { type: "string" },
    seconds: { type: "string", default: "8" },
    tmpfs: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
  ({ only, tmpfs, json, points, seconds: time }) => {
    const chosen = (Object.entries(subjects) as [SubjectName, Subject][]).filter(([name]) => !only || name === only);
    if (chosen.length === 0) throw new Error(`no such subject: ${only}`);
    const seconds = Number(time);
    if (!(seconds > 0)) throw new Error(`not a time: ${time}`);
    return { loads: points.split(",").map(readLoad), subjects: chosen, seconds, tmpfs, json };
  },
);
const stateRoot = mkdtempSync(join(options.tmpfs ? "/dev/shm" : tmpdir(), "sandpiper-floor-"));
process.on("exit", () => rmSync(stateRoot, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const conditions = {
  engine: `workerd ${engineVersion}`,
  ...conditionsNow(),
  state: statfsSync(stateRoot).type === TMPFS_MAGIC ? "tmpfs" : "disk",
  warmUpSeconds: WARM_UP_SECONDS,
  seconds: options.seconds,
  bodyBytes: BODY_BYTES,
};
const conditionsLine = formatConditions(conditions);
console.error(conditionsLine);

const points: Point[] = [];
for (const load of options.loads) {
  const measures: Partial<Record<SubjectName, Measure>> = {};
  for (const [name, subject] of options.subjects) {
    const measured = await measure(subject, load);
    measures[name] = measured;
    const faults = faultsOf(measured);
    console.error(
      `${load.pairs}x${load.window} ${name}: ${Math.round(measured.messagesPerSecond)} messages/s` +
        (faults && `, but ${faults}`),
    );
    if (name === "product" && faults) process.exitCode = 1;
  }
  points.push(makePoint(load, measures));
}
console.log(options.json ? JSON.stringify({ conditions, points }) : `${conditionsLine}\n\n${formatTable(points)}`);

/** On a fresh engine with a fresh state, so that no measure bears what another left behind. */
async function measure(subject: Subject, load: Load): Promise<Measure> {
  const stateDirectory = mkdtempSync(join(stateRoot, "state-"));
  const engine = await startEngine(subject, stateDirectory);
  try {
    return await generateLoad({
      ...load,
      adapterUrl: subject.adapterUrl,
      origin: engine.origin,
      logFile: engine.logFile,
      enginePid: engine.pid,
      bodyBytes: BODY_BYTES,
      warmUpSeconds: WARM_UP_SECONDS,
      seconds: options.seconds,
    });
  } finally {
    await engine.stop();
    rmSync(stateDirectory, { recursive: true });
  }
}

function generateLoad(job: Job): Promise<Measure> {
  const { promise, resolve, reject } = Promise.withResolvers<Measure>();
  const generator = fork(new URL("generator.ts", import.meta.url), { stdio: ["ignore", 2, 2, "ipc"] });
  generator.on("message", (measured) => resolve(measured as Measure));
  generator.on("exit", () => reject(new Error("the load generator broke off")));
  generator.send(job);
  return promise;
}

function readLoad(text: string): Load {
  const [, pairs, window] = /^([1-9]\d*)x([1-9]\d*)$/.exec(text) ?? [];
  if (!pairs || !window) throw new Error(`not a point: ${text}`);
  return { pairs: Number(pairs), window: Number(window) };
}
