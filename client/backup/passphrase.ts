import {
  MAX_PASSPHRASE_MEMORY_KIB,
  MAX_PASSPHRASE_PASSES,
  MIN_PASSPHRASE_CHARS,
  PASSPHRASE_MEMORY_KIB,
  PASSPHRASE_PASSES,
} from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import type { Bytes } from "../identity/ed25519.ts";
import { joinBytes } from "../link-cipher.ts";
import { refuse } from "./errors.ts";

/** What a guess at a passphrase costs; it stands in the backup, so that a later version can ask for more. */
export interface PassphraseCost {
  readonly memoryKib: number;
  readonly passes: number;
}

export const passphraseCost: PassphraseCost = { memoryKib: PASSPHRASE_MEMORY_KIB, passes: PASSPHRASE_PASSES };

const KEY_BYTES = 32;
/** Argon2's own minimum is 8 KiB (RFC 9106 §3.1). */
const MIN_MEMORY_KIB = 8;

/**
 * Argon2id (RFC 9106) on one lane; with `passphraseCost` some tenths of a second and 64 MiB.
 * @param salt random, 16 bytes
 * @throws ChatError `tampered` if the cost is out of all bounds, `wrong_code` for no passphrase at all, `unavailable` if
 *   Argon2 could not be loaded or started
 */
export async function stretchPassphrase(passphrase: string, salt: Uint8Array, cost: PassphraseCost): Promise<Bytes> {
  const { memoryKib, passes } = cost;
  if (memoryKib < MIN_MEMORY_KIB || memoryKib > MAX_PASSPHRASE_MEMORY_KIB) refuse("tampered");
  if (passes < 1 || passes > MAX_PASSPHRASE_PASSES) refuse("tampered");
  const password = new TextEncoder().encode(normalize(passphrase));
  if (password.byteLength === 0) refuse("wrong_code");
  const parameters = { parallelism: 1, memorySize: memoryKib, iterations: passes, hashLength: KEY_BYTES };
  try {
    const { argon2id } = await import("./argon2.ts");
    return joinBytes(await argon2id({ ...parameters, password, salt, outputType: "binary" }));
  } catch (cause) {
    throw new ChatError("unavailable", { cause });
  }
}

/** @throws ChatError code_malformed, if it is too short to be chosen */
export function checkPassphrase(passphrase: string): void {
  if ([...normalize(passphrase)].length < MIN_PASSPHRASE_CHARS) refuse("code_malformed");
}

/** The same text, however a keyboard composes it. */
function normalize(passphrase: string): string {
  return passphrase.normalize("NFKC");
}
