import { closeCodes, Refusal } from "../shared/errors.ts";
import { MAX_BUFFERED_BYTES, MAX_HEADER_BYTES, MAX_PAGE_BYTES } from "../shared/limits.ts";
import { decodeDown, encodeUp, type Framed } from "../shared/protocol/codec.ts";
import type { DownFrame } from "../shared/protocol/down.ts";
import type { UpFrame } from "../shared/protocol/up.ts";
import { PING, PONG, SUBPROTOCOL, TICKET_PREFIX } from "../shared/protocol/version.ts";

/** A larger frame is none of ours. */
const MAX_RECEIVED_BYTES = MAX_PAGE_BYTES + MAX_HEADER_BYTES + 4;

/** How a session's frames travel. */
export interface Transport {
  open(url: string, ticket: string, listener: TransportListener): Connection;
}

export interface TransportListener {
  opened(): void;
  received(framed: Framed<DownFrame>): void;
  ponged(): void;
  /** Comes once, unless `close` was called. */
  closed(code: number): void;
}

export interface Connection {
  transmit(frame: UpFrame, body?: Uint8Array): void;
  ping(): void;
  /** Nothing is heard of it any more. */
  close(): void;
}

/** The WebSocket that browsers, workers and Node bring along. */
export const webSocketTransport: Transport = {
  open(url, ticket, listener) {
    const socket = new WebSocket(socketUrl(url), [SUBPROTOCOL, `${TICKET_PREFIX}${ticket}`]);
    socket.binaryType = "arraybuffer";
    return new WebSocketConnection(socket, listener);
  },
};

function socketUrl(url: string): string {
  const target = new URL("/v1/connect", url);
  target.protocol = target.protocol === "https:" || target.protocol === "wss:" ? "wss:" : "ws:";
  return target.href;
}

class WebSocketConnection implements Connection {
  readonly #socket: WebSocket;
  readonly #listener: TransportListener;
  #isDone = false;

  constructor(socket: WebSocket, listener: TransportListener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.addEventListener("open", () => this.#isDone || listener.opened());
    socket.addEventListener("message", ({ data }) => this.#isDone || this.#receive(data));
    socket.addEventListener("close", ({ code }) => this.#end(code));
    // A close event follows, but not in every implementation if the connection was never made.
    socket.addEventListener("error", () => socket.readyState === WebSocket.CLOSED && this.#end(1006));
  }

  transmit(frame: UpFrame, body?: Uint8Array): void {
    this.#send(encodeUp(frame, body));
  }

  ping(): void {
    this.#send(PING);
  }

  close(): void {
    this.#isDone = true;
    this.#socket.close();
  }

  #send(data: string | Uint8Array): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    // What matters is in the outbox and goes again.
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) this.#giveUp(closeCodes.too_slow);
    else this.#socket.send(data as string | Uint8Array<ArrayBuffer>);
  }

  #receive(data: string | ArrayBuffer): void {
    if (data === PONG) this.#listener.ponged();
    else if (sizeOf(data) > MAX_RECEIVED_BYTES) this.#giveUp(closeCodes.too_large);
    else this.#decode(typeof data === "string" ? data : new Uint8Array(data));
  }

  /** A frame of a later version is passed over; one that makes no sense ends the connection. */
  #decode(wire: string | Uint8Array): void {
    let framed: Framed<DownFrame>;
    try {
      framed = decodeDown(wire);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code !== "unknown_type") this.#giveUp(closeCodes.bad_frame);
      return;
    }
    this.#listener.received(framed);
  }

  #giveUp(code: number): void {
    this.#socket.close();
    this.#end(code);
  }

  #end(code: number): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#listener.closed(code);
  }
}

function sizeOf(data: string | ArrayBuffer): number {
  return typeof data === "string" ? data.length : data.byteLength;
}
