import type { webcrypto } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Certificate,
  certificateToBeSigned,
  decodeCertificate,
  encodeCertificate,
  type VerifySignature,
  verifyCertificate,
} from "./certificate.ts";
import { Refusal } from "./errors.ts";

const fields = {
  user: "01ARZ3NDEKTSV4RRFFQ69G5FAA",
  device: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
  issuedAt: 1_700_000_000_000,
};
const mlsPublicKey = new Uint8Array(32).fill(7);
const verify: VerifySignature = async (publicKey, message, signature) => {
  const key = await crypto.subtle.importKey("raw", new Uint8Array(publicKey), "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", key, new Uint8Array(signature), new Uint8Array(message));
};

const makeKeyPair = async () =>
  (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;

let certificate: Certificate;
let bytes: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  const { publicKey, privateKey } = await makeKeyPair();
  const accountKey = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  const message = certificateToBeSigned({ ...fields, accountKey }, mlsPublicKey);
  const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, message));
  certificate = { ...fields, accountKey, signature };
  bytes = encodeCertificate(certificate);
});

/** Where the parts begin. */
const at = { accountKey: 1, user: 33, device: 59, issuedAt: 85, signature: 93, end: 157 };

const changed = (offset: number, ...values: number[]) => {
  const copy = bytes.slice();
  copy.set(values, offset);
  return copy;
};
const refused = (from: Uint8Array) => {
  expect(() => decodeCertificate(from)).toThrow(Refusal);
  expect(() => decodeCertificate(from)).toThrow("bad_frame");
};

describe("a certificate", () => {
  it("says what was put into it", () => {
    expect(decodeCertificate(bytes)).toEqual(certificate);
  });

  it("can be read from the middle of other bytes, and does not change with them", () => {
    const around = new Uint8Array(at.end + 20);
    around.set(bytes, 11);
    const decoded = decodeCertificate(around.subarray(11, 11 + at.end));
    around.fill(0);
    expect(decoded).toEqual(certificate);
  });

  it("has one encoding, which does not change", () => {
    const accountKey = new Uint8Array(32).fill(0xaa);
    const encoded = encodeCertificate({ ...fields, accountKey, signature: new Uint8Array(64).fill(0xbb) });
    const ids = Buffer.from(fields.user + fields.device).toString("hex");
    expect(Buffer.from(encoded).toString("hex")).toBe(`01${"aa".repeat(32)}${ids}0000018bcfe56800${"bb".repeat(64)}`);
    expect(Buffer.from(certificateToBeSigned({ ...fields, accountKey }, mlsPublicKey)).toString("latin1")).toBe(
      `sandpiper device certificate v1\0\x01${"\xaa".repeat(32)}${fields.user}${fields.device}\0\0\x01\x8b\xcf\xe5\x68\0${"\x07".repeat(32)}`,
    );
  });

  it.each([0, Number.MAX_SAFE_INTEGER])("takes the time %i", (issuedAt) => {
    expect(decodeCertificate(encodeCertificate({ ...certificate, issuedAt })).issuedAt).toBe(issuedAt);
  });
});

describe("what is no certificate is refused", () => {
  it("of any other length", () => {
    for (let length = 0; length < at.end; length++) refused(bytes.subarray(0, length));
    refused(Uint8Array.of(...bytes, 0));
    refused(Uint8Array.of(0, ...bytes));
  });

  it("of any other version", () => {
    for (const version of [0, 2, 255]) refused(changed(0, version));
  });

  it.each([
    ["lower case", "a"],
    ["a letter that is none", "U"],
    ["a zero byte", "\0"],
    ["what is no ASCII", "\xff"],
    ["a line break", "\n"],
  ])("with an id with %s", (_, character) => {
    refused(changed(at.user + 3, character.charCodeAt(0)));
    refused(changed(at.device + 25, character.charCodeAt(0)));
  });

  it("with an id of more than 128 bits", () => {
    refused(changed(at.user, "8".charCodeAt(0)));
    refused(changed(at.device, "8".charCodeAt(0)));
  });

  it("with a time that no number holds exactly", () => {
    refused(changed(at.issuedAt, 0, 0x20, 0, 0, 0, 0, 0, 0));
    refused(changed(at.issuedAt, 0, 0x20, 0, 0, 0, 0, 0, 1));
    refused(changed(at.issuedAt, 255, 255, 255, 255, 255, 255, 255, 255));
  });
});

describe("the account's signature", () => {
  it("holds for the device's own key", async () => {
    expect(await verifyCertificate(decodeCertificate(bytes), mlsPublicKey, verify)).toBe(true);
  });

  it("holds for no other key", async () => {
    for (const other of [new Uint8Array(32), new Uint8Array(31).fill(7), new Uint8Array(33).fill(7)]) {
      expect(await verifyCertificate(certificate, other, verify)).toBe(false);
    }
  });

  it("holds for no certificate of which a single byte is another", async () => {
    let decodable = 0;
    for (let offset = 0; offset < at.end; offset++) {
      const flipped = changed(offset, (bytes[offset] ?? 0) ^ 1);
      let decoded: Certificate | undefined;
      try {
        decoded = decodeCertificate(flipped);
      } catch (error) {
        expect(error).toMatchObject({ code: "bad_frame" });
        continue;
      }
      decodable++;
      expect(await verifyCertificate(decoded, mlsPublicKey, verify).catch(() => false)).toBe(false);
    }
    expect(decodable).toBeGreaterThan(100);
  });

  it("holds for nobody else's account", async () => {
    const { publicKey } = await makeKeyPair();
    const accountKey = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
    expect(await verifyCertificate({ ...certificate, accountKey }, mlsPublicKey, verify)).toBe(false);
  });
});
