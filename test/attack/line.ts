import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { monotonicFactory } from "ulid";
import { WebSocket } from "ws";
import type { ErrorCode } from "../../shared/errors.ts";
import type { ConversationId } from "../../shared/ids.ts";
import { readFraming } from "../../shared/mls/framing.ts";
import { decodeDown, encodeUp, splitBodies } from "../../shared/protocol/codec.ts";
import type { DownFrame, DownType } from "../../shared/protocol/down.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";
import { PING, PONG, SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { payloadOf, sealedBytes } from "../sealed.ts";
import { FIRST_EPOCH } from "./groups.ts";
import { type Answer, type Http, headersOf } from "./http.ts";

const WAIT_MS = 5_000;
const LOOK_MS = 2;

type Frame<T extends DownType> = Extract<DownFrame, { type: T }>;

/** A message as it came, live or in a page. */
export interface Received {
  readonly seq: number;
  readonly user: string;
  readonly text: string;
  /** By the clock of this process. */
  readonly at: number;
}

export interface Upgrade {
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly path?: string;
}

/** The answer to an upgrade: a line, or a refusal. */
export function upgrade(
  http: Http,
  ticket: string,
  { protocols, headers = {}, path }: Upgrade = {},
): Promise<Line | Answer> {
  const url = `${http.url.replace("http", "ws")}${path ?? "/v1/connect"}`;
  const offered = protocols ?? [SUBPROTOCOL, `${TICKET_PREFIX}${ticket}`];
  const socket = new WebSocket(url, [...offered], { headers, perMessageDeflate: false });
  const line = new Line(socket);
  return new Promise((settle, fail) => {
    socket.once("open", () => settle(line));
    socket.once("upgrade", ({ statusCode }) => http.tally.count("upgrade", statusCode ?? 0));
    socket.once("unexpected-response", async (_, response) => {
      const bytes = Buffer.concat(await response.toArray());
      http.tally.count("upgrade", response.statusCode ?? 0);
      const answer = { status: response.statusCode ?? 0, headers: new Headers(headersOf(response.headers)) };
      settle({ ...answer, text: bytes.toString(), bytes });
    });
    socket.once("error", fail);
  });
}

/** One device's socket, and all that came over it. */
export class Line {
  readonly frames: DownFrame[] = [];
  readonly received: Received[] = [];
  readonly newId = monotonicFactory();
  /** How a conversation's group comes to be, for who speaks there first. */
  begin: ((conversation: ConversationId) => Promise<void>) | undefined;
  /** Whether it acks whatever comes. */
  acks = true;
  closed: { readonly code: number; readonly at: number } | undefined;
  readonly #socket: WebSocket;
  readonly #have = new Map<ConversationId, number>();
  readonly #early = new Map<ConversationId, Span[]>();
  #knowsNothing = false;
  #pongs = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer, isBinary) => this.#take(data, isBinary));
    socket.on("close", (code) => {
      this.closed = { code, at: performance.now() };
    });
    // Whatever ends it, the close event says so.
    socket.on("error", () => {});
  }

  /** Until the other side says that it closes; the network may take longer to let go. */
  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  up(frame: UpFrame, body?: Uint8Array): void {
    this.raw(encodeUp(frame, body));
  }

  raw(wire: string | Uint8Array): void {
    if (this.isOpen) this.#socket.send(wire);
  }

  async greet(): Promise<Frame<"welcome">> {
    this.up({ type: "hello", client: "attack" });
    return this.next("welcome");
  }

  /** Begins the group where there is none. @returns the place that it got, or the code it was refused with */
  async send(conversation: ConversationId, text: string, id = this.newId()): Promise<number | ErrorCode> {
    const answer = await this.#trySend(conversation, text, id);
    if (answer !== "epoch_stale" || !this.begin) return answer;
    await this.begin(conversation);
    // What was refused for a while has to come first.
    return this.#trySend(conversation, text, id);
  }

  async #trySend(conversation: ConversationId, text: string, id: string): Promise<number | ErrorCode> {
    const before = this.frames.length;
    this.up({ type: "send", id, conversation }, sealedBytes(conversation, FIRST_EPOCH, text));
    return this.until("an answer to a message", () => answerIn(this.frames.slice(before), id));
  }

  /** @param scope "all": everything from its start */
  async sync(scope: "listed" | "all"): Promise<void> {
    const request = 1 + this.of("drained").length;
    this.up({ type: "sync", request, cursors: [], scope, more: false });
    await this.next("drained", (frame) => frame.request === request);
  }

  of<T extends DownType>(type: T): Frame<T>[] {
    return this.frames.filter((frame): frame is Frame<T> => frame.type === type);
  }

  next<T extends DownType>(type: T, test: (frame: Frame<T>) => boolean = () => true): Promise<Frame<T>> {
    return this.until(`a frame ${type}`, () => this.of(type).find(test));
  }

  text(text: string): Promise<Received> {
    return this.until(`the message ${text}`, () => this.received.find((message) => message.text === text));
  }

  /** Everything that went up before was looked at when this comes back, as long as the socket lives. */
  async ping(): Promise<void> {
    const before = this.#pongs;
    this.raw(PING);
    await this.until("a pong", () => this.#pongs > before || undefined);
  }

  end(ms = WAIT_MS): Promise<{ code: number; at: number }> {
    return this.until("the end of the connection", () => this.closed, ms);
  }

  async close(): Promise<void> {
    this.#socket.close(1000);
    await this.end();
  }

  /** @param look undefined as long as it is not so */
  async until<T>(what: string, look: () => T | undefined, ms = WAIT_MS): Promise<T> {
    const deadline = performance.now() + ms;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const last = JSON.stringify(this.frames.slice(-3)).slice(0, 200);
      assert.ok(performance.now() < deadline, `${what} never came; closed: ${this.closed?.code}; last: ${last}`);
      await sleep(LOOK_MS);
    }
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (!isBinary && data.toString() === PONG) {
      this.#pongs++;
      return;
    }
    const { frame, body } = decodeDown(isBinary ? new Uint8Array(data) : data.toString());
    this.frames.push(frame);
    if (frame.type === "welcome") this.#knowsNothing = frame.compare;
    if (frame.type === "sent") for (const { seq } of frame.messages) this.#keep(frame.conversation, [seq - 1, seq]);
    if (frame.type === "message") this.#receive(frame.conversation, [frame.seq - 1, frame.seq], [frame], body);
    if (frame.type === "entries") this.#receive(frame.conversation, [frame.after, frame.through], frame.entries, body);
  }

  #receive(conversation: ConversationId, span: Span, entries: readonly Entry[], body: Uint8Array): void {
    const at = performance.now();
    const lengths = entries.map(({ length }) => length ?? body.byteLength);
    const bodies = splitBodies(lengths, body);
    for (const [index, { seq, user }] of entries.entries()) {
      const body = bodies[index]!;
      if (readFraming(body)?.kind === "message") this.received.push({ seq, user, text: payloadOf(body), at });
    }
    this.#keep(conversation, span);
    const have = this.#have.get(conversation) ?? 0;
    if (this.acks && have > 0) this.up({ type: "ack", conversation, seq: have });
  }

  /** What came too early counts when the gap before it is closed. */
  #keep(conversation: ConversationId, span: Span): void {
    const early = [...(this.#early.get(conversation) ?? []), span].toSorted(([a], [b]) => a - b);
    let have = this.#have.get(conversation) ?? (this.#knowsNothing ? 0 : span[0]);
    while (early[0] && early[0][0] <= have) have = Math.max(have, early.shift()![1]);
    this.#early.set(conversation, early);
    this.#have.set(conversation, have);
  }
}

/** Everything after the one and up to the other. */
type Span = readonly [after: number, through: number];
type Entry = { readonly seq: number; readonly user: string; readonly length?: number };

function answerIn(frames: readonly DownFrame[], id: string): number | ErrorCode | undefined {
  for (const frame of frames) {
    const placed = frame.type === "sent" ? frame.messages.find((message) => message.id === id) : undefined;
    if (placed) return placed.seq;
    if (frame.type === "error" && frame.id === id) return frame.code;
  }
  return undefined;
}
