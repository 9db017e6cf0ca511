import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** A request as it came, and what a provider answers to it. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}
export interface Answered {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}
export type Provider = (asked: Asked) => Answered;

/** What a provider may do instead of its work, once for each request to come. */
export type Fault = Answered | "hang up" | { readonly delayMs: number };

/** A provider's HTTP API on this machine: faults first, then what the provider itself answers. */
export class ProviderServer {
  readonly asked: Asked[] = [];
  readonly faults: Fault[] = [];
  readonly #server;

  private constructor(provider: Provider) {
    this.#server = createServer(async (request, response) => {
      const asked = await read(request);
      this.asked.push(asked);
      const fault = this.faults.shift();
      if (fault === "hang up") {
        request.socket.destroy();
        return;
      }
      if (fault && "delayMs" in fault) await sleep(fault.delayMs);
      const { status, headers, body } = fault && "status" in fault ? fault : provider(asked);
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(status === 204 ? undefined : JSON.stringify(body ?? {}));
    });
  }

  static async start(provider: Provider): Promise<ProviderServer> {
    const server = new ProviderServer(provider);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function read(request: IncomingMessage): Promise<Asked> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { method = "", url: path = "", headers } = request;
  return { method, path, headers, body: Buffer.concat(chunks).toString() };
}
