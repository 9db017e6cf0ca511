import { ChatError, type ChatErrorCode } from "../chat-error.ts";
import { ContentError } from "../content/content-error.ts";
import { MlsError, type MlsErrorCode } from "../mls/mls.ts";
import { WrongOwner } from "../store/store.ts";

/** Those who use the SDK meet one kind of error, whatever went wrong inside. */
export async function asChatErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toChatError(error);
  }
}

/** What is none of ours comes from the store: nothing else here touches the world without saying so. */
export function toChatError(error: unknown): ChatError {
  if (error instanceof ChatError) return error;
  return new ChatError(codeOf(error), { cause: error });
}

function codeOf(error: unknown): ChatErrorCode {
  if (error instanceof ContentError) return error.code === "too_large" ? "too_large" : "malformed";
  if (error instanceof MlsError) return mlsCodes[error.code];
  return error instanceof WrongOwner ? "wrong_account" : "store_failed";
}

/** The group has moved on meanwhile, and it may go better at once; or somebody has handed out what is not what it says. */
const mlsCodes: Record<MlsErrorCode, ChatErrorCode> = {
  malformed: "tampered",
  wrong_group: "tampered",
  undecryptable: "tampered",
  unauthentic: "tampered",
  not_for_us: "tampered",
  expired: "unavailable",
  wrong_epoch: "unavailable",
  not_a_member: "unavailable",
  already_a_member: "unavailable",
  used_up: "unavailable",
  unsupported: "not_allowed",
};
