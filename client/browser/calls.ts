import type { ConversationId, DeviceId, UserId } from "../../shared/ids.ts";
import type { Progress } from "../backup/transfer.ts";
import type { BackupSecrets, BackupStatus } from "../chat/backup.ts";
import type { Command } from "../chat/base.ts";
import type { DeviceProgress, LinkedHistory } from "../chat/devices.ts";
import type { MessageRef } from "../chat/message.ts";
import type { Requested } from "../chat/requests.ts";
import type { Content } from "../content.ts";
import type { Wish } from "../encryption/membership.ts";
import type { Identity } from "../identity/pins.ts";
import type { SafetyCheck } from "../identity/safety-number.ts";
import type { SentMessage } from "../outgoing.ts";
import type { SearchHit, SearchScope } from "../search/search-index.ts";
import type { Change, Happening, Snapshot } from "./view.ts";

/**
 * What tabs ask of the one that leads. A leader may end after it has done something and before it has answered, and the next
 * one is asked again: so each of these may be done twice, or makes sure itself that it is not.
 */
export interface Calls {
  /** Tells the snapshot, to all: it so comes in its place among what else is told. */
  snapshot(): void;
  dispatch(command: Command): void;
  /** Sent once, however often it is asked for under the same request. */
  send(message: { readonly conversation: ConversationId; readonly content: Content }): Requested;
  /** Answered when the server has it. */
  sent(message: Requested): { readonly id: string } & Awaited<SentMessage["sent"]>;
  hide(message: MessageRef): void;
  members(conversation: ConversationId): UserId[];
  want(wanted: { readonly conversation: ConversationId; readonly wish: Wish }): void;
  markVerified(compared: Identity): SafetyCheck;
  acceptKey(user: UserId): void;
  search(wanted: { readonly query: string; readonly scope: SearchScope }): SearchHit[];

  /** A token for requests in the device's name; `refused` was none. */
  accessToken(refused: string | undefined): string;
  refresh(): void;
  forget(): void;

  link(wanted: Task & { readonly qr: string; readonly history: boolean }): void;
  revoke(device: DeviceId): void;
  receiveHistory(linked: Task & Omit<LinkedHistory, "channel">): boolean;
  createBackup(wanted: Task & { readonly secrets: BackupSecrets }): void;
  updateBackup(wanted: Task): void;
  backupStatus(): BackupStatus;
  changePassphrase(passphrase: string): void;
  changeCode(code: string): void;
  removeBackup(): void;
  /** The tab that has asked for it has had enough. */
  abort(task: Task): void;
}

export type Asked<Method extends keyof Calls> = Parameters<Calls[Method]>[0];
export type Answered<Method extends keyof Calls> = ReturnType<Calls[Method]>;

/** Something that takes its time, under a name that the tab has chosen. */
export interface Task {
  readonly task: string;
}

/** What the leader tells all tabs, itself included. */
export type Told =
  | { readonly type: "snapshot"; readonly snapshot: Snapshot }
  /** Something has happened, and this is to be known from then on. */
  | ({ readonly type: "event"; readonly change: Change } & Happening)
  | { readonly type: "device_progress"; readonly progress: DeviceProgress }
  | ({ readonly type: "backup_progress"; readonly progress: Progress } & Task)
  /** For the channel of a link, which the tab has that received it. */
  | ({ readonly type: "channel"; readonly message: Uint8Array } & Task);
