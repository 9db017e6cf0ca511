import type { DeviceListing, viewDeviceLink } from "../../shared/api/devices.ts";
import type { AnswerOf } from "../../shared/api/endpoint.ts";
import type { DeviceId } from "../../shared/ids.ts";
import type { Progress } from "../backup/transfer.ts";
import { ChatError, hasCode } from "../chat-error.ts";
import { backupKeyChange, loadBackupKey } from "../history/backup-key.ts";
import { type HistoryDevice, putRecord } from "../history/device.ts";
import {
  type Channel,
  encodeHandover,
  type Handover,
  heardReady,
  type PromisedArchive,
  sendReady,
} from "../history/handover.ts";
import { HistoryReceiver } from "../history/history-receiver.ts";
import { HistorySender } from "../history/history-sender.ts";
import { Listeners } from "../listeners.ts";
import type { StoreChange } from "../store/store.ts";
import type { Engine } from "./engine.ts";
import { historyDevice } from "./history-device.ts";
import { Reconciliation } from "./reconciliation.ts";

/** What goes on for a while after a device was linked or revoked. */
export interface DeviceProgress extends Progress {
  readonly task: /** The person's devices become members of their conversations, or cease to be; counted in conversations. */
  "members" | "sending_history" | "receiving_history";
}

export interface DeviceOptions {
  readonly onProgress?: (progress: DeviceProgress) => void;
}

export interface LinkDeviceOptions extends DeviceOptions {
  /** Whether the new device gets what was said so far; it does unless this says no. */
  readonly history?: boolean;
  /** Ends the waiting, with code `closed`; what has been begun goes on. */
  readonly signal?: AbortSignal;
}

/** What came with a link, for `chat.devices.receiveHistory`. */
export interface LinkedHistory extends Pick<Handover, "backupKey" | "history"> {
  readonly channel: Channel;
}

const REVOKED = "revoke/";
/** There once this device has seen to its own membership in all conversations. */
const ENTERED = "entered";
/** A store may take no bytes for none. */
const MARK = Uint8Array.of(1);

/**
 * This person's devices. What linking and revoking set off goes on in the background, and after a restart; every device of the
 * person takes part in it. Everything here rejects with a `ChatError`.
 */
