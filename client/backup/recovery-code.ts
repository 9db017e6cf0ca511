import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import type { Bytes } from "../identity/ed25519.ts";
import { joinBytes } from "../link-cipher.ts";
import { MalformedCode } from "./errors.ts";

/**
 * A random key that a person writes down: twelve English words (BIP-39). 128 bits cannot be searched, with the backup at
 * hand or without, so 24 words would make nothing safer: only longer to write down, and easier to get wrong.
 */
const ENTROPY_BYTES = 16;
const WORDS = 12;
const words: ReadonlySet<string> = new Set(wordlist);

/** @returns words, separated by spaces; to be shown to the person, and kept nowhere */
export function makeRecoveryCode(): string {
  return entropyToMnemonic(crypto.getRandomValues(new Uint8Array(ENTROPY_BYTES)), wordlist);
}

/**
 * The 16 bytes that the words stand for.
 * @param text as it was typed: upper and lower case, numbering, commas and line breaks do not matter
 * @throws MalformedCode, which says what is wrong
 */
export function readRecoveryCode(text: string): Bytes {
  const typed =
    text
      .normalize("NFKD")
      .toLowerCase()
      .match(/\p{L}+/gu) ?? [];
  const unknown = typed.findIndex((word) => !words.has(word));
  if (unknown >= 0)
    throw new MalformedCode({ kind: "unknown_word", word: typed[unknown] ?? "", position: unknown + 1 });
  if (typed.length !== WORDS) throw new MalformedCode({ kind: "word_count", count: typed.length });
  try {
    return joinBytes(mnemonicToEntropy(typed.join(" "), wordlist));
  } catch {
    throw new MalformedCode({ kind: "checksum" });
  }
}
