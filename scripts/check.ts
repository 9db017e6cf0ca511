// `npm run check`: everything that can be known without running the code. All of it runs, even if one part fails.

import { spawnSync } from "node:child_process";

const checks = [
  // All anew: an incremental build does not notice a change in what is declared globally.
  { name: "types", command: ["node_modules/typescript/bin/tsc", "-b", "--force"] },
  {
    name: "lint, format, import cycles",
    command: ["node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings"],
  },
  { name: "import rules", command: ["scripts/check-imports.ts"] },
  { name: "dead code", command: ["node_modules/knip/bin/knip.js", "--no-progress"] },
];

if (process.argv.includes("--help")) {
  console.log(`usage: npm run check\n\nRuns, one after another: ${checks.map(({ name }) => name).join("; ")}.`);
  process.exit();
}

let failed = 0;
for (const { name, command } of checks) {
  const { status } = spawnSync(process.execPath, command, { stdio: "inherit" });
  if (status !== 0) failed++;
  console.log(`${status === 0 ? "✓" : "✗"} ${name}`);
}

console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
