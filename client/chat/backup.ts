import { makeArchiveKey } from "../backup/archive.ts";
import type { StoredBackup } from "../backup/archive-service.ts";
import { replaceUnlock, sealEnvelope, type Unlock, type UnlockKind, unlockKinds } from "../backup/envelope.ts";
import { keyIdOf } from "../backup/key-id.ts";
import { readRecoveryCode } from "../backup/recovery-code.ts";
import { persevere, type TransferOptions } from "../backup/transfer.ts";
import { archiveIdOf } from "../backup/upload.ts";
import { ChatError, hasCode } from "../chat-error.ts";
import { type BackupKey, backupKeyChange, loadBackupKey } from "../history/backup-key.ts";
import type { HistoryDevice } from "../history/device.ts";
import { loadUpload, newUpload, type StoredUpload, storeUpload, uploadHistory } from "../history/stored-upload.ts";
import type { StoreChange } from "../store/store.ts";
import type { Engine } from "./engine.ts";
import { historyDevice } from "./history-device.ts";

const UPLOAD = "backup-upload";

/** With what the person will open their backup: one of the two, or either of both. */
export type BackupSecrets =
  | { readonly code: string; readonly passphrase?: string }
  | { readonly passphrase: string; readonly code?: undefined };

export interface BackupStatus {
  /** What opens it; nothing if there is no backup. */
  readonly opensWith: readonly UnlockKind[];
  /** When it was last brought up to date, ms since 1970. */
  readonly updatedAt: number | undefined;
  /** This device can bring it up to date. */
  readonly canUpdate: boolean;
  /** An upload has not come to its end: `update` goes on with it. */
  readonly isUnfinished: boolean;
}

/**
 * The person's history where the server keeps it and cannot read it, for the day on which all their devices are lost. Everything
 * here rejects with a `ChatError`.
 */
