import * as v from "valibot";
import { PushJob } from "../../shared/push-job.ts";
import { log } from "./log.ts";
import type { Notification, Provider } from "./provider.ts";

const FIRST_RETRY_SECONDS = 5;
const LAST_RETRY_SECONDS = 900;

/** After its last retry the queue itself moves a message to the dead letters (wrangler.toml). */
export async function handleMessage(message: Message, providers: readonly Provider[]): Promise<void> {
  const job = v.safeParse(PushJob, message.body);
  if (!job.success) {
    // It would be as bad next time, and not ours to keep: the message is dropped, unquoted.
    log("error", "push.bad_job", { attempt: message.attempts });
    message.ack();
    return;
  }
  try {
    await deliver(job.output, providers);
    message.ack();
  } catch (error) {
    const delaySeconds = retryDelaySeconds(message.attempts);
    const { requestId } = job.output;
    const kind = error instanceof Error ? error.name : typeof error;
    log("error", "push.failed", { requestId, attempt: message.attempts, delaySeconds, error: kind });
    message.retry({ delaySeconds });
  }
}

/** Every device is tried before a failure counts: one that cannot be reached does not hold up the others. */
async function deliver({ devices, ...rest }: PushJob, providers: readonly Provider[]): Promise<void> {
  const deliveries = devices.map((device) => deliverTo({ ...rest, device }, providers));
  const failed = (await Promise.allSettled(deliveries)).find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

async function deliverTo(notification: Notification, providers: readonly Provider[]): Promise<void> {
  const reached = await Promise.all(providers.map((provider) => provider.deliver(notification)));
  const { requestId, user, device } = notification;
  if (!reached.includes(true)) log("info", "push.unregistered", { requestId, user, device });
}

function retryDelaySeconds(attempts: number): number {
  return Math.min(FIRST_RETRY_SECONDS * 2 ** (attempts - 1), LAST_RETRY_SECONDS);
}
