import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

const WAIT_MS = 10_000;
const LOOK_MS = 5;

/**
 * Stands in for the service that sends codes to phones: the system posts them here (SMS_PROVIDER=webhook), and whoever
 * plays a person reads them here, so that no code needs to be in a log.
 */
export class CodeReceiver {
  readonly #server: Server;
  readonly #codes = new Map<string, string[]>();
  readonly #secret = `whsec_${randomBytes(24).toString("base64")}`;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      await this.#take(request);
      response.writeHead(204).end();
    });
  }

  static async start(): Promise<CodeReceiver> {
    const receiver = new CodeReceiver();
    await new Promise<void>((listening) => receiver.#server.listen(0, "127.0.0.1", listening));
    return receiver;
  }

  /** What the system has to be started with (`SystemOptions.vars`). */
  get vars(): Record<string, string> {
    const address = this.#server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const url = `http://127.0.0.1:${port}/codes`;
    return { SMS_PROVIDER: "webhook", SMS_WEBHOOK_URL: url, SMS_WEBHOOK_SECRET: this.#secret };
  }

  /** Every code that came for a number ("+" and digits), oldest first. */
  codesFor(phone: string): readonly string[] {
    return this.#codes.get(phone) ?? [];
  }

  /** The newest code for a number, once there are so many. @throws Error if they do not come */
  async waitFor(phone: string, count = 1): Promise<string> {
    const deadline = performance.now() + WAIT_MS;
    while (this.codesFor(phone).length < count) {
      if (performance.now() > deadline) throw new Error("the code never came");
      await sleep(LOOK_MS);
    }
    return this.codesFor(phone).at(-1) ?? "";
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }

  async #take(request: IncomingMessage): Promise<void> {
    const { phone, code } = (await json(request)) as { phone: string; code: string };
    this.#codes.set(phone, [...this.codesFor(phone), code]);
  }
}
