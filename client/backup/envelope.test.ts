import { ulid } from "ulid";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_PASSPHRASE_MEMORY_KIB } from "../../shared/limits.ts";
import { type AccountKey, importAccountKey, makeAccountKey, signStatement } from "../identity/account-key.ts";
import { type Bytes, SIGNATURE_BYTES } from "../identity/ed25519.ts";
import type { Identity } from "../identity/pins.ts";
import { joinBytes } from "../link-cipher.ts";
import { makeArchiveKey } from "./archive.ts";
import { type BackupKeys, openEnvelope, replaceUnlock, sealEnvelope, type Unlock, unlockKinds } from "./envelope.ts";
import { makeRecoveryCode, readRecoveryCode } from "./recovery-code.ts";

const HEAD_BYTES = 27;
const SLOT_BYTES = 105;
const RFC_8032_SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const BIP39_VECTOR = "legal winner thank year wave sausage worth useful legal winner thank yellow";

const user = ulid();
const code: Unlock = { kind: "code", entropy: await readRecoveryCode(await makeRecoveryCode()) };
const otherCode: Unlock = { kind: "code", entropy: await readRecoveryCode(await makeRecoveryCode()) };
const passphrase: Unlock = { kind: "passphrase", passphrase: "correct horse battery staple" };
const flip = (from: Uint8Array, at: number) => from.map((byte, index) => (index === at ? byte ^ 1 : byte));
const statementOf = (envelope: Uint8Array) => envelope.slice(0, -SIGNATURE_BYTES);
const slotsOf = (envelope: Uint8Array) => [
  envelope.slice(HEAD_BYTES, HEAD_BYTES + SLOT_BYTES),
  envelope.slice(HEAD_BYTES + SLOT_BYTES, HEAD_BYTES + 2 * SLOT_BYTES),
];

let keys: BackupKeys;
let owner: Identity;
let envelope: Bytes;

beforeAll(async () => {
  keys = { archiveKey: makeArchiveKey(), accountKey: await makeAccountKey() };
  owner = { user, accountKey: keys.accountKey.publicKey };
  envelope = await sealEnvelope(user, keys, [code, passphrase]);
});

async function sign(accountKey: AccountKey, ...parts: Uint8Array[]): Promise<Bytes> {
  const statement = joinBytes(...parts);
  return joinBytes(statement, await signStatement(accountKey, "backup envelope v1", statement));
}

const expectRefused = async (from: Uint8Array, expected: "tampered" | "wrong_code", by: Unlock = code, of = owner) => {
  await expect(openEnvelope(from, of, by)).rejects.toMatchObject({ code: expected });
};

describe("an envelope", () => {
  it("is opened by the recovery code, and by the passphrase", async () => {
    expect(await openEnvelope(envelope, owner, code)).toEqual(keys);
    expect(await openEnvelope(envelope, owner, passphrase)).toEqual(keys);
    expect(await unlockKinds(envelope, owner)).toEqual(["code", "passphrase"]);
    expect(envelope.byteLength).toBe(HEAD_BYTES + 2 * SLOT_BYTES + SIGNATURE_BYTES);
  });

  it("shows none of the keys, and is never the same", async () => {
    const again = await sealEnvelope(user, keys, [code]);
    for (const secret of [keys.archiveKey, keys.accountKey.seed]) {
      expect(Buffer.from(envelope).includes(Buffer.from(secret))).toBe(false);
    }
    expect(slotsOf(again)[0]).not.toEqual(slotsOf(envelope)[0]);
  });

  it("is not opened by anything else", async () => {
    await expectRefused(envelope, "wrong_code", otherCode);
    await expectRefused(envelope, "wrong_code", { kind: "code", entropy: new Uint8Array(16) });
    await expectRefused(envelope, "wrong_code", { kind: "passphrase", passphrase: "correct horse battery stapler" });
    await expectRefused(envelope, "wrong_code", { kind: "passphrase", passphrase: "" });
    expect(await openEnvelope(envelope, owner, code)).toEqual(keys);
  });

  it("says if it has nothing for a passphrase", async () => {
    const without = await sealEnvelope(user, keys, [code]);
    await expect(openEnvelope(without, owner, passphrase)).rejects.toMatchObject({ code: "not_found" });
    expect(await unlockKinds(without, owner)).toEqual(["code"]);
  });

  it("is not sealed by a passphrase that is too short", async () => {
    const short: Unlock = { kind: "passphrase", passphrase: "1234567" };
    await expect(sealEnvelope(user, keys, [code, short])).rejects.toMatchObject({ code: "code_malformed" });
  });

  it("is not sealed where it could not be opened", async () => {
    const shortKey = { ...keys, archiveKey: new Uint8Array(31) };
    await expect(sealEnvelope(user, shortKey, [code])).rejects.toThrow();
    await expect(sealEnvelope(user, keys, [code, otherCode])).rejects.toThrow();
  });
});

