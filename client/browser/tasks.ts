import type { Task } from "./calls.ts";
import type { Follower } from "./follower.ts";

/** Something that the leader does for a tab, for as long as the tab's signal lets it. */
export async function runTask<T>(
  follower: Follower,
  signal: AbortSignal | undefined,
  work: (task: Task) => Promise<T>,
): Promise<T> {
  const task = { task: crypto.randomUUID() };
  const abort = () => void follower.ask("abort", task).catch(() => {});
  signal?.addEventListener("abort", abort, { once: true });
  const done = work(task);
  // Asked after the work, so that there is something to be ended.
  if (signal?.aborted) abort();
  return done.finally(() => signal?.removeEventListener("abort", abort));
}
