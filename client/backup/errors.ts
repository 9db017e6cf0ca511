import { ChatError, type ChatErrorCode } from "../chat-error.ts";

/** What can be wrong with a backup, or with what is to open it. */
export type BackupErrorCode = Extract<
  ChatErrorCode,
  /** This code, or this passphrase, does not open the backup. */
  | "wrong_code"
  /** Damaged, exchanged or made up. */
  | "tampered"
  /** The archive is not signed by this account. */
  | "backup_unsigned"
  /** What was typed cannot be a code at all. */
  | "code_malformed"
>;

export function refuse(code: BackupErrorCode, cause?: unknown): never {
  throw new ChatError(code, { cause });
}

/** What is wrong with words that are no recovery code. */
export type CodeFault =
  | { readonly kind: "word_count"; readonly count: number }
  /** `position` is 1 for the first word. */
  | { readonly kind: "unknown_word"; readonly word: string; readonly position: number }
  /** Each word is one of the list: one was mistaken for another, or they are in another order. */
  | { readonly kind: "checksum" };

/** Code `code_malformed`. */
export class MalformedCode extends ChatError {
  readonly fault: CodeFault;
  constructor(fault: CodeFault) {
    super("code_malformed");
    this.fault = fault;
  }
}
