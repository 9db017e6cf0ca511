import { env } from "cloudflare:workers";
import { monotonicFactory, ulid } from "ulid";
import { expect, vi } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { decodeDown, encodeUp, splitBodies } from "../../shared/protocol/codec.ts";
import type { DownFrame, DownType } from "../../shared/protocol/down.ts";
import type { Position, UpFrame } from "../../shared/protocol/up.ts";
import { SUBPROTOCOL } from "../../shared/protocol/version.ts";
import { CONNECT_HEADER, type Connect } from "../../shared/rpc.ts";
import { payloadOf, sealedBytes } from "../sealed.ts";
import { openGroup } from "./objects.ts";

/** Waits until the check holds: looks often, so that tests are as fast as what they test. */
export function eventually<T>(check: () => T | Promise<T>, timeout = 4_000): Promise<T> {
  return vi.waitFor(check, { interval: 5, timeout });
}

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
  /** Of its session. */
  family = "";
  readonly frames: DownFrame[] = [];
  readonly received: Received[] = [];
  closed: { code: number; reason: string } | undefined;
  socket: WebSocket | undefined;
  /** Whether it acks by itself whatever comes. */
  acksAtOnce = false;
  /** Message ids that rise, as every device makes them. */
  readonly newId = monotonicFactory();
  #requests = 0;

  constructor(user = ulid()) {
    this.user = user;
  }

  get stub() {
    return env.USER.getByName(this.user);
  }

  async register(): Promise<this> {
    const call = { device: this.device, name: "test", requestId: ulid() };
    const reply = await this.stub.registerDevice(call);
    if (!reply.ok) throw new Error(reply.code);
    this.family = reply.session.family;
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
    await eventually(() => {
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

  ack(conversation: string, seq: number): void {
    this.up({ type: "ack", conversation, seq });
  }

  read(conversation: string, seq: number): void {
    this.up({ type: "read", conversation, seq });
  }

  /** Asks for what lies above these positions and waits until all of it has come. */
  async sync(scope: "listed" | "all", cursors: Position[] = []): Promise<void> {
    const request = ++this.#requests;
    this.up({ type: "sync", request, cursors, scope, more: false });
    await this.next("drained", (frame) => frame.request === request);
  }

  /** Waits until the object has done what this device asked so far: frames are handled in order. */
  async settled(): Promise<void> {
    await this.sync("listed");
  }

  /** Sends a text and waits for its ✓ or its refusal. */
  async send(conversation: string, text: string, id = this.newId()): Promise<{ id: string; seq: number }> {
    this.up({ type: "send", id, conversation }, sealedBytes(conversation, 1, text));
    const answer = await eventually(() => {
      const error = this.of("error").find((frame) => frame.id === id);
      const sent = this.of("sent")
        .flatMap((frame) => frame.messages)
        .find((message) => message.id === id);
      if (!error && !sent) throw new Error("no answer yet");
      return sent ?? new Error(error?.code);
    });
    if (answer instanceof Error) throw answer;
    return { id, seq: answer.seq };
  }

  of<T extends DownType>(type: T): Frame<T>[] {
    return this.frames.filter((frame): frame is Frame<T> => frame.type === type);
  }

  async next<T extends DownType>(type: T, test: (frame: Frame<T>) => boolean = () => true): Promise<Frame<T>> {
    return eventually(() => {
      const found = this.of(type).find(test);
      if (!found) throw new Error(`no ${type} yet: ${JSON.stringify(this.frames.slice(-3))}`);
      return found;
    });
  }

  async texts(count: number): Promise<string[]> {
    await eventually(() => expect(this.received.length).toBeGreaterThanOrEqual(count));
    return this.received.map((message) => message.text);
  }

  async leave(): Promise<void> {
    this.socket?.close(1000, "bye");
    await eventually(() => expect(this.closed).toBeDefined());
  }

  #take(data: unknown): void {
    if (data === "pong") return;
    const { frame, body } = decodeDown(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
    this.frames.push(frame);
    if (frame.type === "message") {
      this.received.push({ ...frame, text: payloadOf(body) });
      if (this.acksAtOnce) this.ack(frame.conversation, frame.seq);
    }
    if (frame.type !== "entries") return;
    const bodies = splitBodies(
      frame.entries.map((entry) => entry.length),
      body,
    );
    frame.entries.forEach((entry, index) => {
      this.received.push({ ...entry, text: payloadOf(bodies[index]!) });
    });
    if (this.acksAtOnce) this.ack(frame.conversation, frame.through);
  }
}

export async function newDevice(user?: string): Promise<TestDevice> {
  return new TestDevice(user).register();
}

type Devices<Count extends 2 | 3> = Count extends 2 ? [TestDevice, TestDevice] : [TestDevice, TestDevice, TestDevice];

/**
 * A device each of people who have accepted each other, for strangers are told nothing of their messages (R12), and who may
 * write to each other at once.
 */
export async function newFriends<Count extends 2 | 3>(count: Count): Promise<Devices<Count>> {
  const devices = await Promise.all(Array.from({ length: count }, () => newDevice()));
  for (const { stub, user } of devices) {
    const others = devices.filter((other) => other.user !== user);
    for (const { user: peer } of others) await stub.setPeer({ peer, change: "accept", requestId: "r" });
    for (const { user: peer } of others) if (user < peer) await openGroup(directConversation(user, peer));
  }
  return devices as Devices<Count>;
}
