import { readRecoveryCode } from "../backup/recovery-code.ts";
import type { TransferOptions } from "../backup/transfer.ts";
import type { Backup, BackupSecrets, BackupStatus } from "../chat/backup.ts";
import { asChatErrors } from "../chat/failure.ts";
import type { Task } from "./calls.ts";
import type { Follower } from "./follower.ts";
import { runTask } from "./tasks.ts";

/** The backup as each tab has it: the work is done where the device is, and told from there. Documented as `Backup` is. */
export class TabBackup implements Omit<Backup, "stop"> {
  readonly #follower: Follower;

  constructor(follower: Follower) {
    this.#follower = follower;
  }

  create({ onProgress, signal, ...secrets }: BackupSecrets & TransferOptions): Promise<void> {
    return asChatErrors(async () => {
      // What is wrong with a code is said in more than an error's code, which is all that passes between tabs.
      if (secrets.code !== undefined) await readRecoveryCode(secrets.code);
      const ask = (task: Task) => this.#follower.ask("createBackup", { ...task, secrets });
      await this.#transfer(ask, { onProgress, signal });
    });
  }

  update(options: TransferOptions = {}): Promise<void> {
    return this.#transfer((task) => this.#follower.ask("updateBackup", task), options);
  }

  status(): Promise<BackupStatus> {
    return this.#follower.ask("backupStatus");
  }

  changePassphrase(passphrase: string): Promise<void> {
    return this.#follower.ask("changePassphrase", passphrase);
  }

  async changeCode(code: string): Promise<void> {
    await readRecoveryCode(code);
    await this.#follower.ask("changeCode", code);
  }

  remove(): Promise<void> {
    return this.#follower.ask("removeBackup");
  }

  #transfer(ask: (task: Task) => Promise<void>, { onProgress, signal }: TransferOptions): Promise<void> {
    return runTask(this.#follower, signal, async (task) => {
      const unlisten = this.#follower.work.add("told", (told) => {
        if (told.type === "backup_progress" && told.task === task.task) onProgress?.(told.progress);
      });
      await ask(task).finally(unlisten);
    });
  }
}
