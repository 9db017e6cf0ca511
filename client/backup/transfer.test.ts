import { ulid } from "ulid";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ARCHIVE_CHUNK_BYTES, FIRST_ARCHIVE_ROOM_CHUNKS, MAX_TRANSFER_TRIES } from "../../shared/limits.ts";
import { FakeArchives } from "../../test/fake/archives.ts";
import { ChatError, type ChatErrorCode } from "../chat-error.ts";
import { type AccountKey, makeAccountKey } from "../identity/account-key.ts";
import { type ArchiveState, beginArchive, decodeArchiveState, encodeArchiveState, makeArchiveKey } from "./archive.ts";
import { downloadArchive } from "./download.ts";
import { archiveIdOf, type Upload, uploadArchive } from "./upload.ts";

/** Two to a chunk: four chunks. */
const all = Array.from({ length: 7 }, (_, number) => new Uint8Array(100_000).fill(number));
const archiveKey = makeArchiveKey();
const user = ulid();
let accountKey: AccountKey;
let service: FakeArchives;

class Crash extends Error {}

beforeAll(async () => {
  accountKey = await makeAccountKey();
});
beforeEach(() => {
  service = new FakeArchives();
});
afterEach(() => {
  vi.useRealTimers();
});

const fresh = (): Upload<number> => ({ state: beginArchive(1), position: undefined, chunk: undefined });

/** As a store keeps it. */
const stored = ({ state, ...rest }: Upload<number>): Upload<number> => ({
  state: decodeArchiveState(encodeArchiveState(state)),
  ...rest,
});

interface Run {
  from: Upload<number>;
  records?: readonly Uint8Array[];
  crash?: (upload: Upload<number>) => void;
  signal?: AbortSignal;
}

/** @returns what is stored when it ends, or breaks off */
async function upload({ from, records = all, crash = () => {}, signal }: Run): Promise<Upload<number>> {
  let kept = from;
  const ended = uploadArchive<number>({
    ...{ service, archiveKey, accountKey, user, from, signal },
    async *records(after = 0) {
      for (let position = after; position < records.length; position++) {
        yield { record: records[position]!, position: position + 1 };
      }
    },
    keep: async (state) => {
      kept = stored(state);
      crash(kept);
    },
    uploaded: () => {},
  });
  await ended.catch((error) => {
    if (!(error instanceof Crash)) throw error;
  });
  return kept;
}

async function download(archive: string, more: Partial<Parameters<typeof downloadArchive>[0]> = {}) {
  const taken: Uint8Array[] = [];
  let state: ArchiveState | undefined;
  const options = {
    ...{ service, archive, archiveKey, owner: { user, accountKey: accountKey.publicKey } },
    take: async (records: readonly Uint8Array[], next: ArchiveState) => {
      taken.push(...records);
      state = next;
    },
    ...more,
  };
  const failure = await downloadArchive(options).then(
    () => undefined,
    (error) => error,
  );
  return { taken, state, failure };
}

const firstOf = (records: readonly Uint8Array[]) => records.map(([first]) => first);
const everything = firstOf(all);

/** No number of an archive may ever stand for two chunks: it is the nonce. */
function expectNoNonceTwice(): void {
  for (const [name, chunks] of service.put) {
    for (const chunk of chunks) expect({ name, order: Buffer.compare(chunk, chunks[0]!) }).toEqual({ name, order: 0 });
  }
}

/** Lets the pauses pass at once. */
async function soon<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!isOver) await vi.advanceTimersToNextTimerAsync();
  }
  return work;
}
const fakeTimers = () => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });

describe("an upload", () => {
  it("arrives whole, and is complete only in the end", async () => {
    const progress: (number | undefined)[] = [];
    await uploadArchive<number>({
      ...{ service, archiveKey, accountKey, user, from: fresh() },
      async *records() {
        for (const [index, record] of all.entries()) yield { record, position: index + 1 };
      },
      keep: async () => {},
      uploaded: (position) => progress.push(position),
    });
    const [archive] = [...service.archives.keys()];
    expect(progress).toEqual([2, 4, 6, 7]);
    expect(service.asked).toEqual(["begin 64", "put 0", "put 1", "put 2", "put 3", "put manifest", "chunks"]);
    expect(firstOf((await download(archive!)).taken)).toEqual(everything);
  });

  it.each([1, 2, 3, 4])("goes on after a crash before chunk %i left, or when it had left", async (after) => {
    for (const hasLeft of [false, true]) {
      service = new FakeArchives();
      const crash = ({ state }: Upload<number>) => {
        if (state.chunks !== after) return;
        if (!hasLeft) throw new Crash();
        service.fail = (_, when) => {
          if (when === "after") throw new Crash();
        };
      };
      const kept = await upload({ from: fresh(), crash });
      expect(kept.state.chunks).toBe(after);
      service.fail = () => {};
      const end = await upload({ from: kept });
      expectNoNonceTwice();
      expect(end.state.isComplete).toBe(true);
      expect(firstOf((await download(archiveIdOf(end.state))).taken)).toEqual(everything);
    }
  });

  it("goes on after a crash at the manifest", async () => {
    service.fail = (what) => {
      if (what === "put manifest") throw new Crash();
    };
    const kept = await upload({ from: fresh() });
    service.fail = () => {};
    await upload({ from: kept });
    expectNoNonceTwice();
    expect(firstOf((await download(archiveIdOf(kept.state))).taken)).toEqual(everything);
  });

  it("takes along what was added meanwhile, and does not lose what follows what went", async () => {
    const kept = await upload({
      from: fresh(),
      crash: ({ state }) => {
        if (state.chunks === 2) throw new Crash();
      },
    });
    expect(kept.position).toBe(4);
    const more = [...all, new Uint8Array(9).fill(77)];
    const end = await upload({ from: kept, records: more });
    expect(firstOf((await download(archiveIdOf(end.state))).taken)).toEqual([...everything, 77]);
  });

  it("makes more room when it needs it", async () => {
    const count = FIRST_ARCHIVE_ROOM_CHUNKS + 1;
    const records = Array.from({ length: count }, () => new Uint8Array(ARCHIVE_CHUNK_BYTES - 4));
    const crash = ({ state }: Upload<number>) => {
      if (state.chunks === count) throw new Crash();
    };
    const kept = await upload({ from: fresh(), records, crash });
    expect(service.asked.filter((what) => what.startsWith("begin"))).toEqual(["begin 64", "begin 128"]);
    await upload({ from: kept, records });
    expect(service.asked.filter((what) => what.startsWith("begin"))).toEqual(["begin 64", "begin 128", "begin 128"]);
    expect(service.archives.get(archiveIdOf(kept.state))?.chunks.size).toBe(count);
  });

  it("comes through a server that fails at random", async () => {
    fakeTimers();
    let seed = 7;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed / 2 ** 31;
    };
    const codes: ChatErrorCode[] = ["unavailable", "rate_limited", "busy"];
    service.fail = () => {
      if (random() < 0.3) throw new ChatError(codes[Math.floor(random() * 3)]!);
    };
    const end = await soon(upload({ from: fresh() }));
    expectNoNonceTwice();
    const { taken, failure } = await soon(download(archiveIdOf(end.state)));
    expect(failure).toBeUndefined();
    expect(firstOf(taken)).toEqual(everything);
  });

  it("gives up on a server that keeps failing, and on what is refused for good at once", async () => {
    fakeTimers();
    service.fail = (what) => {
      if (what === "put 1") throw new ChatError("unavailable");
    };
    await expect(soon(upload({ from: fresh() }))).rejects.toMatchObject({ code: "unavailable" });
    expect(service.asked.filter((what) => what === "put 1").length).toBe(MAX_TRANSFER_TRIES);
    service.fail = (what) => {
      if (what === "begin 64") throw new ChatError("too_many");
    };
    service.asked.length = 0;
    await expect(upload({ from: fresh() })).rejects.toMatchObject({ code: "too_many" });
    expect(service.asked).toEqual(["begin 64"]);
  });

  it.each([0, 1])("says so if the server has lost chunk %i meanwhile", async (lost) => {
    const kept = await upload({
      from: fresh(),
      crash: ({ state }) => {
        if (state.chunks === 3) throw new Crash();
      },
    });
    service.archives.get(archiveIdOf(kept.state))?.chunks.delete(lost);
    await expect(upload({ from: kept })).rejects.toMatchObject({ code: "not_found" });
  });

  it("says so if the server loses a chunk to the end", async () => {
    service.fail = (what) => {
      if (what === "put manifest") for (const { chunks } of service.archives.values()) chunks.delete(1);
    };
    await expect(upload({ from: fresh() })).rejects.toMatchObject({ code: "not_found" });
  });

  it("ends when it is told to, and can go on", async () => {
    const end = new AbortController();
    let kept = fresh();
    const crash = (upload: Upload<number>) => {
      kept = upload;
      if (upload.state.chunks === 2) end.abort();
    };
    await expect(upload({ from: fresh(), crash, signal: end.signal })).rejects.toMatchObject({ code: "closed" });
    const { state } = await upload({ from: kept });
    expectNoNonceTwice();
    expect(firstOf((await download(archiveIdOf(state))).taken)).toEqual(everything);
  });
});

