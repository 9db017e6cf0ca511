import type { ConversationId, Cursor, DeviceId, MessageId, Seq, UserId } from "../../shared/ids.ts";
import type { Suite } from "../mls/mls.ts";
import type { ReceivedMessage } from "../session/contract.ts";

/** What a device asks of the server to take part in groups (RFC 9750 §5). Every method rejects with a `ChatError`. */
export interface DeliveryService {
  /** How this device stands: its person's account key, and the one-time key packages that are left. */
  keys(): Promise<KeysOnServer>;
  uploadKeys(upload: KeyUpload): Promise<KeysOnServer["left"]>;
  /** A key package of each of somebody's devices. Code `not_found`: there is nobody, or they have no keys. */
  claim(user: UserId, suite: Suite, except: readonly DeviceId[]): Promise<ClaimedKeyPackages>;
  submit(conversation: ConversationId, commit: SubmittedCommit): Promise<CommitAnswer>;
  /** The group as it stands; undefined if there is none, or none for this person. */
  group(conversation: ConversationId): Promise<GroupOnServer | undefined>;
  /** What belongs to the commit at this place; nothing of it if that is gone. */
  epoch(conversation: ConversationId, seq: Seq): Promise<EpochOnServer>;
  /** This person's devices, as the server has them. */
  devices(): Promise<DeviceId[]>;
}

export interface KeysOnServer {
  readonly accountKey: Uint8Array | undefined;
  readonly left: readonly { readonly suite: Suite; readonly oneTime: number; readonly hasLastResort: boolean }[];
}

export interface KeyUpload {
  readonly accountKey: Uint8Array;
  /** The account key takes the place of another one, which is lost. */
  readonly reset: boolean;
  readonly packages: readonly { readonly keyPackage: Uint8Array; readonly lastResort: boolean }[];
}

export interface ClaimedKeyPackages {
  readonly packages: readonly { readonly device: DeviceId; readonly keyPackage: Uint8Array }[];
  /** Devices that have none of this suite. */
  readonly missing: readonly DeviceId[];
}

export interface SubmittedCommit {
  readonly id: MessageId;
  readonly commit: Uint8Array;
  readonly groupInfo: Uint8Array;
  readonly welcome: Uint8Array | undefined;
  /** What the device has of the conversation. */
  readonly after: Cursor;
}

export type CommitAnswer =
  | { readonly accepted: true; readonly seq: Seq }
  /** It was made in another epoch than the conversation's (null: there is no group). */
  | {
      readonly accepted: false;
      readonly epoch: number | null;
      /** Complete in (after, through]. */
      readonly missed: readonly ReceivedMessage[];
      readonly through: Cursor;
    };

export interface GroupOnServer {
  readonly epoch: number;
  readonly seq: Seq;
  /** With these one joins from outside. */
  readonly groupInfo: Uint8Array;
  readonly tree: Uint8Array;
  /** Leaves of people who were removed and may not be named. */
  readonly orphans: readonly number[];
}

export interface EpochOnServer {
  readonly commit?: Uint8Array;
  readonly welcome?: Uint8Array;
  readonly tree?: Uint8Array;
}
