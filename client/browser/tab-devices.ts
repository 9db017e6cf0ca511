import type { DeviceId } from "../../shared/ids.ts";
import { Devices as AccountDevices } from "../account/devices.ts";
import type { DeviceOptions, DeviceProgress, Devices, LinkDeviceOptions, LinkedHistory } from "../chat/devices.ts";
import type { Follower } from "./follower.ts";
import type { TabSession } from "./tab-session.ts";
import { runTask } from "./tasks.ts";

/** This person's devices as each tab has them: the work is done where the device is. Documented as `Devices` is. */
export class TabDevices implements Omit<Devices, "stop"> {
  readonly #follower: Follower;
  readonly #account: AccountDevices;

  constructor(follower: Follower, session: TabSession) {
    this.#follower = follower;
    this.#account = new AccountDevices(session);
  }

  list(): ReturnType<Devices["list"]> {
    return this.#account.list();
  }

  rename(device: DeviceId, name: string): Promise<void> {
    return this.#account.rename(device, name);
  }

  view(qr: string): ReturnType<Devices["view"]> {
    return this.#account.view(qr);
  }

  /** The next leader may be refused what the one before has done and not answered: the device is in all the same. */
  link(qr: string, { history = true, signal, onProgress }: LinkDeviceOptions = {}): Promise<void> {
    return this.#showing(onProgress, () =>
      runTask(this.#follower, signal, (task) => this.#follower.ask("link", { ...task, qr, history })),
    );
  }

  revoke(device: DeviceId, { onProgress }: DeviceOptions = {}): Promise<void> {
    return this.#showing(onProgress, () => this.#follower.ask("revoke", device));
  }

  /** Only this tab has the channel to the other device. */
  receiveHistory({ channel, ...linked }: LinkedHistory, { onProgress }: DeviceOptions = {}): Promise<boolean> {
    return this.#showing(onProgress, () =>
      runTask(this.#follower, undefined, (task) => {
        const unlisten = this.#follower.work.add("told", (told) => {
          if (told.type === "channel" && told.task === task.task) void channel.send(told.message).catch(() => {});
        });
        return this.#follower.ask("receiveHistory", { ...task, ...linked }).finally(unlisten);
      }),
    );
  }

  on(_: "progress", listener: (progress: DeviceProgress) => void): () => void {
    return this.#follower.work.add("told", (told) => told.type === "device_progress" && listener(told.progress));
  }

  #showing<T>(onProgress: DeviceOptions["onProgress"], work: () => Promise<T>): Promise<T> {
    const unlisten = onProgress ? this.on("progress", onProgress) : () => {};
    return work().finally(unlisten);
  }
}
