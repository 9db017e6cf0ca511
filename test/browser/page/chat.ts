import { ONLY, openDatabase } from "../../../client/browser/database.ts";
import { IndexedDbStore, openChat, type TabChat } from "../../../client/browser/index.ts";
import { ValueCipher } from "../../../client/browser/value-cipher.ts";
import {
  Account,
  Chat,
  ChatError,
  type ChatEvents,
  isText,
  type LinkedAccount,
  type LiveMessages,
  type Message,
  requestCode,
  signIn,
  signInByLink,
} from "../../../client/index.ts";

const client = "test 1";

/** What a message looks like from outside. */
export interface Line {
  readonly text: string;
  readonly status: string;
  readonly seq: number | undefined;
  readonly reactions: string[];
}

let store: IndexedDbStore;
let chat: TabChat | Chat;
let messages: LiveMessages;
let linked: Promise<LinkedAccount>;
const happened: { [Name in keyof ChatEvents]?: ChatEvents[Name][] } = {};
const sent: Promise<{ seq: number } | string>[] = [];
let longestWait = 0;

export function askForCode(url: string, phone: string): Promise<unknown> {
  return requestCode(url, phone);
}

/** Signs this browser in; its session is in the database from then on. */
export async function enter(url: string, database: string, phone: string, code: string): Promise<string> {
  store = await IndexedDbStore.open(database);
  const { user } = await signIn({ url, store, phone, code, deviceName: "Browser" });
  await store.close();
  return user;
}

/** With the other tabs. @returns ms from the beginning of the page to the list of conversations */
export async function open(url: string, database: string): Promise<number> {
  store = await IndexedDbStore.open(database);
  chat = await openChat({ url, store, client });
  listen();
  await chat.conversations.list();
  return performance.now();
}

/** In this tab alone. @returns ms from the beginning of the page to the open chat, and to its list */
export async function openAlone(url: string, database: string): Promise<{ opened: number; listed: number }> {
  store = await IndexedDbStore.open(database);
  const account = await Account.open({ url, store });
  if (!account) throw new Error("not signed in");
  chat = await Chat.open({ account, store, client });
  const opened = performance.now();
  listen();
  await chat.conversations.list();
  return { opened, listed: performance.now() };
}

/** @returns the code with which it is refused */
export async function errorOfOpening(url: string, database: string): Promise<string> {
  const own = await IndexedDbStore.open(database);
  try {
    await openChat({ url, store: own, client });
    return "opened";
  } catch (error) {
    return error instanceof ChatError ? error.code : `${error}`;
  } finally {
    await own.close();
  }
}

/** Another device of somebody's. @returns what one of theirs has to scan */
export async function showLinkCode(url: string, database: string): Promise<string> {
  store = await IndexedDbStore.open(database);
  const link = await signInByLink({ url, store, deviceName: "Second browser" });
  linked = link.linked();
  return link.qr;
}

/** @returns whether it has got the history, and what is on the way to that told */
export async function enterLinked(url: string): Promise<{ hasHistory: boolean; tasks: string[] }> {
  const { accountKey, history } = await linked;
  chat = await openChat({ url, store, client, accountKey });
  listen();
  chat.connection.open();
  const tasks = new Set<string>();
  const hasHistory = await chat.devices.receiveHistory(history, { onProgress: ({ task }) => tasks.add(task) });
  return { hasHistory, tasks: [...tasks] };
}

/** @returns what was told on the way */
export async function link(qr: string): Promise<string[]> {
  const tasks = new Set<string>();
  await chat.devices.link(qr, { onProgress: ({ task }) => tasks.add(task) });
  return [...tasks];
}

export async function revoke(name: string): Promise<void> {
  const found = (await chat.devices.list()).find((device) => device.name === name);
  if (found) await chat.devices.revoke(found.device);
}

export async function close(): Promise<void> {
  await chat[Symbol.asyncDispose]();
  await store.close();
}

export async function connect(): Promise<void> {
  chat.connection.open();
  await chat.connection.caughtUp();
}

export function disconnect(): void {
  chat.connection.close();
}

export function phase(): string {
  return chat.connection.state;
}

export function direct(user: string): string {
  return chat.conversations.direct(user);
}

export function group(members: string[]): Promise<string> {
  return chat.conversations.createGroup(members);
}

export function members(conversation: string): Promise<string[]> {
  return chat.conversations.members(conversation);
}

/** A query that somebody looks at from now on. */
export function watch(conversation: string): void {
  messages = chat.messages.live(conversation, { limit: 200 });
  messages.subscribe(() => {});
}

export function live(): Line[] {
  return linesOf(messages.getSnapshot() ?? []);
}

export async function list(conversation: string): Promise<Line[]> {
  return linesOf(await chat.messages.list(conversation, { limit: 500 }));
}

export async function unread(conversation: string): Promise<number | undefined> {
  return (await chat.conversations.list()).find((overview) => overview.conversation === conversation)?.unread;
}