export class Backup {
  readonly #engine: Engine;
  readonly #device: HistoryDevice;
  readonly #end = new AbortController();
  #work: Promise<void> | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#device = historyDevice(engine);
  }

  /**
   * Makes a backup of all that this device has, in place of the one that there may be. If it breaks off, {@link update} goes on
   * with it.
   * @param secrets a code that `makeRecoveryCode` has made and the person has written down, a passphrase, or both
   * @throws ChatError code_malformed; too_many, too_large; busy, if this device is at it already; closed
   */
  create({ onProgress, signal, ...secrets }: BackupSecrets & TransferOptions): Promise<void> {
    return this.#alone(async () => {
      const archiveKey = makeArchiveKey();
      const keys = { archiveKey, accountKey: this.#device.accountKey };
      const envelope = await sealEnvelope(this.#device.owner.user, keys, await unlocksOf(secrets));
      await this.#abandon();
      await this.#upload(newUpload(archiveKey, envelope, Date.now()), { onProgress, signal });
    });
  }

  /**
   * Brings the backup up to date, or goes on with what has broken off; what opened it opens it still.
   * @throws ChatError `not_found`: there is none that this device knows of; `taken`: another device has made another one since
   */
  update(options: TransferOptions = {}): Promise<void> {
    return this.#alone(async () => {
      const unfinished = await loadUpload(this.#device, UPLOAD);
      if (unfinished) return this.#upload(unfinished, options);
      const { archiveKey } = await this.#key();
      await this.#upload(newUpload(archiveKey, undefined, Date.now()), options);
    });
  }

  async status(): Promise<BackupStatus> {
    const { store } = this.#engine;
    const [backup, key] = await Promise.all([this.#backup(), loadBackupKey(store)]);
    return {
      opensWith: backup ? await unlockKinds(backup.envelope, this.#identity) : [],
      updatedAt: backup?.updatedAt,
      canUpdate: backup !== undefined && backup.keyId === key?.keyId,
      isUnfinished: (await store.record(UPLOAD)) !== undefined,
    };
  }

  /** From now on this passphrase opens the backup, and none before it. @throws ChatError code_malformed, not_found, taken */
  changePassphrase(passphrase: string): Promise<void> {
    return this.#replace({ kind: "passphrase", passphrase });
  }

  /** From now on this code opens the backup, and none before it. @throws ChatError code_malformed, not_found, taken */
  async changeCode(code: string): Promise<void> {
    await this.#replace({ kind: "code", entropy: await readRecoveryCode(code) });
  }

  /** Nothing of it stays. */
  remove(): Promise<void> {
    return this.#alone(async () => {
      await this.#abandon();
      await this.#device.archives.removeBackup().catch(unlessNotFound);
      await this.#write(await backupKeyChange(undefined));
    });
  }

  /** Resolves when nothing is under way any more. What is unfinished stays so. */
  async stop(): Promise<void> {
    this.#end.abort();
    await this.#work?.catch(() => {});
  }

  async #upload(first: StoredUpload, { onProgress, signal }: TransferOptions): Promise<void> {
    const either = signal ? AbortSignal.any([signal, this.#end.signal]) : this.#end.signal;
    const stored = await this.#uploaded(first, { onProgress, signal: either });
    const archive = archiveIdOf(stored.upload.state);
    const keyId = await keyIdOf(stored.archiveKey);
    const { envelope } = stored;
    try {
      await persevere(() => this.#device.archives.setBackup({ keyId, archive, ...(envelope && { envelope }) }), either);
    } catch (error) {
      // There is no backup any more that this would fit.
      if (hasCode(error, "taken") || hasCode(error, "not_found")) await this.#abandon();
      throw error;
    }
    await this.#write(await backupKeyChange(stored.archiveKey), { type: "record", key: UPLOAD, value: undefined });
  }

  /** What was uploaded before a pause may be gone: then it is begun anew, once. */
  async #uploaded(stored: StoredUpload, options: TransferOptions, isAgain = false): Promise<StoredUpload> {
    await storeUpload(this.#device, UPLOAD, stored);
    try {
      await uploadHistory(this.#device, UPLOAD, stored, options);
      return stored;
    } catch (error) {
      if (isAgain || !hasCode(error, "not_found")) throw error;
      return this.#uploaded(newUpload(stored.archiveKey, stored.envelope, Date.now()), options, true);
    }
  }

  /** What is unfinished is not needed any more. */
  async #abandon(): Promise<void> {
    const unfinished = await loadUpload(this.#device, UPLOAD);
    if (!unfinished) return;
    await this.#write({ type: "record", key: UPLOAD, value: undefined });
    // Otherwise it goes by itself after a while.
    await this.#device.archives.remove(archiveIdOf(unfinished.upload.state)).catch(() => {});
  }

  async #replace(unlock: Unlock): Promise<void> {
    const { archiveKey, keyId } = await this.#key();
    const { owner, accountKey, archives } = this.#device;
    const backup = await archives.backup();
    if (backup.keyId !== keyId) throw new ChatError("taken");
    const envelope = await replaceUnlock(backup.envelope, owner.user, { archiveKey, accountKey }, unlock);
    await archives.setBackup({ keyId, envelope });
  }

  async #key(): Promise<BackupKey> {
    const key = await loadBackupKey(this.#engine.store);
    if (!key) throw new ChatError("not_found");
    return key;
  }

  #backup(): Promise<StoredBackup | undefined> {
    return this.#device.archives.backup().catch(unlessNotFound);
  }

  get #identity() {
    const { owner, accountKey } = this.#device;
    return { user: owner.user, accountKey: accountKey.publicKey };
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#end.signal.aborted) throw new ChatError("closed");
    if (this.#work) throw new ChatError("busy");
    this.#work = work().finally(() => {
      this.#work = undefined;
    });
    await this.#work;
  }

  #write(...changes: readonly StoreChange[]): Promise<void> {
    return this.#device.change(async (write) => void write.changes.push(...changes));
  }
}

async function unlocksOf({ code, passphrase }: BackupSecrets): Promise<[Unlock, ...Unlock[]]> {
  const byPassphrase = passphrase === undefined ? [] : [{ kind: "passphrase", passphrase } as const];
  if (code !== undefined) return [{ kind: "code", entropy: await readRecoveryCode(code) }, ...byPassphrase];
  return byPassphrase as [Unlock];
}

function unlessNotFound(error: unknown): undefined {
  if (!hasCode(error, "not_found")) throw error;
}
