import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { TRANSCRIPT_BLOCK_PLACES } from "../../shared/limits.ts";
import { ContentError } from "../content/content-error.ts";
import { me, myDevice, peer, seededRandom } from "../session/test-driver.ts";
import {
  appendEntry,
  checkClaim,
  claimOf,
  decodeTranscript,
  emptyTranscript,
  encodeTranscript,
  type LogEntry,
  skipTo,
  type Transcript,
} from "./transcript.ts";

const random = seededRandom(21);
const below = (limit: number) => Math.floor(random() * limit);
const pick = <T>(items: readonly T[]) => items[below(items.length)] as T;
const BLOCK = TRANSCRIPT_BLOCK_PLACES;

const ulidOf = (number: number) => String(number).padStart(26, "0");
let made = 0;
function makeEntry(seq: number): LogEntry {
  made += 1;
  const body = Uint8Array.from({ length: 8 + below(40) }, () => below(256));
  return { seq, id: ulidOf(made), user: pick([me, peer]), device: pick([myDevice, peer]), body };
}
const makeLog = (length: number) => Array.from({ length }, (_, index) => makeEntry(index + 1));
const numbered = (entries: readonly LogEntry[]) => entries.map((entry, index) => ({ ...entry, seq: index + 1 }));

async function appendAll(entries: readonly LogEntry[], from: Transcript = emptyTranscript): Promise<Transcript> {
  let transcript = from;
  for (const entry of entries) transcript = await appendEntry(transcript, entry);
  return transcript;
}

describe("a transcript", () => {
  test("is the chain of digests that it says it is", async () => {
    const log = makeLog(BLOCK + 2);
    const sha256 = (...parts: Uint8Array[]) =>
      parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
    let digest: Uint8Array = new Uint8Array(32);
    let transcript = emptyTranscript;
    for (const entry of log) {
      if ((entry.seq - 1) % BLOCK === 0) digest = new Uint8Array(32);
      const place = Buffer.alloc(8);
      place.writeBigUInt64BE(BigInt(entry.seq));
      digest = sha256(digest, place, Buffer.from(entry.id + entry.user + entry.device), sha256(entry.body));
      transcript = await appendEntry(transcript, entry);
      expect(claimOf(transcript)).toEqual({ seq: entry.seq, digest: new Uint8Array(digest.subarray(0, 8)) });
    }
  });

  test("claims nothing before the first entry", () => {
    expect(claimOf(emptyTranscript)).toBeUndefined();
    expect(checkClaim(emptyTranscript, undefined, 1)).toBe("unknown");
  });

  test("never changes, and does not count twice what comes twice", async () => {
    const log = makeLog(10);
    const once = await appendAll(log);
    const copy = structuredClone(once);
    expect(await appendAll(log, once)).toBe(once);
    await appendEntry(once, makeEntry(11));
    expect(once).toEqual(copy);
  });

  test("survives being stored, and stays small", async () => {
    for (const length of [0, 1, 63, 64, 65, 128, 200]) {
      const whole = await appendAll(makeLog(length));
      for (const transcript of [whole, skipTo(whole, length + 1), skipTo(whole, length + 70)]) {
        const bytes = encodeTranscript(transcript);
        expect(bytes.byteLength).toBeLessThanOrEqual(1_066);
        expect(decodeTranscript(bytes)).toEqual(transcript);
        const next = makeLog(length + 140).slice(length);
        expect(await appendAll(next, decodeTranscript(bytes))).toEqual(await appendAll(next, transcript));
      }
    }
    const good = encodeTranscript(await appendAll(makeLog(3)));
    for (const length of [0, 5, 9, good.byteLength - 1]) {
      expect(() => decodeTranscript(good.subarray(0, length))).toThrow(ContentError);
    }
    expect(() => decodeTranscript(good.with(0, 255))).toThrow(ContentError);
  });
});

