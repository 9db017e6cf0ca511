import { ulid } from "ulid";
import { beforeAll, describe, expect, it } from "vitest";
import { ARCHIVE_CHUNK_BYTES, MAX_ARCHIVE_CHUNKS } from "../../shared/limits.ts";
import { type AccountKey, makeAccountKey, signStatement } from "../identity/account-key.ts";
import { type Bytes, SIGNATURE_BYTES } from "../identity/ed25519.ts";
import { joinBytes } from "../link-cipher.ts";
import {
  type ArchiveState,
  beginArchive,
  decodeArchiveState,
  encodeArchiveState,
  makeArchiveKey,
  readArchive,
  readManifest,
  signManifest,
  writeArchive,
} from "./archive.ts";

interface Written {
  chunks: Bytes[];
  state: ArchiveState;
}

/** Numbered, so that none is like another. */
const record = (number: number, length: number) => {
  const bytes = new Uint8Array(length).fill(number);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
};
/** Two to a chunk: three chunks. */
const large = Array.from({ length: 5 }, (_, number) => record(number, 100_000));
const small = Array.from({ length: 3 }, (_, number) => record(number, 20));
/** Compared as text: byte by byte, large arrays take seconds. */
const text = (all: readonly Uint8Array[]) => all.map((bytes) => Buffer.from(bytes).toString("base64"));
const flip = (from: Uint8Array, at: number) => from.map((byte, index) => (index === at ? byte ^ 1 : byte));

async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of from) all.push(each);
  return all;
}

async function write(key: Uint8Array, records: Uint8Array[], begun = beginArchive(1_000)): Promise<Written> {
  const chunks: Bytes[] = [];
  let state = begun;
  for await (const written of writeArchive(key, begun, records)) {
    chunks.push(written.chunk);
    state = written.state;
    expect(state.chunks).toBe(chunks.length);
  }
  return { chunks, state };
}

async function goOn(from: ArchiveState, records: Uint8Array[]): Promise<Written> {
  const written = await collect(writeArchive(archiveKey, from, records));
  return { chunks: written.map(({ chunk }) => chunk), state: written.at(-1)?.state ?? from };
}

/** The same archive before its first chunk. */
const begunAs = ({ state }: Written): ArchiveState => ({
  ...state,
  chunks: 0,
  records: 0,
  digest: new Uint8Array(32),
  isComplete: false,
});

async function read(key: Uint8Array, manifest: ArchiveState, chunks: Uint8Array[], from?: ArchiveState) {
  const records: Uint8Array[] = [];
  const fetchChunk = async (number: number) => chunks[number] ?? Promise.reject(new Error(`no chunk ${number}`));
  for await (const chunk of readArchive(key, manifest, fetchChunk, from)) records.push(...chunk.records);
  return records;
}

const archiveKey = makeArchiveKey();
const user = ulid();
let account: AccountKey;
let three: Written;
let one: Written;

beforeAll(async () => {
  account = await makeAccountKey();
  three = await write(archiveKey, large);
  one = await write(archiveKey, small);
});

const isTampered = { code: "tampered" };
const expectTampered = async (manifest: ArchiveState, chunks: Uint8Array[], key: Uint8Array = archiveKey) => {
  await expect(read(key, manifest, chunks)).rejects.toMatchObject(isTampered);
};

