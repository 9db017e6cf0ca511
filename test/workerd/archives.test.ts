import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as api from "../../shared/api/archives.ts";
import { deleteAccount } from "../../shared/api/rights.ts";
import { toBase64url } from "../../shared/base64url.ts";
import {
  ARCHIVE_CHUNK_BYTES,
  ARCHIVE_TAG_BYTES,
  MAX_ARCHIVE_BYTES_PER_USER,
  MAX_ARCHIVE_CHUNKS,
  MAX_ARCHIVE_MANIFEST_BYTES,
  MAX_ARCHIVES_PER_USER,
  MAX_BACKUP_ENVELOPE_BYTES,
  TEMPORARY_ARCHIVE_TTL_MS,
} from "../../shared/limits.ts";
import { issueToken } from "../../workers/gateway/auth/tokens.ts";
import { type Account, call, claimsOf, signUp } from "./accounts.ts";
import { ask, refusalOf } from "./asking.ts";
import { eventually } from "./device.ts";

let alice: Account;
let bob: Account;

beforeEach(async () => {
  [alice, bob] = [await signUp(), await signUp()];
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const newId = () => toBase64url(crypto.getRandomValues(new Uint8Array(16)));
const bytesOf = (text: string) => new TextEncoder().encode(text);
const envelope = toBase64url(bytesOf("sealed"));
const at = (archive: string, number?: number | string) => ({
  params: { archive, ...(number !== undefined && { number: String(number) }) },
});

const begin = (archive: string, chunks = 3, account = alice) =>
  ask(api.beginArchive, account, { ...at(archive), body: { chunks } });
const put = (archive: string, number: number, body: Uint8Array = bytesOf(`chunk ${number}`), account = alice) =>
  ask(api.putArchiveChunk, account, { ...at(archive, number), body });
const get = async (archive: string, number: number, account = alice) =>
  new TextDecoder().decode(await ask(api.getArchiveChunk, account, at(archive, number)));
const filesOf = async ({ user }: Account) => (await env.MEDIA.list({ prefix: `user/${user}/` })).objects.length;
const foldersOf = async ({ user }: Account) => {
  const { delimitedPrefixes } = await env.MEDIA.list({ prefix: `user/${user}/archive/`, delimiter: "/" });
  return delimitedPrefixes.map((folder) => folder.split("/").at(-2));
};

/** With two chunks and a manifest. */
async function complete(archive = newId(), account = alice): Promise<string> {
  await begin(archive, 3, account);
  for (const number of [0, 1]) await put(archive, number, undefined, account);
  await ask(api.putArchiveManifest, account, { ...at(archive), body: bytesOf("manifest") });
  return archive;
}

async function backUp(keyId = newId(), archive?: string): Promise<{ archive: string; keyId: string }> {
  const backup = { archive: await complete(archive), keyId };
  await ask(api.setBackup, alice, { body: { ...backup, envelope } });
  return backup;
}

describe("an archive", () => {
  it("keeps chunks as they were put, and says which are there", async () => {
    const archive = newId();
    await begin(archive);
    expect(await ask(api.listArchiveChunks, alice, at(archive))).toEqual({ chunks: [], isComplete: false });
    const largest = Uint8Array.from({ length: ARCHIVE_CHUNK_BYTES + ARCHIVE_TAG_BYTES }, (_, index) => index % 251);
    await put(archive, 0, largest);
    await put(archive, 2);
    expect(await ask(api.getArchiveChunk, alice, at(archive, 0))).toEqual(largest);
    expect(await get(archive, 2)).toBe("chunk 2");
    expect(await ask(api.listArchiveChunks, alice, at(archive))).toEqual({ chunks: [0, 2], isComplete: false });
    await ask(api.putArchiveManifest, alice, { ...at(archive), body: bytesOf("manifest") });
    expect(await ask(api.getArchiveManifest, alice, at(archive))).toEqual(bytesOf("manifest"));
    expect(await ask(api.listArchiveChunks, alice, at(archive))).toEqual({ chunks: [0, 2], isComplete: true });
  });

  it("takes the same chunk again, and another one in its place", async () => {
    const archive = newId();
    await begin(archive);
    for (const text of ["a", "a", "b"]) await put(archive, 1, bytesOf(text));
    expect(await get(archive, 1)).toBe("b");
  });

  it("lists its chunks beyond one page", async () => {
    const archive = newId();
    await begin(archive, 10);
    for (const number of [0, 1, 2, 9]) await put(archive, number);
    const list = env.MEDIA.list.bind(env.MEDIA);
    vi.spyOn(env.MEDIA, "list").mockImplementation((options) => list({ ...options, limit: 2 }));
    expect((await ask(api.listArchiveChunks, alice, at(archive))).chunks).toEqual([0, 1, 2, 9]);
  });

  it("is its owner's alone: to others it is not there", async () => {
    const archive = await complete();
    for (const endpoint of [api.getArchiveManifest, api.listArchiveChunks, api.removeArchive]) {
      expect(await refusalOf(endpoint, bob, at(archive))).toBe("not_found");
    }
    expect(await refusalOf(api.getArchiveChunk, bob, at(archive, 0))).toBe("not_found");
    expect(await refusalOf(api.putArchiveChunk, bob, { ...at(archive, 0), body: bytesOf("x") })).toBe("not_found");
    expect(await refusalOf(api.putArchiveManifest, bob, { ...at(archive), body: bytesOf("x") })).toBe("not_found");
    const body = { archive, envelope, keyId: newId() };
    expect(await refusalOf(api.setBackup, bob, { body })).toBe("not_found");
    expect(await refusalOf(api.viewBackup, bob)).toBe("not_found");
    expect(await filesOf(bob)).toBe(0);
    expect(await get(archive, 0)).toBe("chunk 0");
    await complete(archive, bob);
    await ask(api.removeArchive, bob, at(archive));
    expect(await get(archive, 1)).toBe("chunk 1");
  });

  it("is begun before it has chunks, and has no more than it has room for", async () => {
    const archive = newId();
    expect(await refusalOf(api.putArchiveChunk, alice, { ...at(archive, 0), body: bytesOf("x") })).toBe("not_found");
    await begin(archive, 2);
    expect(await refusalOf(api.putArchiveChunk, alice, { ...at(archive, 2), body: bytesOf("x") })).toBe("too_many");
    await begin(archive, 3);
    await put(archive, 2);
    await begin(archive, 1);
    await put(archive, 2);
  });

  it("is gone with all its files when it is removed", async () => {
    const [archive, other] = [await complete(), await complete()];
    await ask(api.removeArchive, alice, at(archive));
    await eventually(async () => expect(await foldersOf(alice)).toEqual([other]));
    expect(await refusalOf(api.getArchiveChunk, alice, at(archive, 0))).toBe("not_found");
    expect(await refusalOf(api.removeArchive, alice, at(archive))).toBe("not_found");
  });

  it("may be so many, and so large together", async () => {
    for (let count = 0; count < MAX_ARCHIVES_PER_USER; count++) await begin(newId(), 1);
    expect(await refusalOf(api.beginArchive, alice, { ...at(newId()), body: { chunks: 1 } })).toBe("too_many");
    // The largest backup and the next one fill it.
    const largest = [newId(), newId()];
    expect(largest.length * MAX_ARCHIVE_CHUNKS * ARCHIVE_CHUNK_BYTES).toBe(MAX_ARCHIVE_BYTES_PER_USER);
    for (const archive of largest) await begin(archive, MAX_ARCHIVE_CHUNKS, bob);
    expect(await refusalOf(api.beginArchive, bob, { ...at(newId()), body: { chunks: 1 } })).toBe("too_many");
  });

  it("of many that are begun at once no more are than may be", async () => {
    const ids = Array.from({ length: 3 * MAX_ARCHIVES_PER_USER }, newId);
    const tokens = { token: alice.accessToken };
    const answers = await Promise.all(
      ids.map((id) => call(api.beginArchive, { ...tokens, ...at(id), body: { chunks: 1 } })),
    );
    const begun = ids.filter((_, index) => answers[index]!.status === 204);
    expect(begun.length).toBeGreaterThan(0);
    expect(begun.length).toBeLessThanOrEqual(MAX_ARCHIVES_PER_USER);
    for (const { status } of answers) expect([204, 409, 503]).toContain(status);
    for (const id of begun) await put(id, 0);
  });

  it("that no backup names goes after a while, when the next one is begun", async () => {
    const { archive: backup } = await backUp();
    const [old, fresh] = [await complete(), newId()];
    const claims = await claimsOf(alice);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + TEMPORARY_ARCHIVE_TTL_MS });
    alice = { ...alice, accessToken: (await issueToken(env.TOKEN_KEYS, "access", claims)).token };
    await begin(fresh);
    await put(fresh, 0);
    await eventually(async () => expect((await foldersOf(alice)).sort()).toEqual([backup, fresh].sort()));
    expect(await refusalOf(api.putArchiveChunk, alice, { ...at(old, 0), body: bytesOf("x") })).toBe("not_found");
    expect(await get(backup, 0)).toBe("chunk 0");
  });

  it("leaves nothing behind for long if its removal breaks off", async () => {
    const archive = await complete();
    const breaks = vi.spyOn(env.MEDIA, "delete").mockRejectedValueOnce(new Error("no store"));
    await ask(api.removeArchive, alice, at(archive));
    await eventually(() => expect(breaks).toHaveBeenCalled());
    expect(await foldersOf(alice)).toEqual([archive]);
    await begin(newId());
    await eventually(async () => expect(await foldersOf(alice)).toEqual([]));
  });
});

