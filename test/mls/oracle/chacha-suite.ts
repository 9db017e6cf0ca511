import { createCipheriv, createDecipheriv } from "node:crypto";
import { type AeadInterface, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import type { CiphersuiteImpl, CiphersuiteName } from "ts-mls/crypto/ciphersuite.js";
import { getCiphersuiteFromName } from "ts-mls/crypto/ciphersuite.js";
import { getCiphersuiteImpl } from "ts-mls/crypto/getCiphersuiteImpl.js";
import { makeGenericHpke } from "ts-mls/crypto/implementation/hpke.js";

/** Suite 3, which the oracle speaks and nothing else: suite 1 with ChaCha20-Poly1305 instead of AES-128-GCM. */

type Source = ArrayBufferLike | ArrayBufferView;

export const chachaName: CiphersuiteName = "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519";
const ALGORITHM = "chacha20-poly1305";
const TAG_BYTES = 16;
const options = { authTagLength: TAG_BYTES };

const aead: AeadInterface = {
  id: 3,
  keySize: 32,
  nonceSize: 12,
  tagSize: TAG_BYTES,
  createEncryptionContext: (key) => ({
    seal: async (nonce, plaintext, data) => encrypt(key, nonce, data, plaintext).buffer,
    open: async (nonce, ciphertext, data) => decrypt(key, nonce, data, ciphertext).buffer,
  }),
};

export async function makeChachaSuite(): Promise<CiphersuiteImpl> {
  const suite1 = await getCiphersuiteImpl(getCiphersuiteFromName("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"));
  const algorithms = { kem: "DHKEM-X25519-HKDF-SHA256", aead: "CHACHA20POLY1305", kdf: "HKDF-SHA256" } as const;
  const cipher = {
    encrypt: async (key: Uint8Array, nonce: Uint8Array, data: Uint8Array, plaintext: Uint8Array) =>
      encrypt(key, nonce, data, plaintext),
    decrypt: async (key: Uint8Array, nonce: Uint8Array, data: Uint8Array, ciphertext: Uint8Array) =>
      decrypt(key, nonce, data, ciphertext),
  };
  const hpke = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead });
  return { ...suite1, name: chachaName, hpke: await makeGenericHpke(algorithms, cipher, hpke) };
}

function encrypt(key: Source, nonce: Source, data: Source, plaintext: Source): Uint8Array<ArrayBuffer> {
  const cipher = createCipheriv(ALGORITHM, bytesOf(key), bytesOf(nonce), options);
  cipher.setAAD(bytesOf(data), { plaintextLength: bytesOf(plaintext).byteLength });
  return Uint8Array.from(Buffer.concat([cipher.update(bytesOf(plaintext)), cipher.final(), cipher.getAuthTag()]));
}

function decrypt(key: Source, nonce: Source, data: Source, sealed: Source): Uint8Array<ArrayBuffer> {
  const bytes = bytesOf(sealed);
  const cipher = createDecipheriv(ALGORITHM, bytesOf(key), bytesOf(nonce), options);
  cipher.setAAD(bytesOf(data), { plaintextLength: bytes.byteLength - TAG_BYTES });
  cipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  return Uint8Array.from(Buffer.concat([cipher.update(bytes.subarray(0, -TAG_BYTES)), cipher.final()]));
}

function bytesOf(source: Source): Uint8Array {
  if (!ArrayBuffer.isView(source)) return new Uint8Array(source);
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}
