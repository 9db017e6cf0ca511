import * as v from "valibot";
import { ConversationId, Cursor, DeviceId, MessageId, Seq, Time, UserId } from "../ids.ts";
import {
  MAX_COMMIT_REQUEST_BYTES,
  MAX_DEVICES_PER_USER,
  MAX_GROUP_INFO_BYTES,
  MAX_KEY_PACKAGE_BYTES,
  MAX_KEY_PACKAGES_PER_UPLOAD,
  MAX_KEYS_REQUEST_BYTES,
  MAX_WELCOME_BYTES,
} from "../limits.ts";
import { endpoint } from "./endpoint.ts";

/** The delivery service's side of MLS (RFC 9750 §5): key packages, commits, and what is needed to join. */

const base64url = (maxBytes: number) =>
  v.pipe(v.string(), v.regex(/^[\w-]+$/), v.maxLength(Math.ceil((maxBytes * 4) / 3)));
const groupBytes = base64url(MAX_COMMIT_REQUEST_BYTES);
const Suite = v.picklist([1, 83]);
/** Ed25519 public key, base64url. */
const AccountKey = v.pipe(v.string(), v.regex(/^[\w-]{43}$/));
const left = v.array(
  v.object({
    suite: Suite,
    /** Key packages that are given out once. */
    oneTime: v.number(),
    hasLastResort: v.boolean(),
  }),
);
const oneConversation = v.object({ conversation: ConversationId });

export const uploadKeys = endpoint({
  name: "uploadKeys",
  tag: "encryption",
  method: "put",
  path: "/v1/keys",
  summary:
    "Key packages with which others can add this device to conversations; the first upload sets the account key.",
  access: "device",
  bucket: "keys",
  maxBytes: MAX_KEYS_REQUEST_BYTES,
  body: v.object({
    /** Ed25519, base64url; every package is certified by it. */
    accountKey: AccountKey,
    /** The account key was lost: this one takes its place, and whoever writes with the person is shown that. */
    reset: v.optional(v.boolean(), false),
    packages: v.pipe(
      v.array(
        v.object({
          /** An MLSMessage (RFC 9420 §6), whose credential is this device's certificate. */
          keyPackage: base64url(MAX_KEY_PACKAGE_BYTES),
          /** Given out, and as often as it takes, when there is no other of its suite; takes the former one's place. */
          lastResort: v.optional(v.boolean(), false),
        }),
      ),
      // Whoever sets an account key shows with a package that it has signed this device.
      v.minLength(1),
      v.maxLength(MAX_KEY_PACKAGES_PER_UPLOAD),
    ),
  }),
  answer: v.object({ left }),
  /** `taken`: the person has another account key. `too_many`: the device has as many as it may. */
  errors: ["taken", "too_many"],
});

export const viewKeys = endpoint({
  name: "viewKeys",
  tag: "encryption",
  method: "get",
  path: "/v1/keys",
  summary: "The person's account key, absent before the first upload, and how many key packages this device has left.",
  access: "device",
  bucket: "keys",
  answer: v.object({ accountKey: v.optional(v.string()), left }),
  errors: [],
});

export const claimKeyPackages = endpoint({
  name: "claimKeyPackages",
  tag: "encryption",
  method: "post",
  path: "/v1/users/:user/key-packages",
  summary: "A key package of each of a person's devices, to add them to a conversation. Each is given out once.",
  access: "device",
  bucket: "key_packages",
  params: v.object({ user: UserId }),
  body: v.object({
    suite: Suite,
    /** Devices that need none. */
    except: v.optional(v.pipe(v.array(DeviceId), v.maxLength(MAX_DEVICES_PER_USER)), []),
  }),
  answer: v.object({
    accountKey: v.string(),
    packages: v.array(v.object({ device: DeviceId, keyPackage: v.string() })),
    /** Devices that have none of this suite. */
    missing: v.array(DeviceId),
  }),
  /** `rate_limited` is also who asks for the same person's too often. */
  errors: ["not_found"],
});

const entry = v.object({ seq: Seq, id: MessageId, user: UserId, device: DeviceId, at: Time, body: v.string() });

export const submitCommit = endpoint({
  name: "submitCommit",
  tag: "encryption",
  method: "post",
  path: "/v1/conversations/:conversation/commits",
  summary:
    "Changes a conversation's group, or begins it. Taken only in the current epoch; otherwise answered with what was missed.",
  access: "device",
  bucket: "commit",
  params: oneConversation,
  maxBytes: MAX_COMMIT_REQUEST_BYTES,
  body: v.object({
    id: MessageId,
    /** A PublicMessage (RFC 9420 §6.2). */
    commit: groupBytes,
    /** Of the next epoch, with the external public key and without the tree (RFC 9420 §12.4.3). */
    groupInfo: base64url(MAX_GROUP_INFO_BYTES),
    welcome: v.optional(base64url(MAX_WELCOME_BYTES)),
    /** What the device has of the conversation. */
    after: Cursor,
  }),
  answer: v.variant("accepted", [
    v.object({ accepted: v.literal(true), seq: Seq, at: Time }),
    v.object({
      accepted: v.literal(false),
      /** Null: there is no group yet. */
      epoch: v.nullable(Cursor),
      /** Complete in (after, through]. */
      entries: v.array(entry),
      through: Cursor,
    }),
  ]),
  errors: ["not_found", "not_allowed", "blocked", "id_from_future", "id_conflict", "id_expired"],
});

export const viewGroup = endpoint({
  name: "viewGroup",
  tag: "encryption",
  method: "get",
  path: "/v1/conversations/:conversation/group",
  summary:
    "The group as it stands, with what a member's device needs to join without anybody's help (an external commit).",
  access: "device",
  bucket: "commit",
  params: oneConversation,
  answer: v.object({
    epoch: Cursor,
    seq: Seq,
    groupInfo: v.string(),
    tree: v.string(),
    /** Leaves of people who are removed and may not be named: any member's commit may remove them. */
    orphans: v.array(v.number()),
  }),
  errors: ["not_found"],
});

export const viewEpoch = endpoint({
  name: "viewEpoch",
  tag: "encryption",
  method: "get",
  path: "/v1/conversations/:conversation/epochs/:seq",
  summary:
    "What belongs to the commit at this place and is not in the log: the commit where it is large, Welcome and tree.",
  access: "device",
  bucket: "commit",
  params: v.object({
    conversation: ConversationId,
    seq: v.pipe(v.union([v.string(), v.number()]), v.transform(Number), Seq),
  }),
  answer: v.object({
    commit: v.optional(v.string()),
    welcome: v.optional(v.string()),
    tree: v.optional(v.string()),
  }),
  errors: ["not_found"],
});
