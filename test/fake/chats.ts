import { afterEach, expect } from "vitest";
import type { Message } from "../../client/chat/message.ts";
import { Chat, type ChatOptions } from "../../client/chat.ts";
import type { Authenticate } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { MemoryStore } from "../../client/store/memory.ts";
import { FakeMls } from "./mls.ts";
import { FakeServer, fakeReader, mlsReader } from "./server.ts";

/** With the module that devices run, and with the one that simulations do. */
const modules = {
  mls: { mls: (authenticate: Authenticate) => createMls({ authenticate }), reader: mlsReader },
  fake: { mls: (authenticate: Authenticate) => new FakeMls({ authenticate }), reader: fakeReader },
};
export const { mls, reader } = modules[process.env.MLS === "fake" ? "fake" : "mls"];

export const alice = "01HZZZZZZZZZZZZZZZZZZZZZZA";
export const bob = "01HZZZZZZZZZZZZZZZZZZZZZZB";
export const carol = "01HZZZZZZZZZZZZZZZZZZZZZZC";
export const deviceOf = (name: string) => `01HZZZZZZZZZZZZZZZZZZZZZ${name}`;

const chats: Chat[] = [];
afterEach(async () => {
  for (const chat of chats.splice(0)) await chat[Symbol.asyncDispose]();
});

export interface Opened {
  readonly chat: Chat;
  readonly store: MemoryStore;
  reopen(): Promise<Opened>;
}

export async function openOffline(
  server: FakeServer,
  user: string,
  name: string,
  part: Partial<ChatOptions> = {},
): Promise<Opened> {
  const store = (part.store as MemoryStore | undefined) ?? new MemoryStore();
  const known = server.devices.get(deviceOf(name))?.packages ?? [];
  const signedIn = server.signIn(user, deviceOf(name));
  server.devices.get(deviceOf(name))?.packages.push(...known);
  const options: ChatOptions = {
    ...{ client: "test 1", mls },
    ...signedIn,
    ...part,
    store,
  };
  const chat = await Chat.open(options);
  chats.push(chat);
  const reopen = async () => {
    await chat[Symbol.asyncDispose]();
    return openOffline(server, user, name, { ...part, store });
  };
  return { chat, store, reopen };
}

export async function open(
  server: FakeServer,
  user: string,
  name: string,
  part: Partial<ChatOptions> = {},
): Promise<Chat> {
  const { chat } = await openOffline(server, user, name, part);
  chat.connection.open();
  await chat.connection.caughtUp();
  return chat;
}

export const shown = ({ content }: Message) => (content.kind === "text" ? content.text : `<${content.kind}>`);
export const said = async (chat: Chat, conversation: string) =>
  (await chat.messages.list(conversation)).filter(({ isEvent }) => !isEvent).map(shown);
/** What this device shows there before long. */
export const soon = (
  chat: Chat,
  conversation: string,
): { toEqual(texts: string[]): Promise<void>; toContain(text: string): Promise<void> } =>
  expect.poll(() => said(chat, conversation), { timeout: 15_000 });

export const sendAll = async (chat: Chat, conversation: string, texts: readonly string[]) => {
  for (const text of texts) await (await chat.messages.send(conversation, text)).sent;
};

export function newServer(): FakeServer {
  return new FakeServer(reader);
}