describe("an archive", () => {
  it("gives the records back, in order, chunk by chunk", async () => {
    expect(three.chunks.length).toBe(3);
    expect(three.state).toMatchObject({ chunks: 3, records: 5, createdAt: 1_000, isComplete: true });
    expect(text(await read(archiveKey, three.state, three.chunks))).toEqual(text(large));
  });

  it("may be empty, or hold empty records", async () => {
    for (const records of [[], [new Uint8Array()], [new Uint8Array(), record(1, 9), new Uint8Array()]]) {
      const { chunks, state } = await write(archiveKey, records);
      expect(chunks.length).toBe(1);
      expect(await read(archiveKey, state, chunks)).toEqual(records);
    }
  });

  it("takes records as they come", async () => {
    async function* coming() {
      yield* small;
    }
    const [written] = await collect(writeArchive(archiveKey, beginArchive(1), coming()));
    expect(await read(archiveKey, written!.state, [written!.chunk])).toEqual(small);
  });

  it("fills chunks up to the bound, and cuts no record", async () => {
    const full = record(1, ARCHIVE_CHUNK_BYTES - 4);
    const { chunks, state } = await write(archiveKey, [full, full]);
    expect(chunks.map(({ byteLength }) => byteLength)).toEqual(Array(2).fill(ARCHIVE_CHUNK_BYTES + 16));
    expect(text(await read(archiveKey, state, chunks))).toEqual(text([full, full]));
    expect(chunks[0]!.subarray(0, 64)).not.toEqual(chunks[1]!.subarray(0, 64));
    await expect(write(archiveKey, [record(1, ARCHIVE_CHUNK_BYTES - 3)])).rejects.toMatchObject({ code: "too_large" });
  });

  it("ends at the bound", async () => {
    const almost = { ...beginArchive(1), chunks: MAX_ARCHIVE_CHUNKS - 1 };
    expect((await goOn(almost, small)).state).toMatchObject({ chunks: MAX_ARCHIVE_CHUNKS, isComplete: true });
    await expect(goOn(almost, large)).rejects.toMatchObject({ code: "too_large" });
  });

  it("shows nothing of what is in it, nor twice the same bytes", async () => {
    const again = await write(archiveKey, small);
    expect(again.chunks[0]).not.toEqual(one.chunks[0]);
    expect(Buffer.from(one.chunks[0]!).includes(Buffer.from(small[1]!.subarray(8)))).toBe(false);
  });

  it("is written on after a crash as if there had been none", async () => {
    const begun = beginArchive(7);
    const whole = await write(archiveKey, large, begun);
    for (const after of [1, 2]) {
      const chunks: Bytes[] = [];
      let stored = new Uint8Array();
      for await (const { chunk, state } of writeArchive(archiveKey, begun, large)) {
        chunks.push(chunk);
        stored = encodeArchiveState(state);
        if (chunks.length === after) break;
      }
      const state = decodeArchiveState(stored);
      const rest = await goOn(state, large.slice(state.records));
      expect(text([...chunks, ...rest.chunks])).toEqual(text(whole.chunks));
      expect(rest.state).toEqual(whole.state);
    }
    expect((await goOn(whole.state, [])).chunks).toEqual([]);
  });

  it("is read on from where reading stopped", async () => {
    const fetched: number[] = [];
    const fetchChunk = async (number: number) => {
      fetched.push(number);
      return three.chunks[number]!;
    };
    const reading = readArchive(archiveKey, three.state, fetchChunk);
    const first = await reading.next();
    const { records, state } = first.value!;
    expect(text(records)).toEqual(text(large.slice(0, 2)));
    expect(state.chunks).toBe(1);
    const stored = decodeArchiveState(encodeArchiveState(state));
    const rest = await collect(readArchive(archiveKey, three.state, fetchChunk, stored));
    expect(text(rest.flatMap((chunk) => chunk.records))).toEqual(text(large.slice(2)));
    expect(fetched).toEqual([0, 1, 2]);
    expect(await read(archiveKey, three.state, [], rest.at(-1)!.state)).toEqual([]);
  });
});

