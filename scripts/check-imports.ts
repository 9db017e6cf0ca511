// Which room may import what: the one-way rule `shared ← core, store ← object ← gateway`, `shared ← push`,
// `shared ← client ← web`. That core.ts and store.ts reach no shell, no socket and no clock is the type-check's part.

import { globSync, readFileSync } from "node:fs";
import { dirname, join, matchesGlob } from "node:path/posix";

type Room = {
  files: string;
  /** Files of ours that it may import, besides its own. */
  imports: string[];
  /** The packages that it may import; any, if absent. */
  packages?: string[];
};

const rooms: Room[] = [
  { files: "shared/mls/**", imports: ["shared/**"], packages: ["ts-mls"] },
  { files: "shared/**", imports: [], packages: ["valibot", "ulid"] },
  { files: "durable-objects/runtime/**", imports: ["shared/**"] },
  // Objects never import each other: they meet in shared/rpc.ts.
  ...globSync("durable-objects/!(runtime)/").map((object) => ({
    files: `${object}/**`,
    imports: ["shared/**", "durable-objects/runtime/**"],
  })),
  { files: "workers/gateway/**", imports: ["shared/**", "durable-objects/runtime/**", "durable-objects/*/object.ts"] },
  { files: "workers/push/**", imports: ["shared/**"] },
  { files: "client/session/**", imports: ["shared/**"], packages: ["valibot", "ulid"] },
  { files: "client/**", imports: ["shared/**"] },
  { files: "web/**", imports: ["client/**"] },
];

/** Biome has formatted the source before, so that every import is written in this one way. */
const SPECIFIER = /^(?:import|export|\}).*?\bfrom "([^"]+)";|^import "([^"]+)";|\bimport\("([^"]+)"\)/gm;

function violation(file: string, room: Room, specifier: string): string | undefined {
  if (specifier.startsWith(".")) {
    const target = join(dirname(file), specifier);
    if ([room.files, ...room.imports].some((glob) => matchesGlob(target, glob))) return undefined;
    return `${file} must not import ${target}`;
  }
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  return room.packages?.includes(name) === false ? `${file} must not import the package ${name}` : undefined;
}

const violations = new Set<string>();
for (const file of globSync("{shared,durable-objects,workers,client,web}/**/*.{ts,tsx}", {
  exclude: ["**/*.test.ts", "**/*.d.ts"],
})) {
  const room = rooms.find(({ files }) => matchesGlob(file, files));
  if (!room) {
    violations.add(`${file} is in no room: scripts/check-imports.ts has to name it`);
    continue;
  }
  for (const match of readFileSync(file, "utf8").matchAll(SPECIFIER)) {
    const found = violation(file, room, match[1] ?? match[2] ?? match[3] ?? "");
    if (found) violations.add(found);
  }
}

for (const line of violations) console.error(line);
process.exitCode = violations.size ? 1 : 0;