describe("a download", () => {
  let archive: string;
  beforeEach(async () => {
    archive = archiveIdOf((await upload({ from: fresh() })).state);
    service.asked.length = 0;
  });

  it("tells how far it is", async () => {
    const progress: number[] = [];
    await download(archive, { onProgress: ({ done, total }) => progress.push(done, total) });
    expect(progress).toEqual([0, 4, 1, 4, 2, 4, 3, 4, 4, 4]);
  });

  it.each([1, 2, 3, 4])("goes on after chunk %i", async (after) => {
    const before: Uint8Array[] = [];
    let state: ArchiveState | undefined;
    const { failure } = await download(archive, {
      take: async (records, next) => {
        if (state?.chunks === after) throw new Crash();
        before.push(...records);
        state = decodeArchiveState(encodeArchiveState(next));
      },
    });
    expect(failure === undefined).toBe(after === 4);
    service.asked.length = 0;
    const rest = await download(archive, { from: state });
    expect(service.asked).toEqual(["get manifest", ...[0, 1, 2, 3].slice(after).map((number) => `get ${number}`)]);
    expect(firstOf([...before, ...rest.taken])).toEqual(everything);
  });

  it("begins anew where what is stored is of another archive", async () => {
    const other = archiveIdOf((await upload({ from: fresh() })).state);
    const { state } = await download(other);
    expect(firstOf((await download(archive, { from: state })).taken)).toEqual(everything);
  });

  it("ends when it is told to", async () => {
    const end = new AbortController();
    const { failure, taken } = await download(archive, {
      signal: end.signal,
      onProgress: ({ done }) => done === 1 && end.abort(),
    });
    expect(failure).toMatchObject({ code: "closed" });
    expect(firstOf(taken)).toEqual([0, 1]);
  });

  it("of what is not there is refused", async () => {
    expect((await download("AAAAAAAAAAAAAAAAAAAAAA")).failure).toMatchObject({ code: "not_found" });
    service.archives.get(archive)!.chunks.delete(2);
    const { failure, taken } = await download(archive);
    expect(failure).toMatchObject({ code: "not_found" });
    expect(firstOf(taken)).toEqual([0, 1, 2, 3]);
  });

  it("notices whatever a server may do to it", async () => {
    const { chunks } = service.archives.get(archive)!;
    const second = chunks.get(1)!;
    chunks.set(
      1,
      second.map((byte, index) => (index === 50 ? byte ^ 1 : byte)),
    );
    expect(await download(archive)).toMatchObject({ failure: { code: "tampered" }, taken: { length: 2 } });
    chunks.set(1, chunks.get(2)!);
    expect((await download(archive)).failure).toMatchObject({ code: "tampered" });
    chunks.set(1, second.subarray(0, 900));
    expect((await download(archive)).failure).toMatchObject({ code: "tampered" });
    chunks.set(1, second);
    expect((await download(archive)).failure).toBeUndefined();
  });

  it("takes no archive for another one, nor that of another person, nor under another key", async () => {
    const other = archiveIdOf((await upload({ from: fresh() })).state);
    const own = service.archives.get(archive)!.manifest!;
    service.archives.get(archive)!.manifest = service.archives.get(other)!.manifest!;
    expect((await download(archive)).failure).toMatchObject({ code: "tampered" });
    service.archives.get(archive)!.manifest = own;
    const stranger = await makeAccountKey();
    const asStranger = { owner: { user, accountKey: stranger.publicKey } };
    expect((await download(archive, asStranger)).failure).toMatchObject({ code: "backup_unsigned" });
    const asOther = { owner: { user: ulid(), accountKey: accountKey.publicKey } };
    expect((await download(archive, asOther)).failure).toMatchObject({ code: "backup_unsigned" });
    expect((await download(archive, { archiveKey: makeArchiveKey() })).failure).toMatchObject({ code: "tampered" });
  });
});