/** Sealed once, by the first version. */
const sealedOnce =
  "ATAxQVJaM05ERUtUU1Y0UlJGRlE2OUc1RkFBAAAAAAAAAAAACMd00Dx9fFt39sQFE5rtjRjlVVny39fSqd7Br5qILZFqmL7unlvMpTLLb8GvV3cFkLZt" +
  "mpdIv0qJhb4Cp6XIqhTbdGZ1XizjLAQRf3ZbrF1iq9e13dxsHg-WKxbicYcxAQABAAAAAAAD2cedwCZ5TI8whmf71bmAIO23-6j2eq8fVKipQ39t1pt3" +
  "gcxLMAiZWiEF2sSTq7GJLbPH3UNbAgfUzamQKeigHYNClsm043oOtfxaxw3mtgU4UyNlWgJ2DS_rlSJ2TYvDJXo5PyYiPbdNe6pLPqZ_Vp6VKe-qo9es" +
  "79Uker0RJtJSzHFfqscw5pj38oyZEz5vZnntvWVd9hQhqqFwOw3UCA";

const vectorBytes = await readRecoveryCode(BIP39_VECTOR);

describe("an envelope of the first version", () => {
  it.each<Unlock>([
    { kind: "code", entropy: vectorBytes },
    { kind: "passphrase", passphrase: "correct horse battery staple" },
  ])("is opened by its $kind in every later one", async (unlock) => {
    const accountKey = await importAccountKey(Buffer.from(RFC_8032_SEED, "hex"));
    const of = { user: "01ARZ3NDEKTSV4RRFFQ69G5FAA", accountKey: accountKey.publicKey };
    const opened = await openEnvelope(Buffer.from(sealedOnce, "base64url"), of, unlock);
    expect(opened).toEqual({ archiveKey: new Uint8Array(32).fill(5), accountKey });
  });
});

describe("a changed passphrase", () => {
  const changed: Unlock = { kind: "passphrase", passphrase: "something else altogether" };

  it("opens it from then on, in place of the one before; the code's slot stays as it is", async () => {
    const after = await replaceUnlock(envelope, user, keys, changed);
    expect(await openEnvelope(after, owner, changed)).toEqual(keys);
    expect(await openEnvelope(after, owner, code)).toEqual(keys);
    await expectRefused(after, "wrong_code", passphrase);
    expect(slotsOf(after)[0]).toEqual(slotsOf(envelope)[0]);
  });

  it("can be the first", async () => {
    const after = await replaceUnlock(await sealEnvelope(user, keys, [code]), user, keys, changed);
    expect(await openEnvelope(after, owner, changed)).toEqual(keys);
  });

  it("like a changed code, is not put into an envelope that is not one's own", async () => {
    const stranger = { ...keys, accountKey: await makeAccountKey() };
    await expect(replaceUnlock(envelope, user, stranger, changed)).rejects.toMatchObject({ code: "tampered" });
    await expect(replaceUnlock(envelope, ulid(), keys, changed)).rejects.toMatchObject({ code: "tampered" });
    const after = await replaceUnlock(envelope, user, keys, otherCode);
    expect(await openEnvelope(after, owner, otherCode)).toEqual(keys);
    await expectRefused(after, "wrong_code", code);
  });
});