describe("R17 two devices", () => {
  test("that have the same entries always agree, as far back as the block before", async () => {
    const log = makeLog(3 * BLOCK);
    let [sender, receiver] = [emptyTranscript, emptyTranscript];
    const lags = new Set<number>();
    for (const entry of log) {
      // The sender has seen nothing of what others sent meanwhile, which is up to a block.
      while (sender.place < entry.seq - 1 && (random() < 0.5 || sender.place < entry.seq - BLOCK)) {
        sender = await appendEntry(sender, log[sender.place]!);
      }
      const expected = sender.place === 0 ? "unknown" : "agrees";
      expect(checkClaim(receiver, claimOf(sender), entry.seq)).toBe(expected);
      lags.add(entry.seq - sender.place);
      receiver = await appendEntry(receiver, entry);
    }
    expect(lags.size).toBeGreaterThan(2);
  });

  test("know nothing of what lies further back", async () => {
    const log = makeLog(2 * BLOCK + 1);
    const [old, recent] = [await appendAll(log.slice(0, BLOCK)), await appendAll(log.slice(0, BLOCK + 1))];
    const receiver = await appendAll(log);
    expect(checkClaim(receiver, claimOf(old), log.length + 1)).toBe("unknown");
    expect(checkClaim(receiver, claimOf(recent), log.length + 1)).toBe("agrees");
  });

  test("notice what was withheld, swapped, replaced or slipped in, with the next claim of that block", async () => {
    const falsify = {
      withheld: (log: readonly LogEntry[], at: number) => log.toSpliced(at, 1),
      swapped: (log: readonly LogEntry[], at: number) => log.with(at, log[at + 1]!).with(at + 1, log[at]!),
      body: (log: readonly LogEntry[], at: number) => log.with(at, { ...log[at]!, body: makeEntry(1).body }),
      id: (log: readonly LogEntry[], at: number) => log.with(at, { ...log[at]!, id: makeEntry(1).id }),
      user: (log: readonly LogEntry[], at: number) => log.with(at, { ...log[at]!, user: ulidOf(0) }),
      device: (log: readonly LogEntry[], at: number) => log.with(at, { ...log[at]!, device: ulidOf(0) }),
      inserted: (log: readonly LogEntry[], at: number) => log.toSpliced(at, 0, makeEntry(1)),
      forked: (log: readonly LogEntry[], at: number) => [...log.slice(0, at), ...makeLog(log.length - at)],
    };
    for (let run = 0; run < 60; run++) {
      const start = BLOCK * below(3);
      const at = start + below(BLOCK - 2);
      // What the next claim covers: the first place at which the two differ, or one of the block's later ones.
      const claimed = at + 2 + below(start + BLOCK - at - 1);
      const log = makeLog(claimed + 1);
      const before = await appendAll(log.slice(start, at), skipTo(emptyTranscript, start));
      const sender = await appendAll(log.slice(at, claimed), before);
      for (const [how, change] of Object.entries(falsify)) {
        const shown = numbered(change(log, at));
        // The message with the claim is the last that both are shown.
        const receiver = await appendAll(shown.slice(at, -1), before);
        expect(checkClaim(receiver, claimOf(sender), shown.length), `${how} at ${at + 1}, claim ${claimed}`).toBe(
          "differs",
        );
      }
    }
  });

  test("notice a claim of what nobody could have seen yet", async () => {
    const log = makeLog(5);
    const sender = await appendAll(log);
    const receiver = await appendAll(log.slice(0, 4));
    expect(checkClaim(receiver, claimOf(sender), 5)).toBe("differs");
    // Here the receiver itself lacks something.
    expect(checkClaim(receiver, claimOf(sender), 6)).toBe("unknown");
  });
});

describe("R17 a hole", () => {
  test("leaves the rest of its block unknown, and nothing else", async () => {
    const places = [BLOCK + 1, 2 * BLOCK, ...Array.from({ length: 20 }, () => BLOCK + 1 + below(BLOCK))];
    for (const lost of places) {
      const log = makeLog(3 * BLOCK);
      const isTold = random() < 0.5;
      let [whole, receiver] = [emptyTranscript, emptyTranscript];
      for (const entry of log) {
        const expected = whole.place >= lost && whole.place <= 2 * BLOCK ? "unknown" : "agrees";
        if (entry.seq > 1) expect(checkClaim(receiver, claimOf(whole), entry.seq)).toBe(expected);
        const isLost = receiver.place === 0 || (receiver.place >= lost && receiver.place <= 2 * BLOCK);
        expect(claimOf(receiver) === undefined).toBe(isLost);
        whole = await appendEntry(whole, entry);
        // Without being told it shows with the entry that follows.
        if (entry.seq !== lost) receiver = await appendEntry(receiver, entry);
        else if (isTold) receiver = skipTo(receiver, lost);
      }
    }
  });

  test("of whole blocks, as when a device joins late, ends with the next block", async () => {
    const log = makeLog(4 * BLOCK);
    const late = await appendAll(log.slice(2 * BLOCK + 10), skipTo(emptyTranscript, 2 * BLOCK + 10));
    const whole = await appendAll(log);
    expect(claimOf(late)).toEqual(claimOf(whole));
    const inTheMiddle = claimOf(await appendAll(log.slice(0, 3 * BLOCK)));
    expect(checkClaim(late, inTheMiddle, log.length + 1)).toBe("unknown");
    const exactly = await appendAll(log.slice(3 * BLOCK), skipTo(emptyTranscript, 3 * BLOCK));
    expect(claimOf(exactly)).toEqual(claimOf(whole));
  });
});