const NOT_THERE = ["not_found", "method_not_allowed"];

describe("what is no chunk", () => {
  it("of an archive whose id is none", async () => {
    const wrong = ["x", "..", "%2e%2e%2fbackup", newId().slice(1), `${newId()}A`, `${newId().slice(0, 21)}B`];
    for (const id of [...wrong, "A".repeat(500)]) {
      for (const [endpoint, body] of [
        [api.beginArchive, { chunks: 1 }],
        [api.putArchiveChunk, bytesOf("x")],
        [api.getArchiveChunk, undefined],
        [api.removeArchive, undefined],
      ] as const) {
        expect(NOT_THERE).toContain(await refusalOf(endpoint, alice, { ...at(id, 0), body }));
      }
    }
    expect(await filesOf(alice)).toBe(0);
  });

  it("with a number that is none", async () => {
    const archive = newId();
    await begin(archive, MAX_ARCHIVE_CHUNKS);
    const before = await filesOf(alice);
    const wrong = ["-1", "01", "1.5", "1e3", "x", "..", "NaN", String(MAX_ARCHIVE_CHUNKS), "9".repeat(30)];
    for (const number of wrong) {
      const asked = { ...at(archive, number), body: bytesOf("x") };
      expect(NOT_THERE).toContain(await refusalOf(api.putArchiveChunk, alice, asked));
      expect(NOT_THERE).toContain(await refusalOf(api.getArchiveChunk, alice, at(archive, number)));
    }
    expect(await filesOf(alice)).toBe(before);
  });

  it("bytes that are too many, none, or are not declared as bytes", async () => {
    const archive = newId();
    await begin(archive);
    const refused = (body: unknown, headers: Record<string, string> = {}) =>
      refusalOf(api.putArchiveChunk, alice, { ...at(archive, 0), body, headers });
    expect(await refused(new Uint8Array(ARCHIVE_CHUNK_BYTES + ARCHIVE_TAG_BYTES + 1))).toBe("too_large");
    expect(await refused(new Uint8Array(0))).toBe("bad_frame");
    expect(await refused(undefined)).toBe("bad_frame");
    expect(await refused({ chunk: "x" })).toBe("bad_frame");
    expect(await refused(bytesOf("x"), { "content-type": "text/plain" })).toBe("bad_frame");
    const manifest = { ...at(archive), body: new Uint8Array(MAX_ARCHIVE_MANIFEST_BYTES + 1) };
    expect(await refusalOf(api.putArchiveManifest, alice, manifest)).toBe("too_large");
    expect(await ask(api.listArchiveChunks, alice, at(archive))).toEqual({ chunks: [], isComplete: false });
  });

  it("in a room of no sensible size", async () => {
    for (const chunks of [0, -1, 1.5, "3", null, MAX_ARCHIVE_CHUNKS + 1, 2 ** 53]) {
      expect(await refusalOf(api.beginArchive, alice, { ...at(newId()), body: { chunks } })).toBe("bad_frame");
    }
  });

  it("that of nobody", async () => {
    for (const endpoint of Object.values(api).filter((value) => "method" in value)) {
      const { status } = await call(endpoint, at(newId(), 0));
      expect(status).toBe(401);
    }
  });
});