export class Devices {
  readonly #engine: Engine;
  readonly #device: HistoryDevice;
  readonly #reconciliation: Reconciliation;
  readonly #sender: HistorySender;
  readonly #receiver: HistoryReceiver;
  readonly #listeners = new Listeners<{ progress: DeviceProgress }>();
  readonly #end = new AbortController();
  readonly #tasks = new Set<Promise<unknown>>();
  /** Of histories that are sent, and of those that are received, one comes after the other. */
  #sending: Promise<unknown> = Promise.resolve();
  #receiving: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#device = historyDevice(engine);
    this.#sender = new HistorySender(this.#device);
    this.#receiver = new HistoryReceiver(this.#device);
    this.#reconciliation = new Reconciliation({
      ...{ store: engine.store, signal: this.#end.signal },
      change: (work) => this.#device.change(work),
      want: (conversation) => engine.encryption.membership.want(conversation, { ownDevices: true }),
      told: (progress) => this.#tell("members", progress),
    });
    engine.listeners.add("caught_up", () => this.#inBackground(() => this.#goOn()));
    engine.listeners.add("alert", ({ kind }) => {
      if (kind === "device_added" || kind === "device_removed") this.#inBackground(() => this.#reconcileSoon());
    });
  }

  /** The oldest first. */
  list(): Promise<DeviceListing[]> {
    return this.#engine.account.devices.list();
  }

  rename(device: DeviceId, name: string): Promise<void> {
    return this.#engine.account.devices.rename(device, name);
  }

  /**
   * Which device shows this QR code, for the person to confirm before it is linked. It names itself, so that this proves
   * nothing: what counts is that they scanned the code from the device that they mean. Code `link_invalid` if it is none.
   */
  view(qr: string): Promise<AnswerOf<typeof viewDeviceLink>> {
    return this.#engine.account.devices.view(qr);
  }

  /**
   * Lets the device in that shows this QR code: it becomes this person's, a member of all their conversations, and gets
   * their history. Resolves when all of that is done. Once the device is in, the rest goes on whatever breaks off.
   * @throws ChatError link_invalid, not_found, taken, too_many_devices: it is not let in; closed
   */
  link(qr: string, { history = true, signal, onProgress }: LinkDeviceOptions = {}): Promise<void> {
    return this.#task(onProgress, async () => {
      const promised = history ? await this.#promise() : undefined;
      const channel = await this.#approve(qr, promised, signal);
      await this.#untilReady(channel, signal);
      await this.#reconciliation.demand();
      await this.#reconciliation.run();
      await this.#send();
    });
  }

  /**
   * The device's connection closes at once, and nothing that is said from then on can be read there. Resolves when it is out
   * of all conversations, which goes on whatever breaks off.
   */
  revoke(device: DeviceId, { onProgress }: DeviceOptions = {}): Promise<void> {
    return this.#task(onProgress, async () => {
      await putRecord(this.#device, REVOKED + device, MARK);
      await this.#revoke(device);
      await this.#reconciliation.run();
    });
  }

  /**
   * On a device that was just linked, with what `linked()` has answered: tells the other device that this one can be added to
   * conversations, and takes the history in as soon as it comes. If that breaks off it goes on by itself, the next time that
   * the chat is connected.
   * @returns false if no history was promised, or it will never come
   * @throws ChatError `tampered`, `backup_unsigned`: what came was not the other device's
   */
  receiveHistory(linked: LinkedHistory, { onProgress }: DeviceOptions = {}): Promise<boolean> {
    return this.#task(onProgress, async () => {
      const { backupKey, history, channel } = linked;
      if (backupKey) await this.#write(await backupKeyChange(backupKey));
      if (history) await this.#receiver.expect(history);
      // Without a word the other device comes round to it too, only later.
      await sendReady(channel).catch(() => {});
      return history !== undefined && (await this.#receive());
    });
  }

  /** @returns a function that ends the subscription */
  on(type: "progress", listener: (progress: DeviceProgress) => void): () => void {
    return this.#listeners.add(type, listener);
  }

  /** Resolves when nothing is under way any more. What is left is taken up the next time. */
  async stop(): Promise<void> {
    this.#end.abort();
    await Promise.allSettled(this.#tasks);
  }

  // ── linking ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Somebody with too many archives gets along without. */
  async #promise(): Promise<PromisedArchive | undefined> {
    try {
      return await this.#sender.promise();
    } catch (error) {
      if (hasCode(error, "too_many")) return undefined;
      throw error;
    }
  }

  async #approve(qr: string, history: Handover["history"], signal: AbortSignal | undefined): Promise<Channel> {
    const { account, encryption, store } = this.#engine;
    const backupKey = (await loadBackupKey(store))?.archiveKey;
    const payload = encodeHandover({ user: account.user, accountKey: encryption.keys.account, backupKey, history });
    try {
      return await account.devices.link(qr, { payload, signal: this.#orEnd(signal) });
    } catch (error) {
      if (history) await this.#sender.withdraw(history);
      throw error;
    }
  }

  /** A device that never says so may be ready all the same. @throws ChatError closed */
  async #untilReady(channel: Channel, signal: AbortSignal | undefined): Promise<void> {
    await heardReady(channel).catch(() => {});
    if (this.#orEnd(signal).aborted) throw new ChatError("closed");
  }

  // ── what goes on ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whatever an earlier run has left. */
  async #goOn(): Promise<void> {
    const revoked = await this.#engine.store.records(REVOKED);
    await Promise.allSettled(revoked.map(([key]) => this.#revoke(key.slice(REVOKED.length))));
    if (!(await this.#engine.store.record(ENTERED))) await this.#enter();
    // Whoever waits for a history has to be in before it is taken: what is said in between would be lost to them.
    if (await this.#sender.hasPromised()) await this.#reconciliation.demand();
    await Promise.allSettled([this.#receive(), this.#reconciliation.run().then(() => this.#send())]);
  }

  /** A device that is new joins whatever conversation nobody has added it to. */
  async #enter(): Promise<void> {
    await this.#reconciliation.demand({ type: "record", key: ENTERED, value: MARK });
    await this.#reconciliation.runSoon();
  }

  async #reconcileSoon(): Promise<void> {
    await this.#reconciliation.demand();
    await this.#reconciliation.runSoon();
  }

  /** May be repeated: a device that is gone already has to leave the conversations all the same. */
  async #revoke(device: DeviceId): Promise<void> {
    const key = REVOKED + device;
    try {
      await this.#engine.account.devices.revoke(device);
    } catch (error) {
      const isForGood = error instanceof ChatError && !error.retryable;
      if (isForGood && error.code !== "not_found") await putRecord(this.#device, key, undefined);
      if (!hasCode(error, "not_found")) throw error;
    }
    await this.#reconciliation.demand({ type: "record", key, value: undefined });
  }

  #send(): Promise<void> {
    const onProgress = (progress: Progress) => this.#tell("sending_history", progress);
    const sent = this.#sending.then(() => this.#sender.send({ signal: this.#end.signal, onProgress }));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  #receive(): Promise<boolean> {
    const received = this.#receiving.then(() => this.#receiveNow());
    this.#receiving = received.catch(() => {});
    return received;
  }

  /** What comes may be of conversations that this device did not know of. */
  async #receiveNow(): Promise<boolean> {
    const { store } = this.#engine;
    const known = await store.conversations();
    const onProgress = (progress: Progress) => this.#tell("receiving_history", progress);
    const hasAll = await this.#receiver.receive({ signal: this.#end.signal, onProgress });
    const isMore = (await store.conversations()).length > known.length;
    if (isMore) this.#inBackground(() => this.#reconcileSoon());
    return hasAll;
  }

  /** What fails there is taken up again with the next connection. */
  #inBackground(work: () => Promise<void>): void {
    void this.#task(undefined, work).catch(() => {});
  }

  async #task<T>(onProgress: DeviceOptions["onProgress"], work: () => Promise<T>): Promise<T> {
    if (this.#end.signal.aborted) throw new ChatError("closed");
    const unsubscribe = onProgress && this.#listeners.add("progress", onProgress);
    const task = work().finally(() => {
      this.#tasks.delete(task);
      unsubscribe?.();
    });
    this.#tasks.add(task);
    return task;
  }

  #tell(task: DeviceProgress["task"], progress: Progress): void {
    this.#listeners.tell("progress", { task, ...progress });
  }

  #write(change: StoreChange): Promise<void> {
    return this.#device.change(async ({ changes }) => void changes.push(change));
  }

  #orEnd(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#end.signal]) : this.#end.signal;
  }
}
