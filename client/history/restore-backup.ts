import type { StoredBackup } from "../backup/archive-service.ts";
import { type BackupKeys, openEnvelope, type Unlock } from "../backup/envelope.ts";
import { refuse } from "../backup/errors.ts";
import { readRecoveryCode } from "../backup/recovery-code.ts";
import { persevere, type TransferOptions } from "../backup/transfer.ts";
import { hasCode } from "../chat-error.ts";
import type { Credentials } from "../credentials.ts";
import { Authenticator } from "../encryption/authenticator.ts";
import { restoredChange } from "../encryption/restored.ts";
import type { AccountKey } from "../identity/account-key.ts";
import type { Store, StoreChange } from "../store/store.ts";
import { backupKeyChange } from "./backup-key.ts";
import type { HistoryDevice } from "./device.ts";
import { takeArchive } from "./take-archive.ts";

/** What opens a backup: the words that the person wrote down, or the passphrase that they chose. */
export type BackupSecret =
  | { readonly code: string; readonly passphrase?: undefined }
  | { readonly passphrase: string; readonly code?: undefined };

type Restorer = Pick<Credentials, "user" | "device" | "delivery" | "archives">;

export type RestoreOptions = TransferOptions &
  BackupSecret & {
    readonly account: Restorer;
    /** Of a device that is fresh, or has lost something; in nobody else's hands meanwhile. */
    readonly store: Store;
  };

/**
 * Brings a backup's history into a store before its `Chat` is opened. If it breaks off, what has come stays, and the same call
 * goes on from there.
 * @returns the account key, for `Chat.open`
 * @throws ChatError `wrong_code`, `code_malformed`: nothing has changed, and another try is free; `not_found`: there is no
 *   backup, or none that this kind of secret opens; `tampered`, `backup_unsigned`: it is not what the person has put there
 */
export async function restoreBackup({ account, store, ...options }: RestoreOptions): Promise<AccountKey> {
  const { user } = account;
  const { signal } = options;
  const unlock = await unlockOf(options);
  const { accountKey } = await persevere(() => account.delivery.keys(), signal);
  const backup = await persevere(() => account.archives.backup(), signal);
  // Who never had an account key has signed no backup.
  if (!accountKey) return refuse("backup_unsigned");
  const keys = await openEnvelope(backup.envelope, { user, accountKey }, unlock);
  const device = await deviceOf(account, store, keys);
  await takeBackup(device, backup, keys, options);
  const keyChange = await backupKeyChange(keys.archiveKey);
  await store.persist([keyChange, restoredChange]);
  return keys.accountKey;
}

/** @throws MalformedCode */
async function unlockOf({ code, passphrase }: BackupSecret): Promise<Unlock> {
  if (code === undefined) return { kind: "passphrase", passphrase };
  return { kind: "code", entropy: await readRecoveryCode(code) };
}

async function takeBackup(
  device: HistoryDevice,
  { archive }: StoredBackup,
  keys: BackupKeys,
  options: TransferOptions,
): Promise<void> {
  try {
    await takeArchive(device, { archive, archiveKey: keys.archiveKey }, options);
  } catch (error) {
    if (!hasCode(error, "not_found")) throw error;
    // Another device has just made a newer one; or the server keeps back what it says it has.
    const current = await persevere(() => device.archives.backup(), options.signal);
    if (current.archive === archive) refuse("tampered", error);
    await takeBackup(device, current, keys, options);
  }
}

async function deviceOf(account: Restorer, store: Store, { accountKey }: BackupKeys): Promise<HistoryDevice> {
  const owner = { user: account.user, device: account.device };
  const { conversations } = await store.load(owner);
  const own = { user: account.user, accountKey: accountKey.publicKey, former: [] };
  const people = await Authenticator.load(own, store);
  const read = new Map(conversations.map((stored) => [stored.conversation, stored.read]));
  return {
    ...{ owner, accountKey, store, archives: account.archives, people },
    readOf: (conversation) => read.get(conversation) ?? 0,
    changed: () => {},
    async change(work) {
      const changes: StoreChange[] = [];
      const result = await work({ changes });
      await store.persist([...changes, ...people.takeLearned().changes]);
      people.settle();
      return result;
    },
  };
}
