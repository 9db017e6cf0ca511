import type { ConversationId } from "../../shared/ids.ts";
import type { ArchiveService } from "../backup/archive-service.ts";
import type { Authenticator } from "../encryption/authenticator.ts";
import type { AccountKey } from "../identity/account-key.ts";
import type { Owner, Store, StoreChange } from "../store/store.ts";

/** What takes history out of a device, or brings it in. */
export interface HistoryDevice {
  readonly owner: Owner;
  readonly accountKey: AccountKey;
  readonly store: Store;
  readonly archives: ArchiveService;
  /** What it is told within a `change` is written with it. */
  readonly people: Pick<Authenticator, "recall">;
  /** One atomic write after the other, and after those of the session: what `work` reads holds when it is written. */
  change<T>(work: (write: { readonly changes: StoreChange[] }) => Promise<T>): Promise<T>;
  /** Up to where a conversation has been read here. */
  readOf(conversation: ConversationId): number;
  /** From this place on a conversation says something else than before. */
  changed(conversation: ConversationId, seq: number): void;
}

/** Undefined removes it. */
export function putRecord(device: HistoryDevice, key: string, value: Uint8Array | undefined): Promise<void> {
  return device.change(async ({ changes }) => void changes.push({ type: "record", key, value }));
}
