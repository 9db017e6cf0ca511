import { MAX_LINK_MESSAGE_BYTES } from "../shared/limits.ts";
import type { LinkSide } from "../shared/rpc.ts";
import { ChatError } from "./chat-error.ts";
import { type LinkCode, PUBLIC_KEY_BYTES } from "./link-code.ts";

/** P-256 and not X25519: every WebCrypto has it, those of older browsers too, which are among what wants to be linked. */
const CURVE = { name: "ECDH", namedCurve: "P-256" };
const SHARED_BITS = 256;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What one message can carry, the approval with its key included. */
export const MAX_LINK_PAYLOAD_BYTES = MAX_LINK_MESSAGE_BYTES - PUBLIC_KEY_BYTES - TAG_BYTES;

type Bytes = Uint8Array<ArrayBuffer>;

export interface EphemeralKey {
  readonly privateKey: CryptoKey;
  readonly publicKey: Bytes;
}

/** Seals for one direction of one link. A number is used for one message alone: it is the nonce. */
export interface DirectionCipher {
  /** @throws ChatError too_large */
  seal(number: number, payload: Uint8Array): Promise<Bytes>;
  /** @throws ChatError tampered, if the other side has not sealed these bytes as this message */
  open(number: number, sealed: Uint8Array): Promise<Bytes>;
}

/** By the side that receives. */
export type LinkCiphers = Readonly<Record<LinkSide, DirectionCipher>>;

export async function makeEphemeralKey(): Promise<EphemeralKey> {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(CURVE, false, ["deriveBits"]);
  return { privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)) };
}

/**
 * One AES-256-GCM key for each direction: ECDH, then HKDF-SHA-256 (RFC 5869) with the code's secret as salt and the
 * transcript as info. Two devices get the same keys only if they meant the same link, secret and public keys.
 * @throws ChatError tampered, if `theirs` is no point of the curve
 */
export async function agreeOnCiphers(
  { link, publicKey, secret }: LinkCode,
  privateKey: CryptoKey,
  { theirs, oldKey }: { readonly theirs: Bytes; readonly oldKey: Bytes },
): Promise<LinkCiphers> {
  const shared = await agree(privateKey, theirs);
  const direction = async (to: LinkSide) => {
    const info = joinBytes(encode(`sandpiper link v1, to ${to}, ${link}`), publicKey, oldKey);
    const derivation = { name: "HKDF", hash: "SHA-256", salt: secret, info };
    const key = { name: "AES-GCM", length: 256 };
    return cipherOf(to, await crypto.subtle.deriveKey(derivation, shared, key, false, ["encrypt", "decrypt"]));
  };
  return { new: await direction("new"), old: await direction("old") };
}

async function agree(privateKey: CryptoKey, theirs: Bytes): Promise<CryptoKey> {
  const publicKey = await crypto.subtle.importKey("raw", theirs, CURVE, false, []).catch(tampered);
  const bits = await crypto.subtle.deriveBits({ name: "ECDH", public: publicKey }, privateKey, SHARED_BITS);
  return crypto.subtle.importKey("raw", bits, "HKDF", false, ["deriveKey"]);
}

function cipherOf(to: LinkSide, key: CryptoKey): DirectionCipher {
  const parameters = (number: number) => {
    const iv = new Uint8Array(NONCE_BYTES);
    new DataView(iv.buffer).setUint32(NONCE_BYTES - 4, number);
    return { name: "AES-GCM", iv, additionalData: encode(`to ${to}, ${number}`), tagLength: TAG_BYTES * 8 };
  };
  return {
    async seal(number, payload) {
      if (payload.byteLength > MAX_LINK_PAYLOAD_BYTES) throw new ChatError("too_large");
      return new Uint8Array(await crypto.subtle.encrypt(parameters(number), key, joinBytes(payload)));
    },
    async open(number, sealed) {
      return new Uint8Array(await crypto.subtle.decrypt(parameters(number), key, joinBytes(sealed)).catch(tampered));
    },
  };
}

function tampered(cause: unknown): never {
  throw new ChatError("tampered", { cause });
}

export function joinBytes(...parts: readonly Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return joined;
}

function encode(text: string): Bytes {
  return new TextEncoder().encode(text);
}
