import type { PushJob } from "../../shared/push-job.ts";

/** One device's notification: it says that something waits, and for which conversation; never what. */
export type Notification = Omit<PushJob, "devices"> & { readonly device: string };

/** A way to wake devices up. Each provider knows by itself which devices are registered with it, and how. */
export interface Provider {
  readonly name: string;
  /**
   * Resolves to true once the notification is handed over, to false if the device is not registered here.
   * A rejection is tried again, so a repeat must be harmless.
   */
  deliver(notification: Notification): Promise<boolean>;
}
