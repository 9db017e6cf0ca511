import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { expect, vi } from "vitest";
import { decodeDown, encodeUp, splitBodies } from "../../shared/protocol/codec.ts";
import type { DownFrame, DownType } from "../../shared/protocol/down.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";
import { SUBPROTOCOL } from "../../shared/protocol/version.ts";
import { CONNECT_HEADER, type Connect } from "../../shared/rpc.ts";

type Frame<T extends DownType> = Extract<DownFrame, { type: T }>;

/** A message as a device received it, live or in a page. */
export interface Received {
  seq: number;
  id: string;
  user: string;
  text: string;
}

/** A person's device that speaks to their object directly, with a ticket that the gateway would have checked. */
export class TestDevice {
  readonly user: string;
  readonly device = ulid();
  readonly frames: DownFrame[] = [];
  readonly received: Received[] = [];
  closed: { code: number; reason: string } | undefined;
  socket: WebSocket | undefined;

  constructor(user = ulid()) {
    this.user = user;
  }

  get stub() {
    return env.USER.getByName(this.user);
  }

  async register(): Promise<this> {
    expect(await this.stub.registerDevice({ device: this.device, name: "test", requestId: "r" })).toEqual({ ok: true });
    return this;
  }

  /** Opens the socket without a word. */
  async open(ticket = ulid(), overrides: Partial<Connect> = {}): Promise<Response> {
    const ticketExpiresAt = Date.now() + 30_000;
    const connect = { user: this.user, device: this.device, ticket, ticketExpiresAt, requestId: "r", ...overrides };
    const response = await this.stub.fetch("https://user/connect", {
      headers: {
        upgrade: "websocket",
        "sec-websocket-protocol": SUBPROTOCOL,
        [CONNECT_HEADER]: JSON.stringify(connect),
      },
    });
    const socket = response.webSocket;
    if (!socket) return response;
    this.closed = undefined;
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.accept();
    socket.addEventListener("message", ({ data }) => this.#take(data));
    socket.addEventListener("close", ({ code, reason }) => {
      this.closed = { code, reason };
    });
    return response;
  }

  /** Opens the socket, says hello and waits until everything missed has come. */
  async connect(): Promise<this> {
    const before = this.frames.length;
    expect((await this.open()).status).toBe(101);
    this.up({ type: "hello", client: "test" });
    await vi.waitFor(() => {
      const news = this.frames.slice(before);
      expect(news.some((f) => f.type === "drained" || (f.type === "welcome" && f.compare))).toBe(true);
    });
    return this;
  }

  up(frame: UpFrame, body?: Uint8Array): void {
    this.socket?.send(encodeUp(frame, body));
  }

  raw(wire: string | Uint8Array): void {
    this.socket?.send(wire);
  }

  /** Sends a text and waits for its ✓ or its refusal. */
  async send(conversation: string, text: string, id = ulid()): Promise<{ id: string; seq: number }> {
    this.up({ type: "send", id, conversation }, new TextEncoder().encode(text));
    return vi.waitFor(() => {
      const error = this.of("error").find((frame) => frame.id === id);
      if (error) throw new Error(error.code);
      const sent = this.of("sent")
        .flatMap((frame) => frame.messages)
        .find((message) => message.id === id);
      if (!sent) throw new Error("no answer yet");
      return { id, seq: sent.seq };
    });
  }

  of<T extends DownType>(type: T): Frame<T>[] {
    return this.frames.filter((frame): frame is Frame<T> => frame.type === type);
  }

  async next<T extends DownType>(type: T, test: (frame: Frame<T>) => boolean = () => true): Promise<Frame<T>> {
    return vi.waitFor(() => {
      const found = this.of(type).find(test);
      if (!found) throw new Error(`no ${type} yet: ${JSON.stringify(this.frames.slice(-3))}`);
      return found;
    });
  }

  async texts(count: number): Promise<string[]> {
    await vi.waitFor(() => expect(this.received.length).toBeGreaterThanOrEqual(count));
    return this.received.map((message) => message.text);
  }

  async leave(): Promise<void> {
    this.socket?.close(1000, "bye");
    await vi.waitFor(() => expect(this.closed).toBeDefined());
  }

  #take(data: unknown): void {
    if (data === "pong") return;
    const { frame, body } = decodeDown(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
    this.frames.push(frame);
    const decoder = new TextDecoder();
    if (frame.type === "message") this.received.push({ ...frame, text: decoder.decode(body) });
    if (frame.type !== "entries") return;
    const bodies = splitBodies(
      frame.entries.map((entry) => entry.length),
      body,
    );
    frame.entries.forEach((entry, index) => {
      this.received.push({ ...entry, text: decoder.decode(bodies[index]) });
    });
  }
}

export async function newDevice(user?: string): Promise<TestDevice> {
  return new TestDevice(user).register();
}
