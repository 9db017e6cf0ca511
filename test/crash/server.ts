import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type System, startSystem } from "../../scripts/system.ts";

/** Below the range from which outgoing connections take their ports, or one of ours may sit on it while the server is gone. */
const FIRST_PORT = 20_000;
const PORTS = 10_000;
const FAILPOINT = "between-commit-and-fan-out";
const FAILPOINT_LINE = '"event":"failpoint"';
const LOG_INTERVAL_MS = 5;

/** The real processes on one state directory and one port, killed and started again and again. */
export class Server {
  readonly #stateDir: string;
  #system: System | undefined;
  #port: number;
  #logged = 0;

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
    this.#port = FIRST_PORT + (process.pid % PORTS);
  }

  get logFile(): string {
    return join(this.#stateDir, "system.log");
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** @param stops how likely an object stops between commit and fan-out, each time that it gets there */
  async start(stops = 0): Promise<void> {
    this.#logged = await sizeOf(this.logFile);
    const isFirst = this.#system === undefined;
    this.#system = await startSystem({
      stateDir: this.#stateDir,
      port: this.#port,
      quiet: true,
      vars: { SENDS_PER_MINUTE: "1000000", ...(stops > 0 && { FAILPOINT: `${FAILPOINT}:${stops}` }) },
    });
    if (isFirst) this.#port = this.#system.port;
    else if (this.#system.port !== this.#port)
      throw new Error(`port ${this.#port} was taken while the server was gone`);
  }

  async kill(): Promise<void> {
    await this.#system?.kill();
  }

  async stop(): Promise<void> {
    await this.#system?.stop();
  }

  /** @returns whether an object has stopped at the failpoint, before the time was over */
  async stopsWithin(ms: number): Promise<boolean> {
    const deadline = performance.now() + ms;
    while (performance.now() < deadline) {
      if (await this.#isStopLogged()) return true;
      await sleep(LOG_INTERVAL_MS);
    }
    return false;
  }

  async #isStopLogged(): Promise<boolean> {
    const file = await open(this.logFile);
    try {
      const { size } = await file.stat();
      const { buffer } = await file.read(Buffer.alloc(size - this.#logged), 0, size - this.#logged, this.#logged);
      return buffer.includes(FAILPOINT_LINE);
    } finally {
      await file.close();
    }
  }
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}
