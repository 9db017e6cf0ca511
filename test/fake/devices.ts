import { ChatError } from "../../client/chat-error.ts";
import type { OwnDevices } from "../../client/credentials.ts";
import type { Channel } from "../../client/history/handover.ts";
import type { FakeServer } from "./server.ts";

/** What a device that shows a code hears when somebody approves it. */
interface Approved {
  readonly payload: Uint8Array;
  readonly channel: Channel;
}

/** A person's devices on a fake server, and the links by which others become some. */
export class FakeDevices implements OwnDevices {
  readonly #server: FakeServer;
  readonly #user: string;
  readonly #device: string;

  constructor(server: FakeServer, user: string, device: string) {
    this.#server = server;
    this.#user = user;
    this.#device = device;
  }

  async list() {
    const own = [...this.#server.devices].filter(([, { user }]) => user === this.#user);
    return own.map(([device, { listener }]) => ({
      ...{ device, name: device, addedAt: 1, isOnline: listener !== undefined, isCurrent: device === this.#device },
    }));
  }

  async rename(): Promise<void> {}

  async revoke(device: string): Promise<void> {
    this.#server.onRevoke(device);
    if (this.#server.devices.get(device)?.user !== this.#user) throw new ChatError("not_found");
    this.#server.revoke(device);
    this.#server.alert(this.#user, "device_removed", this.#device);
  }

  async view(qr: string) {
    return { deviceName: qr, expiresAt: 1, state: "waiting" as const };
  }

  async link(qr: string, { payload = new Uint8Array(0), signal }: Parameters<OwnDevices["link"]>[1]): Promise<Channel> {
    const approve = this.#server.links.get(qr);
    if (!approve) throw new ChatError("link_invalid");
    this.#server.links.delete(qr);
    const [old, fresh] = channels(signal);
    approve({ payload, channel: fresh });
    return old;
  }
}

/** A new device shows its code. */
export function showCode(server: FakeServer, qr: string): Promise<Approved> {
  const { promise, resolve } = Promise.withResolvers<Approved>();
  server.links.set(qr, resolve);
  return promise;
}

export type Approve = (approved: Approved) => void;

/** Both ends. */
function channels(signal: AbortSignal | undefined): [Channel, Channel] {
  const [one, other] = [new Queue(), new Queue()];
  signal?.addEventListener("abort", () => one.end(new ChatError("closed")));
  return [
    { send: async (message) => other.add(message), [Symbol.asyncIterator]: () => one.messages() },
    { send: async (message) => one.add(message), [Symbol.asyncIterator]: () => other.messages() },
  ];
}

class Queue {
  readonly #waiting: Uint8Array[] = [];
  #error: Error | undefined;
  #wake = () => {};

  add(message: Uint8Array): void {
    this.#waiting.push(message);
    this.#wake();
  }

  end(error: Error): void {
    this.#error = error;
    this.#wake();
  }

  async *messages(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) yield next;
      if (this.#error) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
