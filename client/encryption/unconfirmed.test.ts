import { beforeEach, describe, expect, test, vi } from "vitest";
import type { UpFrame } from "../../shared/protocol/up.ts";
import {
  alice,
  bob,
  carol,
  deviceOf,
  newServer,
  type Opened,
  open,
  openOffline,
  said,
  sendAll,
  soon,
} from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import { readContent } from "../chat/message.ts";
import type { Chat } from "../chat.ts";
import type { Transport } from "../transport.ts";

/** Nobody wants to wait here for what a device waits for before it answers. */
vi.mock("../../shared/limits.ts", async (original) => ({
  ...(await original<typeof import("../../shared/limits.ts")>()),
  ANSWER_WITHIN_MS: 50,
}));

let server: FakeServer;
let a: Opened;
let b: Chat;
let direct: string;
/** What Alice's device sends does not reach the server. */
let isLost: boolean;

const lossy = (transport: Transport): Transport => ({
  open: (...asked) => {
    const connection = transport.open(...asked);
    const isSend = ({ type }: UpFrame) => type === "send" || type === "sends";
    return {
      transmit: (frame, body) => (isLost && isSend(frame) ? undefined : connection.transmit(frame, body)),
      ping: () => connection.ping(),
      close: () => connection.close(),
    };
  },
});

beforeEach(async () => {
  server = newServer();
  server.tamper.submit = ({ id }) => void commits.add(id);
  isLost = false;
  const { transport } = server.signIn(alice, deviceOf("A1"));
  a = await openOffline(server, alice, "A1", { transport: lossy(transport) });
  a.chat.connection.open();
  b = await open(server, bob, "B1");
  direct = a.chat.conversations.direct(bob);
  await sendAll(a.chat, direct, ["hello"]);
  await soon(b, direct).toEqual(["hello"]);
  await a.chat.identity.verify(bob, b.identity.safetyCode(alice));
});

/** A phone of Bob's under another account key: he has lost his, or the server plays it. */
const another = () => open(server, bob, "BX", { resetIdentity: true });

async function changed(): Promise<Chat> {
  const other = await another();
  await sendAll(other, direct, ["it is me"]);
  await soon(a.chat, direct).toContain("it is me");
  return other;
}

/** What Alice's device has said there. */
const ofAlice = (conversation: string) =>
  server.conversation(conversation).log.filter(({ device, id }) => device === deviceOf("A1") && !commits.has(id));
const commits = new Set<string>();

const outbox = async () => (await a.store.load({ user: alice, device: deviceOf("A1") })).outbox;
const last = async (chat: Chat, conversation: string) => (await chat.messages.list(conversation)).at(-1);
const held = (chat: Chat, conversation: string) =>
  expect.poll(async () => (await last(chat, conversation))?.status, { timeout: 15_000 }).toBe("held");

describe("R17 where somebody was verified and their account key becomes another one", { timeout: 30_000 }, () => {
  test("nothing is said to it until it is accepted, and everything then; what it says is shown", async () => {
    const told: unknown[] = [];
    a.chat.on("held", (event) => told.push(event));
    const other = await changed();
    const before = ofAlice(direct).length;
    await a.chat.messages.send(direct, "secret");
    await a.chat.messages.send(direct, "and another");
    await held(a.chat, direct);
    expect(told).toEqual([{ conversation: direct, users: [bob] }]);
    expect(a.chat.identity.status(bob)).toMatchObject({ isUnconfirmed: true, verifiedAt: undefined });
    expect(a.chat.identity.holding(direct)).toEqual([bob]);
    await sendAll(other, direct, ["are you there?"]);
    await soon(a.chat, direct).toContain("are you there?");
    expect(ofAlice(direct).length).toBe(before);
    await a.chat.identity.accept(bob);
    await soon(other, direct).toEqual(["it is me", "are you there?", "secret", "and another"]);
    expect(told.at(-1)).toEqual({ conversation: direct, users: [] });
    expect(a.chat.identity.status(bob)).toMatchObject({ isUnconfirmed: false, verifiedAt: undefined });
    expect(a.chat.identity.holding(direct)).toEqual([]);
    await sendAll(a.chat, direct, ["at once"]);
  });

  test("it goes when they have compared the new one; a restart changes nothing about it", async () => {
    const other = await changed();
    await a.chat.messages.send(direct, "secret");
    await held(a.chat, direct);
    const { chat } = await a.reopen();
    chat.connection.open();
    await held(chat, direct);
    expect(chat.identity.holding(direct)).toEqual([bob]);
    await chat.identity.verify(bob, other.identity.safetyCode(alice));
    await soon(other, direct).toEqual(["it is me", "secret"]);
  });

  test("what was sealed before it came, and had not arrived, is not said to it either", async () => {
    isLost = true;
    await a.chat.messages.send(direct, "secret");
    await expect.poll(async () => (await outbox())[0]?.body).toBeDefined();
    const before = ofAlice(direct).length;
    const other = await changed();
    isLost = false;
    server.disconnect(deviceOf("A1"));
    await held(a.chat, direct);
    expect(ofAlice(direct).length).toBe(before);
    await a.chat.identity.accept(bob);
    await soon(other, direct).toEqual(["it is me", "secret"]);
  });

  test("nor in a group, where others wait with them; what is for others alone goes", async () => {
    const c = await open(server, carol, "C1");
    const group = await a.chat.conversations.createGroup([bob, carol]);
    await sendAll(a.chat, group, ["all of us"]);
    await soon(c, group).toEqual(["all of us"]);
    const other = await another();
    await sendAll(other, group, ["it is me"]);
    await soon(a.chat, group).toContain("it is me");
    const before = ofAlice(group).length;
    const message = await a.chat.messages.send(group, "secret");
    await held(a.chat, group);
    await sendAll(a.chat, a.chat.conversations.direct(carol), ["only you"]);
    await sendAll(c, group, ["who is that?"]);
    await soon(a.chat, group).toContain("who is that?");
    expect(ofAlice(group).length).toBe(before);
    await a.chat.conversations.remove(group, [bob]);
    await message.sent;
    await soon(c, group).toEqual(["all of us", "it is me", "who is that?", "secret"]);
    expect(await said(other, group)).not.toContain("secret");
  });

  test("nor in a group that this device has brought it into", async () => {
    const other = await another();
    const group = await a.chat.conversations.createGroup([bob]);
    await a.chat.messages.send(group, "secret");
    await held(a.chat, group);
    expect(ofAlice(group)).toEqual([]);
    await a.chat.identity.accept(bob);
    await soon(other, group).toEqual(["secret"]);
  });

  test("nor is anything said again that it asks for, not even once it is accepted", async () => {
    const other = await changed();
    const before = ofAlice(direct).length;
    const [{ id } = { id: "" }] = ofAlice(direct);
    await (await other.messages.send(direct, { kind: "ask", targets: [id] })).sent;
    await sendAll(other, direct, ["well?"]);
    await soon(a.chat, direct).toContain("well?");
    await a.chat.identity.accept(bob);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await sendAll(a.chat, direct, ["hello, whoever you are"]);
    expect(ofAlice(direct).length).toBe(before + 1);
    expect((await outbox()).map((message) => readContent(message.content).kind)).toEqual([]);
  });

  test("somebody whom this device has not met cannot be accepted", async () => {
    await expect(a.chat.identity.accept(carol)).rejects.toMatchObject({ name: "ChatError", code: "not_found" });
  });
});
