import { fromBase64url, toBase64url } from "../shared/base64url.ts";
import { LINK_POLL_INTERVAL_MS } from "../shared/limits.ts";
import { ChatError } from "./chat-error.ts";
import type { DirectionCipher } from "./link-cipher.ts";
import type { Patience } from "./patience.ts";

/** What one side asks of the server. */
export interface LinkRequests {
  send(sealed: string): Promise<void>;
  /** Messages for this side above `after`. */
  poll(after: number): Promise<{ readonly messages: readonly { readonly number: number; readonly sealed: string }[] }>;
}

/** The server as one side of a link has it: it passes sealed bytes on, in order, or it fails. */
export class LinkWire {
  readonly #requests: LinkRequests;
  readonly #patience: Patience;

  constructor(requests: LinkRequests, patience: Patience) {
    this.#requests = requests;
    this.#patience = patience;
  }

  /** The same bytes may arrive twice on the way to the server, which then takes them for one. @throws ChatError */
  async send(sealed: Uint8Array): Promise<void> {
    const text = toBase64url(sealed);
    await this.#patience.insist(() => this.#requests.send(text));
  }

  /** What comes after message `number`, as it comes, without an end. @throws ChatError tampered, not_found, closed */
  async *after(number: number): AsyncGenerator<Uint8Array, never> {
    let last = number;
    for (;;) {
      const { messages } = await this.#patience.insist(() => this.#requests.poll(last));
      for (const message of messages) {
        const sealed = fromBase64url(message.sealed);
        if (message.number !== last + 1 || !sealed) throw new ChatError("tampered");
        last = message.number;
        yield sealed;
      }
      await this.#patience.pause(LINK_POLL_INTERVAL_MS);
    }
  }
}

export interface LinkDirections {
  readonly outgoing: DirectionCipher;
  readonly incoming: DirectionCipher;
}

/**
 * Carries bytes between two devices that are being linked. Whoever runs the server can neither read them nor change,
 * exchange, repeat or leave out any without the receiver's noticing. It can keep back the last ones, so what the two
 * devices tell each other has to say itself when it is complete: receiving never ends by itself, but in an error.
 */
export class LinkChannel implements AsyncIterable<Uint8Array> {
  readonly #wire: LinkWire;
  readonly #directions: LinkDirections;
  #sent: number;
  #received: number;
  #sending: Promise<void> = Promise.resolve();

  /** @param soFar what the approval has used up of either direction's numbers */
  constructor(wire: LinkWire, directions: LinkDirections, soFar: { readonly sent: number; readonly received: number }) {
    this.#wire = wire;
    this.#directions = directions;
    this.#sent = soFar.sent;
    this.#received = soFar.received;
  }

  /**
   * Resolves when the server has it. Once one has failed all others do: its number is used up, and without it they make
   * no sense to the other device.
   * @param payload up to `MAX_LINK_PAYLOAD_BYTES`
   * @throws ChatError too_large, too_many, not_found, closed
   */
  send(payload: Uint8Array): Promise<void> {
    const sealing = this.#directions.outgoing.seal(++this.#sent, payload);
    const sent = Promise.all([sealing, this.#sending]).then(([sealed]) => this.#wire.send(sealed));
    this.#sending = sent;
    // Whoever asked hears of it; the chain itself is nobody's to handle.
    sent.catch(() => {});
    return sent;
  }

  /** For one reader at a time; a later one goes on where it has stopped. @throws ChatError tampered, not_found, closed */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for await (const sealed of this.#wire.after(this.#received)) {
      const payload = await this.#directions.incoming.open(this.#received + 1, sealed);
      this.#received++;
      yield payload;
    }
  }
}