describe("a backup", () => {
  it("names an archive that is complete, and what opens it", async () => {
    expect(await refusalOf(api.viewBackup, alice)).toBe("not_found");
    const backup = await backUp();
    expect(await ask(api.viewBackup, alice)).toEqual({ ...backup, envelope, updatedAt: expect.any(Number) });
    const unfinished = newId();
    await begin(unfinished);
    for (const archive of [unfinished, newId()]) {
      const body = { archive, envelope, keyId: newId() };
      expect(await refusalOf(api.setBackup, alice, { body })).toBe("not_found");
    }
    expect(await ask(api.viewBackup, alice)).toMatchObject(backup);
  });

  it("moves on to the next archive, and the one before goes", async () => {
    const { archive: first, keyId } = await backUp();
    const second = await complete();
    await ask(api.setBackup, alice, { body: { archive: second, keyId } });
    expect(await ask(api.viewBackup, alice)).toMatchObject({ archive: second, keyId, envelope });
    await eventually(async () => expect(await foldersOf(alice)).toEqual([second]));
    expect(await refusalOf(api.getArchiveChunk, alice, at(first, 0))).toBe("not_found");
    await ask(api.setBackup, alice, { body: { archive: second, keyId } });
    expect(await get(second, 1)).toBe("chunk 1");
  });

  it("gets another envelope, and keeps its archive", async () => {
    const { archive, keyId } = await backUp();
    const other = toBase64url(bytesOf("sealed otherwise"));
    await ask(api.setBackup, alice, { body: { keyId, envelope: other } });
    expect(await ask(api.viewBackup, alice)).toMatchObject({ archive, keyId, envelope: other });
  });

  it("is not given what fits another key, unless it is all of it", async () => {
    const backup = await backUp();
    const archive = await complete();
    const keyId = newId();
    expect(await refusalOf(api.setBackup, alice, { body: { keyId, archive } })).toBe("taken");
    expect(await refusalOf(api.setBackup, alice, { body: { keyId, envelope } })).toBe("taken");
    expect(await ask(api.viewBackup, alice)).toMatchObject(backup);
    await ask(api.setBackup, alice, { body: { keyId, archive, envelope } });
    expect(await ask(api.viewBackup, alice)).toMatchObject({ keyId, archive });
  });

  it("has both parts from the beginning", async () => {
    const archive = await complete();
    for (const body of [{ archive }, { envelope }]) {
      expect(await refusalOf(api.setBackup, alice, { body: { ...body, keyId: newId() } })).toBe("not_found");
    }
    expect(await refusalOf(api.setBackup, alice, { body: { keyId: newId() } })).toBe("bad_frame");
  });

  it("has an envelope of a sensible size and form", async () => {
    const archive = await complete();
    const tooLong = "A".repeat(Math.ceil((MAX_BACKUP_ENVELOPE_BYTES * 4) / 3) + 1);
    for (const wrong of [tooLong, "", "a b", "a+/=", 7, null, ["x"]]) {
      const body = { archive, keyId: newId(), envelope: wrong };
      expect(await refusalOf(api.setBackup, alice, { body })).toBe("bad_frame");
    }
    for (const keyId of ["", "x", newId().slice(1), 7]) {
      expect(await refusalOf(api.setBackup, alice, { body: { archive, keyId, envelope } })).toBe("bad_frame");
    }
    const longest = tooLong.slice(1);
    await ask(api.setBackup, alice, { body: { archive, keyId: newId(), envelope: longest } });
    expect((await ask(api.viewBackup, alice)).envelope).toBe(longest);
  });

  it("goes with its archive when it is removed, and only then", async () => {
    const { archive } = await backUp();
    expect(await refusalOf(api.removeArchive, alice, at(archive))).toBe("not_allowed");
    await ask(api.removeBackup, alice);
    await eventually(async () => expect(await foldersOf(alice)).toEqual([]));
    expect(await refusalOf(api.viewBackup, alice)).toBe("not_found");
    expect(await refusalOf(api.removeBackup, alice)).toBe("not_found");
  });
});

