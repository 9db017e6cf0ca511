// workerd, started by Miniflare for the sake of its D1, R2 and queues, but with a socket of its own into the Worker:
// nothing of Miniflare's stands on the way of a request or a frame.

import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare, type V4WorkerOptions } from "miniflare";

/** A Worker that can be put under load. */
export interface Subject {
  /** The path of its entry module. */
  entry: string;
  /** What it is bound to. */
  options: Partial<V4WorkerOptions>;
  /** The module with the adapter for its protocol. */
  adapterUrl: string;
  /** What a fresh state needs before the first request, such as migrations. */
  prepare?(engine: Miniflare): Promise<void>;
}

export interface Engine {
  origin: string;
  pid: number;
  /** What the Worker has logged. */
  logFile: string;
  stop(): Promise<void>;
}

/** Of the engine that Miniflare brings with it. */
export const engineVersion: string = createRequire(import.meta.resolve("miniflare"))("workerd/package.json").version;

export async function startEngine(subject: Subject, stateDirectory: string): Promise<Engine> {
  const logFile = join(stateDirectory, "engine.log");
  writeFileSync(logFile, "");
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      log: new Log(LogLevel.WARN),
      handleStructuredLogs: ({ level, message }) => {
        appendFileSync(logFile, `${message}\n`);
        if (level === "warn" || level === "error") process.stderr.write(`${message}\n`);
      },
      resourcePersistencePath: stateDirectory,
      workers: [
        {
          ...subject.options,
          modules: [{ type: "ESModule", path: "worker.js", contents: await bundle(subject.entry) }],
          unsafeDirectSockets: [{ host: "127.0.0.1" }],
        },
      ],
    }),
  );
  await miniflare.ready;
  await subject.prepare?.(miniflare);
  return {
    origin: (await miniflare.unsafeGetDirectURL()).href,
    pid: childProcess("workerd"),
    logFile,
    stop: () => miniflare.dispose(),
  };
}

async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
  });
  return outputFiles.map(({ text }) => text).join();
}

/** Miniflare does not tell the process id of its engine. */
function childProcess(command: string): number {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1").trim().split(" ").map(Number);
  const pid = children.find((child) => readFileSync(`/proc/${child}/comm`, "latin1").trim() === command);
  if (pid === undefined) throw new Error(`no child process runs ${command}`);
  return pid;
}
