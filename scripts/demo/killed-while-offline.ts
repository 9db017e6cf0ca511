import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Device } from "./device.ts";

const program = fileURLToPath(new URL("./offline-writer.ts", import.meta.url));

/**
 * Runs the device's app as a process of its own, lets it write a message that it cannot send, and kills it: no goodbye, no
 * last write. The device must be closed; its store is then as the dead process left it.
 */
export async function killWhileOffline(device: Device, to: Device, text: string): Promise<void> {
  const { storePath, terminal } = device.options;
  const child = fork(program, ["--store", storePath, "--to", to.user, "--text", text]);
  const killed = once(child, "exit");
  const queued = await Promise.race([once(child, "message"), killed.then(() => undefined)]);
  if (!queued) throw new Error(`the app of ${device.name} ended before it had written anything`);
  device.tell(`writes “${text}” without a network  ${terminal.paint("dim", "🕓")}`);
  child.kill("SIGKILL");
  await killed;
  device.tell("is killed (SIGKILL)");
}
