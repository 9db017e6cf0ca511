import { beforeEach, describe, expect, test, vi } from "vitest";
import type { FakeArchives } from "../../test/fake/archives.ts";
import {
  alice,
  bob,
  deviceOf,
  newServer,
  type Opened,
  openOffline,
  reader,
  said,
  sendAll,
  soon,
} from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import { sealEnvelope } from "../backup/envelope.ts";
import { makeRecoveryCode } from "../backup/recovery-code.ts";
import type { ChatOptions } from "../chat.ts";
import { ChatError } from "../chat-error.ts";
import { type RestoreOptions, restoreBackup } from "../history/restore-backup.ts";
import { makeAccountKey } from "../identity/account-key.ts";
import { decodePin, encodePin } from "../identity/pins.ts";
import { MemoryStore } from "../store/memory.ts";
import type { StoreChange } from "../store/store.ts";
import type { BackupStatus } from "./backup.ts";

/** Stretching a passphrase as devices do takes too long for so many tests; waiting too. */
vi.mock("../../shared/limits.ts", async (original) => ({
  ...(await original<typeof import("../../shared/limits.ts")>()),
  PASSPHRASE_MEMORY_KIB: 64,
  PASSPHRASE_PASSES: 1,
  MIN_RECONCILIATION_DELAY_MS: 20,
  MAX_RECONCILIATION_DELAY_MS: 200,
  TRANSFER_RETRY_MS: 1,
  ASK_AFTER_MS: 50,
  ANSWER_WITHIN_MS: 50,
}));

const passphrase = "correct horse battery";
const code = await makeRecoveryCode();
/** So that a backup has several chunks. */
const long = "x".repeat(12_000);

let server: FakeServer;
let archives: FakeArchives;
let a: Opened;
let b: Opened;
let chat: string;
let group: string;

async function open(user: string, name: string, part: Partial<ChatOptions> = {}): Promise<Opened> {
  const opened = await openOffline(server, user, name, part);
  opened.chat.connection.open();
  await opened.chat.connection.caughtUp();
  return opened;
}

beforeEach(async () => {
  server = newServer();
  archives = server.archivesOf(alice);
  a = await open(alice, "A1");
  b = await open(bob, "B1");
  chat = a.chat.conversations.direct(bob);
  await sendAll(a.chat, chat, ["one", long]);
  await soon(b.chat, chat).toContain("one");
  await sendAll(b.chat, chat, ["two"]);
  group = await b.chat.conversations.createGroup([alice]);
  await sendAll(b.chat, group, ["in the group"]);
  await soon(a.chat, chat).toEqual(["one", long, "two"]);
  await soon(a.chat, group).toEqual(["in the group"]);
});

/** On a device that has nothing yet, by somebody who has signed in there. */
function restore(
  secret: { code: string } | { passphrase: string },
  {
    name = "A2",
    store = new MemoryStore(),
    ...options
  }: { name?: string; store?: MemoryStore } & Partial<RestoreOptions> = {},
) {
  const { account } = server.signIn(alice, deviceOf(name));
  return restoreBackup({ account, store, ...options, ...secret } as RestoreOptions);
}

/** Alice has lost her phone, and starts anew with her code. */
async function startAnew(secret: { code: string } | { passphrase: string } = { code }, store = new MemoryStore()) {
  const accountKey = await restore(secret, { store });
  return open(alice, "A2", { store, accountKey });
}

/** Writes enough for several chunks. */
async function writeMuch(): Promise<void> {
  const texts = Array.from({ length: 60 }, (_, number) => `${number} ${long}`);
  await Promise.all((await Promise.all(texts.map((text) => a.chat.messages.send(chat, text)))).map(({ sent }) => sent));
}

const status = (): Promise<BackupStatus> => a.chat.backup.status();