/** @returns its place */
export async function say(conversation: string, text: string): Promise<number> {
  return (await (await chat.messages.send(conversation, text)).sent).seq;
}

/** Only the outbox has it yet. */
export async function queue(conversation: string, text: string): Promise<string> {
  const message = await chat.messages.send(conversation, text);
  sent.push(message.sent.catch((error) => error.code));
  return message.id;
}

/** One every `everyMs`, without waiting for any. */
export function sayMany(conversation: string, label: string, count: number, everyMs: number): void {
  for (let index = 0; index < count; index++) {
    const due = new Promise((resolve) => setTimeout(resolve, index * everyMs));
    const said = due.then(async () => {
      const asked = performance.now();
      const message = await chat.messages.send(conversation, `${label} ${index}`);
      longestWait = Math.max(longestWait, performance.now() - asked);
      return message.sent;
    });
    sent.push(said.catch((error) => error.code ?? `${error}`));
  }
}

/** @returns ms that one of them has taken at most until it was in the outbox */
export function longestWaitMs(): number {
  return longestWait;
}

/** Of everything that was to be sent: its place, or why there is none. */
export async function outcomes(): Promise<(number | string)[]> {
  return (await Promise.all(sent)).map((outcome) => (typeof outcome === "string" ? outcome : outcome.seq));
}

export async function react(conversation: string, text: string, emoji: string): Promise<void> {
  const found = (await chat.messages.list(conversation)).find((message) => textOf(message) === text);
  if (!found) throw new Error(`nobody said ${text}`);
  await chat.messages.react(found, emoji);
}

export async function hide(conversation: string, text: string): Promise<void> {
  const found = (await chat.messages.list(conversation)).find((message) => textOf(message) === text);
  if (found) await chat.messages.deleteForMe(found);
}

export async function search(query: string): Promise<string[]> {
  return (await chat.messages.search(query)).map(({ text }) => text);
}

export function markRead(conversation: string, seq: number): void {
  chat.conversations.markRead(conversation, seq);
}

export function heard(name: keyof ChatEvents): readonly object[] {
  return happened[name] ?? [];
}

export function heardTexts(): string[] {
  return linesOf(happened.message ?? []).map(({ text }) => text);
}

export async function compare(user: string): Promise<string> {
  return chat.identity.verify(user, await chat.identity.safetyNumber(user));
}

export function isVerified(user: string): boolean {
  return chat.identity.status(user)?.verifiedAt !== undefined;
}

export async function deviceNames(): Promise<string[]> {
  return (await chat.devices.list()).map(({ name }) => name);
}

export async function nameMe(name: string): Promise<void> {
  if ("profile" in chat) await chat.profile.update({ name });
}

export async function findPeople(phones: string[]): Promise<string[]> {
  return (await chat.contacts.discover(phones)).map(({ name }) => name);
}

/** @returns how far it said it was, and what opens the backup then */
export async function backUp(passphrase: string): Promise<{ steps: number; opensWith: readonly string[] }> {
  let steps = 0;
  await chat.backup.create({ passphrase, onProgress: () => steps++ });
  return { steps, opensWith: (await chat.backup.status()).opensWith };
}

/** @returns the code with which it ends */
export async function backUpAndAbort(passphrase: string): Promise<string> {
  const signal = AbortSignal.abort();
  return chat.backup.create({ passphrase, signal }).then(
    () => "done",
    (error) => error.code,
  );
}

export function signOut(): Promise<void> {
  return "auth" in chat ? chat.auth.signOut() : Promise.reject(new Error("not with tabs"));
}

/** What others write, as a bot hears it. */
export async function firstIncoming(conversation: string, count: number): Promise<string[]> {
  const texts: string[] = [];
  for await (const { message } of chat.events()) {
    if (message.conversation !== conversation || !isText(message.content)) continue;
    if (texts.push(message.content.text) === count) break;
  }
  return texts;
}

/** As if somebody had exchanged it. */
export async function exchangeKey(database: string): Promise<void> {
  const db = await openDatabase(database);
  await db.put("key", await ValueCipher.makeKey(), ONLY);
  db.close();
}

/** What this tab says to others reaches nobody any more, as if it crashed each time before it comes to that. */
export function fallSilent(): void {
  BroadcastChannel.prototype.postMessage = () => {};
}

function listen(): void {
  for (const name of ["message", "sent", "ticks", "state", "identity_changed"] as const) {
    chat.on(name, (event) => {
      const events: unknown[] = happened[name] ?? [];
      Object.assign(happened, { [name]: [...events, event] });
    });
  }
}

function textOf({ content }: Message): string {
  return isText(content) ? content.text : `<${content.kind}>`;
}

function linesOf(all: readonly Message[]): Line[] {
  return all.flatMap(({ content, status, seq, reactions }) =>
    isText(content) ? [{ text: content.text, status, seq, reactions: reactions.map(({ emoji }) => emoji) }] : [],
  );
}
