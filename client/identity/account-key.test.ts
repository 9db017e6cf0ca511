import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import { decodeCertificate, verifyCertificate } from "../../shared/certificate.ts";
import {
  certifyDevice,
  importAccountKey,
  makeAccountKey,
  type StatementKind,
  signStatement,
  verifyStatement,
} from "./account-key.ts";
import { makeDeviceKeys } from "./device-keys.ts";
import { keyPairOf, sign, verify } from "./ed25519.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const bytes = (text: string) => new TextEncoder().encode(text);
const flip = (from: Uint8Array, at: number) => from.map((byte, index) => (index === at ? byte ^ 1 : byte));
const device = { user: ulid(), device: ulid(), issuedAt: 1_700_000_000_000 };

describe("Ed25519", () => {
  /** RFC 8032 §7.1, tests 1 and 2. */
  it.each([
    [
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
  ])("is that of RFC 8032: %s", async (seed, publicKey, message, signature) => {
    expect(await keyPairOf(hex(seed))).toEqual({ seed: hex(seed), publicKey: hex(publicKey) });
    expect(await sign(hex(seed), hex(message))).toEqual(hex(signature));
    expect(await verify(hex(publicKey), hex(message), hex(signature))).toBe(true);
  });

  it("takes nothing for a signature that is none, nor for a key", async () => {
    const { publicKey, seed } = await makeAccountKey();
    const signature = await sign(seed, bytes("message"));
    for (const wrong of [new Uint8Array(), signature.subarray(0, 63), flip(signature, 0), flip(signature, 63)]) {
      expect(await verify(publicKey, bytes("message"), wrong)).toBe(false);
    }
    for (const wrong of [new Uint8Array(), publicKey.subarray(0, 31), new Uint8Array([...publicKey, 0])]) {
      expect(await verify(wrong, bytes("message"), signature)).toBe(false);
    }
  });
});

describe("an account key", () => {
  it("is the same again from its seed", async () => {
    const key = await makeAccountKey();
    expect(await importAccountKey(key.seed)).toEqual(key);
    expect((await makeAccountKey()).seed).not.toEqual(key.seed);
  });

  it.each([0, 31, 33, 64])("is not made from %i bytes", async (length) => {
    await expect(importAccountKey(new Uint8Array(length))).rejects.toMatchObject({ code: "tampered" });
  });

  it("certifies a device, for its MLS key alone", async () => {
    const key = await makeAccountKey();
    const mlsPublicKey = new Uint8Array(32).fill(1);
    const certificate = decodeCertificate(await certifyDevice(key, { ...device, mlsPublicKey }));
    expect(certificate).toMatchObject({ ...device, accountKey: key.publicKey });
    expect(await verifyCertificate(certificate, mlsPublicKey, verify)).toBe(true);
    expect(await verifyCertificate(certificate, flip(mlsPublicKey, 31), verify)).toBe(false);
  });

  it("signs a statement as what it is, and as nothing else", async () => {
    const key = await makeAccountKey();
    const kind: StatementKind = "archive manifest v1";
    const signature = await signStatement(key, kind, bytes("statement"));
    const { publicKey } = key;
    expect(await verifyStatement(publicKey, kind, bytes("statement"), signature)).toBe(true);
    expect(await verifyStatement(publicKey, kind, bytes("statements"), signature)).toBe(false);
    expect(await verifyStatement(publicKey, "backup envelope v1", bytes("statement"), signature)).toBe(false);
    expect(await verifyStatement((await makeAccountKey()).publicKey, kind, bytes("statement"), signature)).toBe(false);
    expect(await verify(publicKey, bytes("statement"), signature)).toBe(false);
  });

  it("signs the same bytes in every version", async () => {
    const key = await importAccountKey(hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
    const signed = bytes("sandpiper statement: backup envelope v1\0statement");
    const signature = await signStatement(key, "backup envelope v1", bytes("statement"));
    expect(await verify(key.publicKey, signed, signature)).toBe(true);
  });
});

describe("a device's keys", () => {
  it("are new each time, with a certificate of the account for this very key", async () => {
    const key = await makeAccountKey();
    const [one, other] = [await makeDeviceKeys(key, device), await makeDeviceKeys(key, device)];
    expect(one.privateKey).not.toEqual(other.privateKey);
    const certificate = decodeCertificate(one.credential);
    expect(certificate).toMatchObject({ ...device, accountKey: key.publicKey });
    expect(await verifyCertificate(certificate, one.publicKey, verify)).toBe(true);
    expect(await verifyCertificate(certificate, other.publicKey, verify)).toBe(false);
  });

  it("are what the MLS library signs with", async () => {
    const { getCiphersuiteFromName, getCiphersuiteImpl } = await import("ts-mls");
    const suite = await getCiphersuiteImpl(getCiphersuiteFromName("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"));
    const { publicKey, privateKey } = await makeDeviceKeys(await makeAccountKey(), device);
    const signature = await suite.signature.sign(privateKey, bytes("leaf"));
    expect(await suite.signature.verify(publicKey, bytes("leaf"), signature)).toBe(true);
  });
});