describe("a backup", { timeout: 60_000 }, () => {
  test.each([
    ["the code", { code }],
    ["the passphrase", { passphrase }],
  ])("brings everything back with %s, after the phone is lost", async (_, secret) => {
    await a.chat.backup.create({ code, passphrase });
    await a.chat[Symbol.asyncDispose]();
    server.revoke(a.chat.device);
    const fresh = await startAnew(secret);
    expect(await said(fresh.chat, chat)).toEqual(["one", long, "two"]);
    expect(await said(fresh.chat, group)).toEqual(["in the group"]);
    // It joins by itself, and the lost phone's leaves go: nobody has to see to it.
    const leaves = (id: string) => reader.usersOf(server.conversation(id).group!.tree).length;
    const byItself = (id: string) => server.conversation(id).log.some(({ device }) => device === fresh.chat.device);
    for (const id of [chat, group]) {
      await expect.poll(() => byItself(id), { timeout: 15_000 }).toBe(true);
      await expect.poll(() => leaves(id), { timeout: 15_000 }).toBe(2);
    }
    await sendAll(b.chat, chat, ["and now?"]);
    await soon(fresh.chat, chat).toEqual(["one", long, "two", "and now?"]);
    await sendAll(fresh.chat, group, ["back again"]);
    await soon(b.chat, group).toEqual(["in the group", "back again"]);
  });

  test("R17 who was verified is so on the next phone, and a key that has changed meanwhile is shown", async () => {
    await a.chat.identity.verify(bob, b.chat.identity.safetyCode(alice));
    const compared = a.chat.identity.status(bob);
    await a.chat.backup.create({ code });
    await a.chat[Symbol.asyncDispose]();
    const store = new MemoryStore();
    const accountKey = await restore({ code }, { store });
    const fresh = await openOffline(server, alice, "A2", { store, accountKey });
    expect(fresh.chat.identity.status(bob)).toEqual(compared);
    const changes: unknown[] = [];
    fresh.chat.on("key_changed", ({ user, wasVerified }) => changes.push({ user, wasVerified }));
    await b.chat[Symbol.asyncDispose]();
    const other = await open(bob, "B2", { resetIdentity: true });
    await sendAll(other.chat, chat, ["it is me"]);
    fresh.chat.connection.open();
    await expect.poll(() => changes, { timeout: 15_000 }).toEqual([{ user: bob, wasVerified: true }]);
    expect(fresh.chat.identity.status(bob)?.verifiedAt).toBeUndefined();
  });

  test("R17 who was verified is not verified by another key, where a device has met that one", async () => {
    await a.chat.identity.verify(bob, b.chat.identity.safetyCode(alice));
    await a.chat.backup.create({ code });
    const { publicKey } = await makeAccountKey();
    const met = { type: "record", key: `pin/${bob}`, value: encodePin({ accountKey: publicKey, since: Date.now() }) };
    const store = new MemoryStore();
    await store.load({ user: alice, device: deviceOf("A2") });
    await store.persist([met as StoreChange]);
    await restore({ code }, { store });
    const pin = decodePin((await store.record(`pin/${bob}`))!);
    expect(pin).toMatchObject({ accountKey: publicKey, isUnconfirmed: true });
    expect(pin.verifiedAt).toBeUndefined();
  });

  test("R19 what was said after it, while there was no device, is asked for again; what was put away before it is not", async () => {
    const [away] = (await a.chat.messages.list(chat)).slice(-1);
    await a.chat.messages.deleteForMe(away!);
    await a.chat.backup.create({ code });
    await a.chat[Symbol.asyncDispose]();
    await sendAll(b.chat, chat, ["are you there?", "and now?"]);
    await sendAll(b.chat, group, ["where is she?"]);
    const deleted = (await b.chat.messages.list(chat)).findLast(({ content }) => content.kind === "text");
    await b.chat.messages.delete(deleted!);
    const fresh = await startAnew();
    await soon(fresh.chat, group).toEqual(["in the group", "where is she?"]);
    await soon(fresh.chat, chat).toContain("are you there?");
    const all = await said(fresh.chat, chat);
    expect(all.slice(0, 3)).toEqual(["one", long, "are you there?"]);
    expect(all).not.toContain("and now?");
    expect(all).not.toContain("two");
    // The first of them all came before she was in.
    await sendAll(fresh.chat, chat, ["here I am"]);
    await soon(b.chat, chat).toContain("here I am");
  });

  test("fills in what a device could not read, if it was opened without it before", async () => {
    await a.chat.backup.create({ code });
    const { account } = server.signIn(alice, deviceOf("A9"));
    const accountKey = await restoreBackup({ account, store: new MemoryStore(), code });
    const early = await open(alice, "A2", { accountKey });
    await early.chat.connection.caughtUp();
    await expect.poll(() => said(early.chat, chat)).not.toContain("one");
    const { store } = early;
    await early.chat[Symbol.asyncDispose]();
    const fresh = await startAnew({ code }, store);
    expect(await said(fresh.chat, chat)).toEqual(["one", long, "two"]);
    expect(await said(fresh.chat, group)).toEqual(["in the group"]);
  });

  test("tells how it stands", async () => {
    const none = { opensWith: [], updatedAt: undefined, canUpdate: false, isUnfinished: false };
    expect(await status()).toEqual(none);
    await a.chat.backup.create({ code });
    const made = { opensWith: ["code"], updatedAt: expect.any(Number), canUpdate: true, isUnfinished: false };
    expect(await status()).toEqual(made);
    await a.chat.backup.changePassphrase(passphrase);
    expect((await status()).opensWith.toSorted()).toEqual(["code", "passphrase"]);
    await a.chat.backup.remove();
    expect(await status()).toEqual(none);
    expect(archives.archives.size).toBe(0);
  });

  test("is brought up to date, and what opened it opens it still", async () => {
    await a.chat.backup.create({ code });
    const { archive: first } = await archives.backup();
    await sendAll(b.chat, chat, ["three"]);
    await soon(a.chat, chat).toContain("three");
    const progress: number[] = [];
    await a.chat.backup.update({ onProgress: ({ done, total }) => progress.push(done / total) });
    expect(progress.at(0)).toBe(0);
    expect(progress.at(-1)).toBe(1);
    expect(progress).toEqual(progress.toSorted((one, other) => one - other));
    expect([...archives.archives.keys()]).not.toContain(first);
    expect(archives.archives.size).toBe(1);
    const fresh = await startAnew();
    expect(await said(fresh.chat, chat)).toEqual(["one", long, "two", "three"]);
  });

  test("is kept up to date by the device that restored it, too", async () => {
    await a.chat.backup.create({ code });
    const fresh = await startAnew();
    await sendAll(fresh.chat, chat, ["on the new one"]);
    await fresh.chat.backup.update();
    await a.chat.backup.update();
    const third = await restore({ code }, { name: "A3" });
    expect(third.publicKey).toEqual(server.accountKeys.get(alice));
  });

  test("gets another passphrase, and the one before is good for nothing", async () => {
    await a.chat.backup.create({ code, passphrase });
    await a.chat.backup.changePassphrase("another one altogether");
    await expect(restore({ passphrase })).rejects.toMatchObject({ code: "wrong_code" });
    await restore({ passphrase: "another one altogether" });
    const next = await makeRecoveryCode();
    await a.chat.backup.changeCode(next);
    await expect(restore({ code })).rejects.toMatchObject({ code: "wrong_code" });
    await restore({ code: next });
  });

  test("does not mix with one that another device has made since", async () => {
    await a.chat.backup.create({ code });
    const fresh = await startAnew();
    const next = await makeRecoveryCode();
    await fresh.chat.backup.create({ code: next });
    expect(await status()).toMatchObject({ canUpdate: false });
    await expect(a.chat.backup.update()).rejects.toMatchObject({ code: "taken" });
    await expect(a.chat.backup.changePassphrase(passphrase)).rejects.toMatchObject({ code: "taken" });
    await restore({ code: next }, { name: "A3" });
    expect(archives.archives.size).toBe(1);
    expect(await status()).toMatchObject({ isUnfinished: false });
  });

  test("that is not there is not found", async () => {
    await expect(restore({ code })).rejects.toMatchObject({ code: "not_found" });
    for (const work of [a.chat.backup.update(), a.chat.backup.changePassphrase(passphrase)]) {
      await expect(work).rejects.toMatchObject({ code: "not_found" });
    }
    await a.chat.backup.remove();
    await a.chat.backup.create({ code });
    await expect(restore({ passphrase })).rejects.toMatchObject({ code: "not_found" });
  });

  test("is not made with what nobody could remember, or everybody guess", async () => {
    for (const secrets of [{ code: "twelve words" }, { passphrase: "short" }, { code, passphrase: "short" }]) {
      await expect(a.chat.backup.create(secrets)).rejects.toMatchObject({ code: "code_malformed" });
    }
    expect(archives.asked).toEqual([]);
  });
});

