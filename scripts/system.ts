// The whole system on this machine: both Workers, the objects, the database and the queue, as `npm start` runs it.
// The demonstration, the crash tests and the end-to-end tests start it from here too.

import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { makeLocalSecrets } from "./secrets.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const wrangler = join(root, "node_modules/wrangler/bin/wrangler.js");

const START_TIMEOUT_MS = 60_000;
const HEALTH_INTERVAL_MS = 50;
const WATCH_INTERVAL_MS = 1_000;
const STOP_TIMEOUT_MS = 5_000;
const REMEMBERED_LINES = 40;
/** Wrangler writes the path of every request, whatever stands in it; our own line names the route instead. */
const REQUEST_LINE = /^\[wrangler:info\] [A-Z]+ \//;

export type SystemOptions = {
  /** Taken if it is free, otherwise any other; the system says in `url` which. */
  port?: number;
  inspectorPort?: number;
  /** Database, objects, queue and the log; what stands there is continued. */
  stateDir: string;
  /** Shows nothing; the log file has it all. */
  quiet?: boolean;
  /** Variables of the messaging Worker, such as SENDS_PER_MINUTE. */
  vars?: Record<string, string>;
};

export type System = {
  url: string;
  port: number;
  /** Leads a process group of its own: `process.kill(-pid, signal)` reaches all processes of the system and no other. */
  pid: number;
  logFile: string;
  /** Resolves when the system has ended, wanted or not, to its last lines of output. */
  ended: Promise<string>;
  /** Ends it in order. */
  stop(): Promise<void>;
  /** Ends it as a power failure would: SIGKILL to all of its processes at once. */
  kill(): Promise<void>;
};

/** @throws Error with the last output if the system does not come up; nothing is left running then. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const stateDir = resolve(root, options.stateDir);
  mkdirSync(stateDir, { recursive: true });
  await makeLocalSecrets(root);
  await applyMigrations(stateDir);
  const port = await freePort(options.port);
  const inspectorPort = await freePort(options.inspectorPort);
  const url = `http://127.0.0.1:${port}`;
  const logFile = join(stateDir, "system.log");
  // Everybody here comes from one address, and nobody pays for a code.
  const vars = { SIGN_IN_LIMIT_FACTOR: "100", ALLOWED_ORIGINS: `${url} http://localhost:${port}`, ...options.vars };
  const child = run(stateDir, [
    ...["dev", "-c", "wrangler.toml", "-c", "workers/push/wrangler.toml", "--persist-to", stateDir],
    ...["--ip", "127.0.0.1", "--port", `${port}`, "--inspector-port", `${inspectorPort}`],
    ...["--show-interactive-dev-session=false"],
    ...Object.entries(vars).flatMap(([name, value]) => ["--var", `${name}:${value}`]),
  ]);
  let isListening = false;
  const ended = follow(child, logFile, (line) => {
    if (!options.quiet) console.log(line);
    isListening ||= line.includes(`Ready on ${url}`);
  });
  const system: System = {
    url,
    port,
    pid: processId(child),
    logFile,
    ended,
    stop: () => stop(child, ended),
    kill: () => signal(child, "SIGKILL", ended),
  };
  // Another program's server may stand at the address by now: it must be ours before it is asked.
  await untilHealthy(system, () => isListening);
  endWithEngine(child, port);
  return system;
}

/** Wrangler and the engine, with everything that would look for the network or leave this project switched off. */
function run(stateDir: string, args: string[]): ChildProcess {
  const child = spawn(process.execPath, [wrangler, ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: {
      ...process.env,
      CI: "1",
      NO_COLOR: "1",
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_HIDE_BANNER: "true",
      WRANGLER_WRITE_LOGS: "false",
      // Both would show to anybody on this machine what is stored: requests with their URLs, and the whole database.
      X_LOCAL_OBSERVABILITY: "false",
      X_LOCAL_EXPLORER: "false",
      // Systems that run side by side must not find each other's Workers.
      WRANGLER_REGISTRY_PATH: join(stateDir, "registry"),
    },
  });
  const killLeftovers = (): void => sendSignal(child, "SIGKILL");
  process.once("exit", killLeftovers);
  child.once("exit", () => {
    process.off("exit", killLeftovers);
    killLeftovers();
  });
  return child;
}

async function applyMigrations(stateDir: string): Promise<void> {
  const child = run(stateDir, ["d1", "migrations", "apply", "DB", "--local", "--persist-to", stateDir]);
  const lastOutput = await follow(child, join(stateDir, "migrations.log"));
  if (child.exitCode !== 0) throw new Error(`The database could not be brought up to date.\n${lastOutput}`);
}

/** Writes all output to the file, and resolves at the end to the last lines of it. */
async function follow(child: ChildProcess, logFile: string, onLine?: (line: string) => void): Promise<string> {
  const lines: string[] = [];
  const file = createWriteStream(logFile, { flags: "a", mode: 0o600 });
  const take = async (stream: NodeJS.ReadableStream): Promise<void> => {
    for await (const line of createInterface(stream)) {
      if (REQUEST_LINE.test(line)) continue;
      file.write(`${line}\n`);
      onLine?.(line);
      if (lines.push(line) > REMEMBERED_LINES) lines.shift();
    }
  };
  const exited = new Promise((settle) => child.once("exit", settle));
  await Promise.all([child.stdout, child.stderr].map((stream) => stream && take(stream)));
  await exited;
  file.end();
  return lines.join("\n");
}

async function untilHealthy(system: System, isListening: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  let output: string | undefined;
  void system.ended.then((lines) => {
    output = lines;
  });
  while (!isListening() || !(await isHealthy(system.url))) {
    if (output !== undefined) throw new Error(`The system ended while it was starting.\n${output}`);
    if (deadline.aborted) {
      await system.kill();
      throw new Error(`The system did not become healthy in time.\n${await system.ended}`);
    }
    await sleep(HEALTH_INTERVAL_MS);
  }
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) });
    return response.ok;
  } catch {
    return false;
  }
}

/** Wrangler outlives its engine and does not always bring it back. Once nobody listens any more, what is left ends too. */
function endWithEngine(child: ChildProcess, port: number): void {
  const timer = setInterval(() => {
    const probe = connect(port, "127.0.0.1", () => probe.destroy());
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") sendSignal(child, "SIGKILL");
    });
  }, WATCH_INTERVAL_MS).unref();
  child.once("exit", () => clearInterval(timer));
}

async function stop(child: ChildProcess, ended: Promise<string>): Promise<void> {
  const timer = setTimeout(() => sendSignal(child, "SIGKILL"), STOP_TIMEOUT_MS);
  await signal(child, "SIGTERM", ended);
  clearTimeout(timer);
}

async function signal(child: ChildProcess, name: NodeJS.Signals, ended: Promise<string>): Promise<void> {
  sendSignal(child, name);
  await ended;
}

/** To the whole group: the engine is a grandchild, and does not always follow its parent. */
function sendSignal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-processId(child), name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function processId(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error("wrangler could not be started");
  return child.pid;
}

/** The wanted port, or any other if that is taken. */
async function freePort(wanted = 0): Promise<number> {
  const server = createServer();
  const port = await new Promise<number | undefined>((settle, fail) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? settle(undefined) : fail(error),
    );
    server.listen(wanted, "127.0.0.1", () => {
      const address = server.address();
      settle(address !== null && typeof address === "object" ? address.port : undefined);
    });
  });
  await new Promise((closed) => server.close(closed));
  return port ?? freePort();
}