describe("chunks that are not those of the archive are noticed:", () => {
  it("any byte changed", async () => {
    const [chunk] = one.chunks;
    for (let at = 0; at < chunk!.byteLength; at++) await expectTampered(one.state, [flip(chunk!, at)]);
    for (const at of [0, 131_072, 200_000]) {
      await expectTampered(
        three.state,
        three.chunks.map((bytes, number) => (number === 1 ? flip(bytes, at) : bytes)),
      );
    }
  });

  it("shorter, longer, empty", async () => {
    const chunk = one.chunks[0]!;
    for (let length = 0; length < chunk.byteLength; length++)
      await expectTampered(one.state, [chunk.subarray(0, length)]);
    await expectTampered(one.state, [joinBytes(chunk, new Uint8Array(1))]);
    await expectTampered(one.state, [new Uint8Array(ARCHIVE_CHUNK_BYTES + 17)]);
  });

  it("in another order, one twice, one left out", async () => {
    const [a, b, c] = three.chunks as [Bytes, Bytes, Bytes];
    for (const chunks of [
      [b, a, c],
      [a, c, b],
      [c, b, a],
      [a, a, c],
      [b, c],
      [a, c],
    ]) {
      await expectTampered(three.state, chunks);
    }
  });

  it("those of another archive under the same key", async () => {
    const other = await write(archiveKey, large);
    for (const number of [0, 1, 2]) {
      await expectTampered(
        three.state,
        three.chunks.map((chunk, at) => (at === number ? other.chunks[at]! : chunk)),
      );
    }
  });

  it("under another key", async () => {
    await expectTampered(three.state, three.chunks, makeArchiveKey());
  });

  it("before a record of theirs is given out; what came before is", async () => {
    const [a, b, c] = three.chunks as [Bytes, Bytes, Bytes];
    const first = text(large.slice(0, 2));
    expect(text(await given([a, flip(b, 5), c]))).toEqual(first);
    expect(text(await given([a, c, b]))).toEqual(first);
    expect(await given([b, a, c])).toEqual([]);
    expect(await given([c])).toEqual([]);
  });

  it("a failure to fetch is no tampering", async () => {
    await expect(read(archiveKey, three.state, three.chunks.slice(0, 2))).rejects.toThrow("no chunk 2");
  });
});

/** The records that come out before the chunks are refused. */
async function given(chunks: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const records: Uint8Array[] = [];
  const reading = async () => {
    const fetchChunk = async (number: number) => chunks[number]!;
    for await (const chunk of readArchive(archiveKey, three.state, fetchChunk)) records.push(...chunk.records);
  };
  await expect(reading()).rejects.toMatchObject(isTampered);
  return records;
}

/** What not even the account's own signature may make good: a device of the person that has gone wrong, or was taken. */
describe("a manifest that does not fit its chunks is noticed:", () => {
  it("cut after a whole chunk", async () => {
    const states = (await collect(writeArchive(archiveKey, begunAs(three), large))).map(({ state }) => state);
    await expectTampered({ ...states[1]!, isComplete: true }, three.chunks.slice(0, 2));
    await expectTampered({ ...states[0]!, isComplete: true }, three.chunks.slice(0, 1));
    expect(text(await read(archiveKey, states[2]!, three.chunks))).toEqual(text(large));
  });

  it("continued after the last chunk", async () => {
    const from = { ...three.state, isComplete: false };
    const more = await goOn(from, small);
    await expectTampered(more.state, [...three.chunks, ...more.chunks]);
  });

  it("another digest, number of records or id", async () => {
    const { state, chunks } = three;
    await expectTampered({ ...state, digest: flip(state.digest, 0) as Bytes }, chunks);
    await expectTampered({ ...state, records: 6 }, chunks);
    await expectTampered({ ...state, id: flip(state.id, 15) as Bytes }, chunks);
  });

  it("chunks written anew by somebody who has the archive key alone", async () => {
    const forged = await write(archiveKey, [record(66, 20)], begunAs(one));
    await expectTampered(one.state, forged.chunks);
    expect(await read(archiveKey, forged.state, forged.chunks)).toEqual([record(66, 20)]);
  });

  it("records that do not fill their chunk, or are too many for one", async () => {
    for (const plaintext of [new Uint8Array(3), Uint8Array.of(0, 0, 0, 2, 1), new Uint8Array(4).fill(255)]) {
      const { state, chunk } = await writeRaw(plaintext);
      await expectTampered(state, [chunk]);
    }
    const empty = ARCHIVE_CHUNK_BYTES / 4 + 1;
    const tooMany = await writeRaw(new Uint8Array(empty * 4), empty);
    await expectTampered(tooMany.state, [tooMany.chunk]);
    const { state, chunk } = await writeRaw(Uint8Array.of(0, 0, 0, 1, 9));
    await expectTampered(state, [chunk], makeArchiveKey());
    expect(await read(archiveKey, state, [chunk])).toEqual([Uint8Array.of(9)]);
  });
});