describe("making a backup", { timeout: 60_000 }, () => {
  beforeEach(writeMuch);

  test("goes on after the app was closed, at every chunk", async () => {
    let failing = 0;
    archives.fail = (what, when) => {
      if (what === `put ${failing}` && when === "after") throw new ChatError("not_sealed");
    };
    await expect(a.chat.backup.create({ code })).rejects.toMatchObject({ code: "not_sealed" });
    for (failing = 1; failing < 3; failing++) {
      a = await a.reopen();
      expect(await status()).toMatchObject({ opensWith: [], isUnfinished: true });
      await expect(a.chat.backup.update()).rejects.toMatchObject({ code: "not_sealed" });
    }
    archives.fail = () => {};
    await a.chat.backup.update();
    expect(await status()).toMatchObject({ opensWith: ["code"], isUnfinished: false, canUpdate: true });
    for (const [name, chunks] of archives.put) {
      expect({ name, same: chunks.every((chunk) => Buffer.compare(chunk, chunks[0]!) === 0) }).toEqual({
        name,
        same: true,
      });
    }
    const fresh = await startAnew();
    expect(await said(fresh.chat, chat)).toEqual(await said(a.chat, chat));
  });

  test("begins anew where the server has lost what there was", async () => {
    archives.fail = (what) => {
      if (what === "put 1") throw new ChatError("not_sealed");
    };
    await expect(a.chat.backup.create({ code })).rejects.toMatchObject({ code: "not_sealed" });
    archives.fail = () => {};
    archives.archives.clear();
    await a.chat.backup.update();
    const fresh = await startAnew();
    expect(await said(fresh.chat, chat)).toEqual(await said(a.chat, chat));
  });

  test("is given up for another one", async () => {
    archives.fail = (what) => {
      if (what === "put 1") throw new ChatError("not_sealed");
    };
    await expect(a.chat.backup.create({ code })).rejects.toMatchObject({ code: "not_sealed" });
    archives.fail = () => {};
    const next = await makeRecoveryCode();
    await a.chat.backup.create({ code: next });
    expect(archives.archives.size).toBe(1);
    await restore({ code: next });
    await expect(restore({ code }, { name: "A3" })).rejects.toMatchObject({ code: "wrong_code" });
  });

  test("happens once at a time, and ends when it is told to", async () => {
    const end = new AbortController();
    archives.fail = (what) => {
      if (what === "put 1") end.abort();
    };
    const making = a.chat.backup.create({ code, signal: end.signal });
    await expect(a.chat.backup.update()).rejects.toMatchObject({ code: "busy" });
    await expect(making).rejects.toMatchObject({ code: "closed" });
    expect(await status()).toMatchObject({ opensWith: [], isUnfinished: true });
  });
});

