import { ChatError } from "../chat-error.ts";
import type { Bytes } from "../identity/ed25519.ts";
import { joinBytes } from "../link-cipher.ts";
import { MalformedCode } from "./errors.ts";

/**
 * A random key that a person writes down: twelve English words (BIP-39). 128 bits cannot be searched, with the backup at
 * hand or without, so 24 words would make nothing safer: only longer to write down, and easier to get wrong.
 */
const ENTROPY_BYTES = 16;
const WORDS = 12;

/**
 * @returns words, separated by spaces; to be shown to the person, and kept nowhere
 * @throws ChatError unavailable, if the list of words could not be loaded
 */
export async function makeRecoveryCode(): Promise<string> {
  const { entropyToMnemonic, wordlist } = await loadBip39();
  return entropyToMnemonic(crypto.getRandomValues(new Uint8Array(ENTROPY_BYTES)), wordlist);
}

/**
 * The 16 bytes that the words stand for.
 * @param text as it was typed: upper and lower case, numbering, commas and line breaks do not matter
 * @throws MalformedCode, which says what is wrong; ChatError unavailable, if the list of words could not be loaded
 */
export async function readRecoveryCode(text: string): Promise<Bytes> {
  const { mnemonicToEntropy, wordlist } = await loadBip39();
  const typed =
    text
      .normalize("NFKD")
      .toLowerCase()
      .match(/\p{L}+/gu) ?? [];
  const unknown = typed.findIndex((word) => !wordlist.includes(word));
  if (unknown >= 0)
    throw new MalformedCode({ kind: "unknown_word", word: typed[unknown] ?? "", position: unknown + 1 });
  if (typed.length !== WORDS) throw new MalformedCode({ kind: "word_count", count: typed.length });
  try {
    return joinBytes(mnemonicToEntropy(typed.join(" "), wordlist));
  } catch {
    throw new MalformedCode({ kind: "checksum" });
  }
}

async function loadBip39(): Promise<typeof import("./bip39.ts")> {
  try {
    return await import("./bip39.ts");
  } catch (cause) {
    throw new ChatError("unavailable", { cause });
  }
}
