import { makeArchiveKey } from "../backup/archive.ts";
import type { TransferOptions } from "../backup/transfer.ts";
import { archiveIdOf } from "../backup/upload.ts";
import { ChatError } from "../chat-error.ts";
import { type HistoryDevice, putRecord } from "./device.ts";
import type { PromisedArchive } from "./handover.ts";
import { loadUpload, newUpload, storeUpload, uploadHistory } from "./stored-upload.ts";

const PREFIX = "history-for-device/";

/** Brings this device's history to a device that it links. Each has an archive of its own, under a key of its own. */
export class HistorySender {
  readonly #device: HistoryDevice;

  constructor(device: HistoryDevice) {
    this.#device = device;
  }

  /** From here on it is waited for. @throws ChatError too_many, if the person has too many archives already */
  async promise(): Promise<PromisedArchive> {
    const stored = newUpload(makeArchiveKey(), undefined, Date.now());
    const archive = archiveIdOf(stored.upload.state);
    await this.#device.archives.begin(archive, 1);
    await storeUpload(this.#device, PREFIX + archive, stored);
    return { archive, archiveKey: stored.archiveKey };
  }

  async hasPromised(): Promise<boolean> {
    return (await this.#device.store.records(PREFIX)).length > 0;
  }

  /** Nobody waits for it. */
  async withdraw({ archive }: PromisedArchive): Promise<void> {
    await putRecord(this.#device, PREFIX + archive, undefined);
    // Otherwise it goes by itself after a while.
    await this.#device.archives.remove(archive).catch(() => {});
  }

  /** Uploads what was promised, from where an earlier try has stopped. @throws ChatError unless it can never be */
  async send(options: TransferOptions): Promise<void> {
    for (const [key] of await this.#device.store.records(PREFIX)) await this.#send(key, options);
  }

  async #send(key: string, options: TransferOptions): Promise<void> {
    const stored = await loadUpload(this.#device, key);
    if (!stored) return;
    const archive = archiveIdOf(stored.upload.state);
    try {
      await uploadHistory(this.#device, key, stored, options);
      await putRecord(this.#device, key, undefined);
    } catch (error) {
      const isPassing = error instanceof ChatError && (error.retryable || error.code === "closed");
      if (isPassing) throw error;
      await this.withdraw({ archive, archiveKey: stored.archiveKey });
    }
  }
}