describe("restoring", { timeout: 60_000 }, () => {
  beforeEach(async () => {
    await writeMuch();
    await a.chat.backup.create({ code, passphrase });
    archives.asked.length = 0;
  });

  test("with a wrong code changes nothing, and can be tried again", async () => {
    const store = new MemoryStore();
    const load = vi.spyOn(store, "load");
    for (const secret of [{ code: await makeRecoveryCode() }, { passphrase: "not this one" }]) {
      await expect(restore(secret, { store })).rejects.toMatchObject({ code: "wrong_code" });
    }
    await expect(restore({ code: "no code at all" }, { store })).rejects.toMatchObject({ code: "code_malformed" });
    expect(load).not.toHaveBeenCalled();
    const fresh = await startAnew({ code }, store);
    expect(await said(fresh.chat, chat)).toEqual(await said(a.chat, chat));
  });

  test("goes on where it broke off, at every chunk", async () => {
    const store = new MemoryStore();
    let failing = 1;
    archives.fail = (what) => {
      if (what === `get ${failing}`) throw new ChatError("not_sealed");
    };
    for (; failing < 3; failing++) {
      await expect(restore({ code }, { store })).rejects.toMatchObject({ code: "not_sealed" });
    }
    archives.fail = () => {};
    const progress: unknown[] = [];
    await restore({ code }, { store, onProgress: ({ done, total }) => progress.push(done, total) });
    expect(archives.asked.filter((what) => what.startsWith("get "))).toEqual([
      ...["get manifest", "get 0", "get 1", "get manifest", "get 1", "get 2", "get manifest", "get 2"],
    ]);
    expect(progress).toEqual([2, 3, 3, 3]);
    const [first] = await store.scan(chat, 0, 1);
    expect(first).toMatchObject({ isEvent: true });
    expect((await store.conversations()).map(({ conversation }) => conversation).toSorted()).toEqual(
      [chat, group].toSorted(),
    );
  });

  test("takes the newer one where another device replaces it meanwhile", async () => {
    let replaced: Promise<void> | undefined;
    archives.fail = (what, when) => {
      if (what === "get 1" && when === "before" && !replaced) replaced = a.chat.backup.update();
    };
    const get = archives.chunk.bind(archives);
    vi.spyOn(archives, "chunk").mockImplementation(async (archive, number) => {
      const chunk = get(archive, number);
      if (replaced) await replaced;
      return number === 1 && ![...archives.archives.keys()].includes(archive) ? get(archive, number) : chunk;
    });
    const fresh = await startAnew();
    expect(replaced).toBeDefined();
    expect(await said(fresh.chat, chat)).toEqual(await said(a.chat, chat));
  });

  test("notices what is not the person's own", async () => {
    const backup = await archives.backup();
    const archive = archives.archives.get(backup.archive)!;
    const expectRefused = (refusal: string) => expect(restore({ code })).rejects.toMatchObject({ code: refusal });
    const chunk = archive.chunks.get(1)!;
    archive.chunks.set(
      1,
      chunk.map((byte, at) => (at === 9 ? byte ^ 1 : byte)),
    );
    await expectRefused("tampered");
    archive.chunks.delete(1);
    await expectRefused("tampered");
    archive.chunks.set(1, chunk);
    const manifest = archive.manifest!;
    archive.manifest = manifest.map((byte, at) => (at === manifest.length - 1 ? byte ^ 1 : byte));
    await expectRefused("backup_unsigned");
    archive.manifest = manifest;
    archives.stored = { ...backup, envelope: backup.envelope.map((byte, at) => (at === 40 ? byte ^ 1 : byte)) };
    await expectRefused("tampered");
    archives.stored = backup;
    const accountKey = server.accountKeys.get(alice)!;
    server.accountKeys.set(alice, (await makeAccountKey()).publicKey);
    await expectRefused("tampered");
    server.accountKeys.delete(alice);
    await expectRefused("backup_unsigned");
    server.accountKeys.set(alice, accountKey);
    await restore({ code });
  });

  test("does not fall for an identity that somebody has made up for this person", async () => {
    const forged = await makeAccountKey();
    const archiveKey = crypto.getRandomValues(new Uint8Array(32));
    const guess = { kind: "passphrase", passphrase: "something else" } as const;
    const envelope = await sealEnvelope(alice, { archiveKey, accountKey: forged }, [guess]);
    archives.stored = { ...(await archives.backup()), envelope };
    server.accountKeys.set(alice, forged.publicKey);
    await expect(restore({ code })).rejects.toMatchObject({ code: "not_found" });
    await expect(restore({ passphrase })).rejects.toMatchObject({ code: "wrong_code" });
  });
});
