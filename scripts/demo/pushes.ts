import { readFile } from "node:fs/promises";
import type { PushObserver } from "./story.ts";

/** In development a push goes to the system's log, one line each; repeats of a conversation count once. */
export function pushesInLog(logFile: string): PushObserver {
  return async (device) => {
    const lines = (await readFile(logFile, "utf8")).split("\n");
    const pushed = lines.filter((line) => line.includes('"event":"push.delivered"') && line.includes(device));
    return new Set(pushed.map((line) => line.match(/"conversation":"([^"]*)"/)?.[1])).size;
  };
}