/** A chunk with any plaintext, written by this format's description and not by its code. */
async function writeRaw(plaintext: Uint8Array<ArrayBuffer>, records = 1) {
  const { id, createdAt } = beginArchive(1);
  const from = await crypto.subtle.importKey("raw", archiveKey, "HKDF", false, ["deriveKey"]);
  const info = new TextEncoder().encode("sandpiper archive v1");
  const derivation = { name: "HKDF", hash: "SHA-256", salt: id, info };
  const key = await crypto.subtle.deriveKey(derivation, from, { name: "AES-GCM", length: 256 }, false, ["encrypt"]);
  const iv = new Uint8Array(12);
  const additionalData = joinBytes(id, iv, Uint8Array.of(1));
  const chunk = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, key, plaintext));
  const sha256 = async (bytes: Bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const digest = await sha256(joinBytes(new Uint8Array(32), await sha256(chunk)));
  return { chunk, state: { id, createdAt, chunks: 1, records, digest, isComplete: true } };
}

describe("a manifest", () => {
  it("says what the account has signed", async () => {
    const manifest = await signManifest(account, user, three.state);
    expect(await readManifest(manifest, { user, accountKey: account.publicKey })).toEqual(three.state);
  });

  it("has one encoding, which does not change", async () => {
    const state = {
      id: new Uint8Array(16).fill(0xaa),
      createdAt: 1_700_000_000_000,
      chunks: 2,
      records: 258,
      digest: new Uint8Array(32).fill(0xdd),
      isComplete: true,
    };
    const manifest = await signManifest(account, "01ARZ3NDEKTSV4RRFFQ69G5FAA", state);
    expect(Buffer.from(manifest.subarray(0, -SIGNATURE_BYTES)).toString("latin1")).toBe(
      `\x0101ARZ3NDEKTSV4RRFFQ69G5FAA${"\xaa".repeat(16)}\0\0\x01\x8b\xcf\xe5\x68\0\0\0\0\x02\0\0\x01\x02${"\xdd".repeat(32)}\x01`,
    );
  });

  it("is refused if any byte is another, or it is of another length", async () => {
    const owner = { user, accountKey: account.publicKey };
    const manifest = await signManifest(account, user, three.state);
    for (let at = 0; at < manifest.byteLength; at++) {
      await expect(readManifest(flip(manifest, at), owner)).rejects.toMatchObject({ code: "backup_unsigned" });
    }
    for (let length = 0; length < manifest.byteLength; length++) {
      await expect(readManifest(manifest.subarray(0, length), owner)).rejects.toMatchObject(isTampered);
    }
    await expect(readManifest(joinBytes(manifest, Uint8Array.of(0)), owner)).rejects.toMatchObject(isTampered);
  });

  it("is refused if another account has signed it, or it is for another person", async () => {
    const stranger = await makeAccountKey();
    const unsigned = { code: "backup_unsigned" };
    const theirs = await signManifest(stranger, user, three.state);
    await expect(readManifest(theirs, { user, accountKey: account.publicKey })).rejects.toMatchObject(unsigned);
    const other = await signManifest(account, ulid(), three.state);
    await expect(readManifest(other, { user, accountKey: account.publicKey })).rejects.toMatchObject(unsigned);
  });

  it("is refused if it was signed as something else", async () => {
    const manifest = await signManifest(account, user, three.state);
    const statement = manifest.subarray(0, -SIGNATURE_BYTES);
    const signature = await signStatement(account, "backup envelope v1", statement);
    const reading = readManifest(joinBytes(statement, signature), { user, accountKey: account.publicKey });
    await expect(reading).rejects.toMatchObject({ code: "backup_unsigned" });
  });

  it("is not signed before the archive is complete", async () => {
    await expect(signManifest(account, user, beginArchive(1))).rejects.toThrow(RangeError);
  });
});

describe("a state in a store", () => {
  it("comes back as it was", () => {
    for (const state of [beginArchive(Number.MAX_SAFE_INTEGER), three.state]) {
      expect(decodeArchiveState(encodeArchiveState(state))).toEqual(state);
    }
  });

  it("is not made from other bytes", () => {
    for (const length of [0, 64, 66]) {
      expect(() => decodeArchiveState(new Uint8Array(length))).toThrow("store_failed");
    }
  });
});
