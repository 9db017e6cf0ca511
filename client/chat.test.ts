import { afterEach, describe, expect, test } from "vitest";
import { directConversation } from "../shared/ids.ts";
import type { DownFrame } from "../shared/protocol/down.ts";
import type { UpFrame } from "../shared/protocol/up.ts";
import { Chat, type ChatOptions } from "./chat.ts";
import { encodeContent } from "./content.ts";
import type { Credentials } from "./credentials.ts";
import type { Sealer } from "./sealing.ts";
import { idOf, me, messagesIn, myDevice, peer } from "./session/test-driver.ts";
import { MemoryStore } from "./store/memory.ts";
import type { Transport, TransportListener } from "./transport.ts";

const conversation = directConversation(me, peer);

/** The server's end of a connection, played by the test. */
class Server implements Transport {
  readonly received: UpFrame[] = [];
  readonly bodies = new Map<string, Uint8Array>();
  listener!: TransportListener;
  isClosed = false;

  open(_url: string, _ticket: string, listener: TransportListener) {
    this.listener = listener;
    this.isClosed = false;
    queueMicrotask(() => listener.opened());
    return {
      transmit: (frame: UpFrame, body?: Uint8Array) => this.#serve(frame, body),
      ping: () => listener.ponged(),
      close: () => {
        this.isClosed = true;
      },
    };
  }

  push(frame: DownFrame, body: Uint8Array = new Uint8Array(0)): void {
    this.listener.received({ frame, body });
  }

  message(seq: number, body: Uint8Array): void {
    this.push({ type: "message", conversation, seq, id: idOf(seq), user: peer, device: peer, at: seq }, body);
  }

  frames(type: UpFrame["type"]): UpFrame[] {
    return this.received.filter((frame) => frame.type === type);
  }

  #serve(frame: UpFrame, body?: Uint8Array): void {
    this.received.push(frame);
    for (const message of messagesIn(frame, body)) this.bodies.set(message.id, message.body);
    if (frame.type !== "hello") return;
    queueMicrotask(() => {
      this.push({ type: "welcome", user: me, device: myDevice, epoch: 1, time: Date.now(), compare: false });
      this.push({ type: "drained", request: 0 });
    });
  }
}

const chats: Chat[] = [];
afterEach(async () => {
  for (const chat of chats.splice(0)) await chat[Symbol.asyncDispose]();
});

const accountWith = (ticket: Credentials["ticket"] = async () => "ticket") => ({
  url: "http://localhost",
  user: me,
  device: myDevice,
  ticket,
});

async function open(part: Partial<ChatOptions> & { server?: Server } = {}) {
  const { server = new Server(), store = new MemoryStore(), ...rest } = part;
  const chat = await Chat.open({ client: "test 1", account: accountWith(), store, transport: server, ...rest });
  chats.push(chat);
  return { chat, server, store };
}

async function openLive(part: Parameters<typeof open>[0] = {}) {
  const opened = await open(part);
  opened.chat.connect();
  await opened.chat.whenCaughtUp();
  return opened;
}

