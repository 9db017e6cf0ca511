import * as v from "valibot";
import { ArchiveId } from "../../shared/api/archives.ts";
import { Time } from "../../shared/ids.ts";
import { HISTORY_POLL_MAX_MS, HISTORY_POLL_MS, HISTORY_WAIT_MS } from "../../shared/limits.ts";
import { persevere, type TransferOptions } from "../backup/transfer.ts";
import { ChatError, hasCode } from "../chat-error.ts";
import { decodeRecord, encodeRecord } from "../encryption/record.ts";
import { sleep } from "../patience.ts";
import { type HistoryDevice, putRecord } from "./device.ts";
import type { PromisedArchive } from "./handover.ts";
import { forgetArchive, takeArchive } from "./take-archive.ts";

const PREFIX = "history-from-device/";
const Fields = v.object({ archive: ArchiveId, since: Time });

interface Awaited extends PromisedArchive {
  readonly key: string;
  /** Ms since 1970. */
  readonly since: number;
}

/** Takes the history that the device which has linked this one has promised. */
export class HistoryReceiver {
  readonly #device: HistoryDevice;

  constructor(device: HistoryDevice) {
    this.#device = device;
  }

  /** Whatever happens now, it is waited for. */
  expect({ archive, archiveKey }: PromisedArchive): Promise<void> {
    return putRecord(this.#device, PREFIX + archive, encodeRecord({ archive, since: Date.now() }, [archiveKey]));
  }

  /**
   * Takes all that was promised, from where an earlier try has stopped.
   * @returns false if something of it will never come
   * @throws ChatError `tampered`, `backup_unsigned`: it is not what the other device has put there; `closed`, and what may pass
   */
  async receive(options: TransferOptions): Promise<boolean> {
    let hasAll = true;
    for (const awaited of await this.#awaited()) hasAll = (await this.#receive(awaited, options)) && hasAll;
    return hasAll;
  }

  async #receive(awaited: Awaited, options: TransferOptions): Promise<boolean> {
    try {
      await this.#completed(awaited, options.signal);
      await takeArchive(this.#device, awaited, options);
    } catch (error) {
      const isPassing = error instanceof ChatError && (error.retryable || error.code === "closed");
      if (!isPassing) await this.#forget(awaited);
      if (hasCode(error, "not_found")) return false;
      throw error;
    }
    await this.#forget(awaited);
    return true;
  }

  /** The other device may need hours, or never come back. @throws ChatError not_found */
  async #completed({ archive, since }: Awaited, signal: AbortSignal | undefined): Promise<void> {
    for (let pause = HISTORY_POLL_MS; ; pause = Math.min(2 * pause, HISTORY_POLL_MAX_MS)) {
      const { isComplete } = await persevere(() => this.#device.archives.chunks(archive), signal);
      if (isComplete) return;
      if (Date.now() - since > HISTORY_WAIT_MS) throw new ChatError("not_found");
      await sleep(pause, signal);
    }
  }

  async #forget({ key, archive }: Awaited): Promise<void> {
    await putRecord(this.#device, key, undefined);
    await forgetArchive(this.#device, archive);
    // Nobody else needs it; otherwise it goes by itself after a while.
    await this.#device.archives.remove(archive).catch(() => {});
  }

  async #awaited(): Promise<Awaited[]> {
    const records = await this.#device.store.records(PREFIX);
    return records.map(([key, record]) => {
      const { fields, blobs } = decodeRecord(Fields, record);
      const [archiveKey] = blobs;
      if (!archiveKey) throw new TypeError("no archive key");
      return { key, archiveKey, ...fields };
    });
  }
}