describe("an envelope that was tampered with is noticed:", () => {
  it("any byte changed, whatever it is opened with", async () => {
    for (let at = 0; at < envelope.byteLength; at++) {
      await expectRefused(flip(envelope, at), "tampered");
      await expectRefused(flip(envelope, at), "tampered", otherCode);
    }
  });

  it("shorter or longer", async () => {
    for (let length = 0; length < envelope.byteLength; length++) {
      await expectRefused(envelope.subarray(0, length), "tampered");
    }
    await expectRefused(joinBytes(envelope, new Uint8Array(1)), "tampered");
    await expectRefused(joinBytes(new Uint8Array(1), envelope), "tampered");
  });

  it("a slot left out, doubled, exchanged, or of an older envelope", async () => {
    const signature = envelope.subarray(-SIGNATURE_BYTES);
    const head = envelope.subarray(0, HEAD_BYTES);
    const [first, second] = slotsOf(envelope) as [Bytes, Bytes];
    const [older] = slotsOf(await sealEnvelope(user, keys, [code])) as [Bytes];
    for (const slots of [[first], [second], [second, first], [first, first], [older, second], []]) {
      await expectRefused(joinBytes(head, ...slots, signature), "tampered");
    }
  });

  it("of somebody else, with or without the name changed", async () => {
    const stranger = ulid();
    await expectRefused(envelope, "tampered", code, { user: stranger, accountKey: owner.accountKey });
    const renamed = joinBytes(Uint8Array.of(1), new TextEncoder().encode(stranger), envelope.subarray(HEAD_BYTES));
    await expectRefused(renamed, "tampered", code, { user: stranger, accountKey: owner.accountKey });
  });
});

/** Whoever runs the server names the account key to a device that restores, and can sign with one of its own. */
describe("a server that names an account key of its own", () => {
  let evil: AccountKey;
  let lie: Identity;

  beforeAll(async () => {
    evil = await makeAccountKey();
    lie = { user, accountKey: evil.publicKey };
  });

  it("cannot use the person's envelope as it is", async () => {
    await expectRefused(envelope, "tampered", code, lie);
  });

  it("cannot sign the person's slots", async () => {
    await expectRefused(await sign(evil, statementOf(envelope)), "tampered", code, lie);
    await expectRefused(await sign(evil, statementOf(envelope)), "tampered", passphrase, lie);
  });

  it("cannot make a slot that the person's code opens", async () => {
    const made = await sealEnvelope(user, { archiveKey: makeArchiveKey(), accountKey: evil }, [otherCode]);
    await expectRefused(made, "wrong_code", code, lie);
  });

  it("cannot change what a slot says of itself", async () => {
    for (let at = HEAD_BYTES + 1; at < HEAD_BYTES + SLOT_BYTES; at++) {
      const signed = await sign(evil, flip(statementOf(envelope), at));
      await expectRefused(signed, "wrong_code", code, lie);
    }
  });
});

describe("an envelope that is signed and makes no sense", () => {
  const slotWith = (memoryKib: number, passes: number) => {
    const slot = slotsOf(envelope)[1]!;
    new DataView(slot.buffer).setUint32(1, memoryKib);
    new DataView(slot.buffer).setUint32(5, passes);
    return slot;
  };

  it.each([
    [2 ** 32 - 1, 3],
    [MAX_PASSPHRASE_MEMORY_KIB + 1, 3],
    [64 * 1024, 2 ** 32 - 1],
    [64 * 1024, 11],
    [0, 0],
  ])("makes no device spend %i KiB %i times over", async (memoryKib, passes) => {
    const bomb = await sign(keys.accountKey, envelope.subarray(0, HEAD_BYTES), slotWith(memoryKib, passes));
    await expectRefused(bomb, "tampered", passphrase);
  });

  it("has a cheaper cost than it was sealed with: then it does not open", async () => {
    const cheap = await sign(keys.accountKey, envelope.subarray(0, HEAD_BYTES), slotWith(64, 1));
    await expectRefused(cheap, "wrong_code", passphrase);
  });

  it("has a slot of no kind, twice the same, half a slot, another version", async () => {
    const head = envelope.subarray(0, HEAD_BYTES);
    const [slot] = slotsOf(envelope) as [Bytes];
    const unknown = joinBytes(Uint8Array.of(2), slot.subarray(1));
    for (const slots of [[unknown], [slot, unknown], [slot, slot], [slot, slot.subarray(0, 50)]]) {
      await expectRefused(await sign(keys.accountKey, head, ...slots), "tampered");
    }
    await expectRefused(await sign(keys.accountKey, flip(head, 0), slot), "tampered");
    expect(await openEnvelope(await sign(keys.accountKey, head, slot), owner, code)).toEqual(keys);
  });

  it("was signed as something else", async () => {
    const statement = statementOf(envelope);
    const signature = await signStatement(keys.accountKey, "archive manifest v1", statement);
    await expectRefused(joinBytes(statement, signature), "tampered");
  });
});