const text = (words: string) => encodeContent({ kind: "text", text: words });
const statuses = async (chat: Chat) => (await chat.messages(conversation)).map(({ status }) => status);
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("a chat", () => {
  test("a message goes from pending over sent and delivered to read", async () => {
    const { chat, server } = await openLive();
    const ticks: number[] = [];
    chat.on("ticks", ({ delivered, read }) => ticks.push(delivered, read));
    const message = await chat.send(chat.direct(peer), "hello");
    expect(await statuses(chat)).toEqual(["pending"]);
    server.push({ type: "sent", conversation, messages: [{ id: message.id, seq: 1, at: 7 }] });
    expect(await message.sent).toEqual({ seq: 1, at: 7 });
    expect(await statuses(chat)).toEqual(["sent"]);
    server.push({ type: "receipt", conversation, user: peer, delivered: 1, read: 0 });
    expect(await statuses(chat)).toEqual(["delivered"]);
    server.push({ type: "receipt", conversation, user: peer, delivered: 1, read: 1 });
    expect(await statuses(chat)).toEqual(["read"]);
    await settled();
    expect(ticks).toEqual([1, 0, 1, 1]);
  });

  test("what arrives is told with its content, stored, acknowledged and counted until it is read", async () => {
    const { chat, server } = await openLive();
    const told: unknown[] = [];
    chat.on("message", ({ content, status }) => told.push([content, status]));
    server.message(1, text("hi"));
    await settled();
    expect(told).toEqual([[{ kind: "text", text: "hi" }, "received"]]);
    expect(server.frames("ack")).toEqual([{ type: "ack", conversation, seq: 1 }]);
    expect(await chat.conversations()).toMatchObject([{ conversation, unread: 1, last: { seq: 1 } }]);
    chat.markRead(conversation, 1);
    await settled();
    expect(server.frames("read")).toEqual([{ type: "read", conversation, seq: 1 }]);
    expect(await chat.conversations()).toMatchObject([{ unread: 0 }]);
  });

  test("messages leave in the order in which they were sent, however long sealing takes", async () => {
    const waits = [20, 1, 10];
    const sealer: Sealer = {
      seal: (_, content) => new Promise((resolve) => setTimeout(() => resolve(encodeContent(content)), waits.shift())),
      open: () => ({ kind: "text", text: "" }),
    };
    const { chat, server } = await openLive({ sealer });
    const sent = await Promise.all(["a", "b", "c"].map((words) => chat.send(conversation, words)));
    expect([...server.bodies.keys()]).toEqual(sent.map(({ id }) => id));
    expect(sent.map(({ id }) => server.bodies.get(id))).toEqual(["a", "b", "c"].map(text));
  });

  test("sealing that fails rejects that message alone", async () => {
    let calls = 0;
    const sealer: Sealer = {
      seal: (_, content) => {
        calls += 1;
        if (calls === 1) throw new Error("no key");
        return encodeContent(content);
      },
      open: () => ({ kind: "text", text: "" }),
    };
    const { chat } = await openLive({ sealer });
    await expect(chat.send(conversation, "a")).rejects.toThrow("no key");
    await chat.send(conversation, "b");
  });

  test("what cannot be opened is kept as unreadable and does not stop what follows", async () => {
    const { chat, server } = await openLive();
    server.message(1, new Uint8Array([0xff, 0xfe]));
    server.message(2, encodeContent({ kind: "later-kind", x: 1 }));
    await settled();
    expect((await chat.messages(conversation)).map(({ content }) => content)).toEqual([
      { kind: "unreadable" },
      { kind: "later-kind", x: 1 },
    ]);
  });

  test("a message refused for good fails with its code, and stays visible", async () => {
    const { chat, server } = await openLive();
    const message = await chat.send(conversation, "a");
    server.push({ type: "error", code: "not_found", retry: "never", id: message.id });
    await expect(message.sent).rejects.toMatchObject({ name: "ChatError", code: "not_found", retryable: false });
    expect(await chat.messages(conversation)).toMatchObject([{ status: "failed", failure: "not_found" }]);
  });

  test("what was unsent at the end goes with the next start, unaltered", async () => {
    const store = new MemoryStore();
    const { chat } = await open({ store });
    const message = await chat.send(conversation, "later");
    await chat[Symbol.asyncDispose]();
    await expect(message.sent).rejects.toMatchObject({ code: "closed" });
    const { server } = await openLive({ store });
    expect(server.frames("send")).toMatchObject([{ id: message.id }]);
    expect(server.bodies.get(message.id)).toEqual(text("later"));
  });

  test("a device that was revoked is closed for good, with the reason", async () => {
    const { chat, server } = await openLive();
    const codes: unknown[] = [];
    chat.on("state", ({ state, code }) => codes.push([state, code]));
    server.push({ type: "bye", code: "revoked", retry: "never" });
    expect(codes).toEqual([["closed", "revoked"]]);
    expect(server.isClosed).toBe(true);
    await expect(chat.send(conversation, "a")).rejects.toMatchObject({ code: "revoked" });
    await expect(chat.whenCaughtUp()).rejects.toMatchObject({ code: "revoked" });
  });

  test("a store that fails closes the chat and rejects what was being sent", async () => {
    const store = new MemoryStore();
    const { chat } = await open({ store });
    store.persist = () => Promise.reject(new Error("disk full"));
    await expect(chat.send(conversation, "a")).rejects.toMatchObject({ code: "store_failed" });
    expect(chat.state).toBe("closed");
  });

  test("a subscription ends, and listeners may call back", async () => {
    const { chat, server } = await openLive();
    const seqs: (number | undefined)[] = [];
    const end = chat.on("message", ({ conversation: id, seq }) => {
      seqs.push(seq);
      chat.markRead(id, seq ?? 0);
    });
    server.message(1, text("a"));
    await settled();
    end();
    server.message(2, text("b"));
    await settled();
    expect(seqs).toEqual([1]);
    expect(server.frames("read")).toHaveLength(1);
  });

  test("what a listener causes is told after what it heard, to everybody", async () => {
    const { chat } = await open();
    const states: string[] = [];
    chat.on("state", ({ state }) => state === "live" && chat.disconnect());
    chat.on("state", ({ state }) => states.push(state));
    chat.connect();
    await settled();
    expect(states).toEqual(["connecting", "greeting", "catching_up", "live", "offline"]);
  });

  test("connecting is tried again after a ticket could not be had", async () => {
    let calls = 0;
    const ticket = async () => {
      calls += 1;
      if (calls === 1) throw new TypeError("network down");
      return "ticket";
    };
    const { chat } = await open({ account: accountWith(ticket) });
    chat.connect();
    await chat.whenCaughtUp();
    expect(calls).toBe(2);
  });

  test("a ticket that opened nothing is followed by one from a renewed session, until one has opened", async () => {
    const server = new Server();
    const refused: Transport = {
      open(_url, _ticket, listener) {
        queueMicrotask(() => listener.closed(1006));
        return { transmit: () => {}, ping: () => {}, close: () => {} };
      },
    };
    let transport: Transport = refused;
    const asked: unknown[] = [];
    const ticket = async (options?: object) => {
      asked.push(options);
      return "ticket";
    };
    const { chat } = await open({
      account: accountWith(ticket),
      transport: { open: (...args) => transport.open(...args) },
    });
    const connectAgain = async () => {
      chat.disconnect();
      chat.connect();
      await settled();
    };
    await connectAgain();
    transport = server;
    await connectAgain();
    await chat.whenCaughtUp();
    await connectAgain();
    expect(asked).toEqual([{ renew: false }, { renew: true }, { renew: false }]);
  });
});