describe("removing the account", () => {
  const remove = () => ask(deleteAccount, alice, { body: { confirm: "remove my account" } });

  it("R14 takes backup and archives with it", async () => {
    await backUp();
    const archive = newId();
    await begin(archive, 1, bob);
    await put(archive, 0, undefined, bob);
    // The directory, two chunks and a manifest.
    expect((await remove()).removal.files).toBe(4);
    expect(await filesOf(alice)).toBe(0);
    expect(await get(archive, 0, bob)).toBe("chunk 0");
  });

  it("R14 leaves nothing of what is being written meanwhile", async () => {
    const archive = newId();
    await begin(archive);
    const write = env.MEDIA.put.bind(env.MEDIA);
    const { promise: isRemoved, resolve: removed } = Promise.withResolvers<void>();
    vi.spyOn(env.MEDIA, "put").mockImplementation((async (...args: Parameters<R2Bucket["put"]>) => {
      await isRemoved;
      return write(...args);
    }) as R2Bucket["put"]);
    const late = [
      refusalOf(api.putArchiveChunk, alice, { ...at(archive, 0), body: bytesOf("x") }),
      refusalOf(api.beginArchive, alice, { ...at(newId()), body: { chunks: 1 } }),
    ];
    await eventually(() => expect(env.MEDIA.put).toHaveBeenCalledTimes(2));
    await remove();
    removed();
    expect(await late[0]).toBe("unauthenticated");
    expect(["unauthenticated", "busy"]).toContain(await late[1]);
    expect(await filesOf(alice)).toBe(0);
  });
});
