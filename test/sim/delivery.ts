import { createHash } from "node:crypto";
import { ChatError } from "../../client/chat-error.ts";
import type {
  ClaimedKeyPackages,
  CommitAnswer,
  DeliveryService,
  EpochOnServer,
  GroupOnServer,
  KeysOnServer,
  KeyUpload,
  SubmittedCommit,
} from "../../client/encryption/delivery-service.ts";
import type { Suite } from "../../client/mls/mls.ts";
import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import type { ErrorCode, Retry } from "../../shared/errors.ts";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import { KEY_PACKAGES_KEPT } from "../../shared/limits.ts";
import { encodeReference } from "../../shared/mls/framing.ts";
import type {
  AskKeysReply,
  ClaimKeyPackagesReply,
  DeviceListed,
  KeysLeft,
  PutKeysReply,
  ReadEpochReply,
  ReadGroupReply,
  Stored,
  SubmitCommit,
  SubmitCommitReply,
} from "../../shared/rpc.ts";
import type { Callee, Calls } from "./calls.ts";
import type { DeviceConfig } from "./device-book.ts";
import type { Files } from "./files.ts";
import type { MlsModule, ReadCommit } from "./mls-module.ts";
import type { Platform } from "./platform.ts";

/** What lies behind HTTP. */
export interface Gateway {
  readonly calls: Calls;
  readonly files: Files;
  readonly mls: MlsModule;
  /** One-time key packages that a device has on the server, of each suite; few, so that they run out. */
  readonly keyPackagesKept: number;
  /** Of a group; larger ones go to the file store. */
  readonly maxInlineBytes: number;
  user(id: UserId): Callee;
  conversation(id: ConversationId): Callee;
  /** A commit was handed in. */
  submitted(commit: SubmitCommit): void;
}

/** One run of an app on a device, as far as the network has to do with it. */
export interface Line {
  readonly config: DeviceConfig;
  readonly name: string;
  readonly isUp: boolean;
  /** Whoever asked is still there to hear it. */
  readonly isAlive: boolean;
  /** A commit is on its way. */
  submits(conversation: ConversationId): void;
  /** The commit with this id was taken. */
  taken(id: MessageId): void;
  /** Nobody can tell whether it was taken. */
  expired(id: MessageId): void;
}

/** The delivery service as `workers/gateway/encryption` has it, and the way there. */
export class Delivery implements DeliveryService {
  readonly #line: Line;
  readonly #gateway: Gateway;
  readonly #platform: Platform;

  constructor(line: Line, gateway: Gateway, platform: Platform) {
    this.#line = line;
    this.#gateway = gateway;
    this.#platform = platform;
  }

  async keys(): Promise<KeysOnServer> {
    const { device } = this.#line.config;
    const { accountKey, left } = await this.#ask<AskKeysReply>(this.#self, "askKeys", { device });
    return { accountKey: accountKey === undefined ? undefined : fromBase64url(accountKey), left: this.#pretend(left) };
  }

  async uploadKeys({ accountKey, reset: isReset, packages: uploaded }: KeyUpload): Promise<KeysOnServer["left"]> {
    const { timeline } = this.#platform;
    const packages = [];
    for (const { keyPackage, lastResort: isLastResort } of uploaded) {
      const { suite, ref, notAfter } = await this.#gateway.mls.inspect(keyPackage, timeline.now);
      packages.push({ suite, ref, notAfter: Math.floor(notAfter), isLastResort, keyPackage });
    }
    const args = { device: this.#line.config.device, accountKey: toBase64url(accountKey), isReset, packages };
    const reply = await this.#ask<PutKeysReply>(this.#self, "putKeys", args);
    if (!reply.ok) throw new ChatError(reply.code === "not_found" ? "unauthenticated" : reply.code);
    return this.#pretend(reply.left);
  }

  async claim(user: UserId, suite: Suite, except: readonly DeviceId[]): Promise<ClaimedKeyPackages> {
    const args = { requester: this.#line.config.user, suite, except: [...except] };
    const reply = await this.#ask<ClaimKeyPackagesReply>(this.#gateway.user(user), "claimKeyPackages", args);
    if (!reply.ok) throw refusal(reply);
    return { packages: reply.packages, missing: reply.missing };
  }

  async submit(conversation: ConversationId, commit: SubmittedCommit): Promise<CommitAnswer> {
    const { user, device } = this.#line.config;
    const read = this.#gateway.mls.read(commit, conversation, { user, device });
    this.#line.submits(conversation);
    const tree = await this.#treeAfter(conversation, read);
    const args = () => this.#submission(conversation, commit, read.change, tree);
    const reply = await this.#ask<SubmitCommitReply>(
      this.#gateway.conversation(conversation),
      "submitCommit",
      args(),
      args,
    );
    if (reply.ok) {
      this.#line.taken(commit.id);
      return { accepted: true, seq: reply.seq };
    }
    if (reply.code === "id_expired") this.#line.expired(commit.id);
    if (reply.code !== "epoch_stale") throw refusal(reply);
    this.#platform.faults.struck("commit-overtaken");
    const missed = reply.entries.map((entry) => ({ ...entry, conversation }));
    return { accepted: false, epoch: reply.epoch, missed, through: reply.through };
  }

  async group(conversation: ConversationId): Promise<GroupOnServer | undefined> {
    const { user } = this.#line.config;
    const reply = await this.#ask<ReadGroupReply>(this.#gateway.conversation(conversation), "readGroup", { user });
    if (!reply.ok) return undefined;
    const [groupInfo, tree] = [this.#load(reply.groupInfo), this.#load(reply.tree)];
    const { epoch, seq, orphans } = reply;
    return groupInfo && tree && { epoch, seq, orphans, groupInfo, tree };
  }

  /** Undefined: the conversation is in another epoch. */
  async #treeAfter(conversation: ConversationId, { change, treeAfter }: ReadCommit): Promise<Uint8Array | undefined> {
    const now = this.#platform.timeline.now;
    if (change.epoch === 0 && change.leaf !== null) return treeAfter(undefined, now);
    const standing = await this.group(conversation);
    return standing?.epoch === change.epoch ? treeAfter(standing, now) : undefined;
  }

  async epoch(conversation: ConversationId, seq: number): Promise<EpochOnServer> {
    const { user } = this.#line.config;
    const reply = await this.#ask<ReadEpochReply>(this.#gateway.conversation(conversation), "readEpoch", { user, seq });
    if (!reply.ok) return {};
    const parts = ([reply.commit, reply.welcome, reply.tree] as const).map((stored) => stored && this.#load(stored));
    // One that has just gone is as if nothing of it was there.
    const [commit, welcome, tree] = parts;
    return { ...(commit && { commit }), ...(welcome && { welcome }), ...(tree && { tree }) };
  }

  async devices(): Promise<DeviceId[]> {
    const listed = await this.#ask<DeviceListed[]>(this.#self, "listDevices", undefined);
    return listed.map(({ device }) => device);
  }

  get #self(): Callee {
    return this.#gateway.user(this.#line.config.user);
  }

  /** A device believes that it has as many as it should when it has as many as are kept here. */
  #pretend(left: readonly KeysLeft[]): KeysOnServer["left"] {
    const more = KEY_PACKAGES_KEPT - this.#gateway.keyPackagesKept;
    return left.map((kept) => ({ ...kept, oneTime: kept.oneTime + more }));
  }

  #submission(
    conversation: ConversationId,
    commit: SubmittedCommit,
    change: ReadCommit["change"],
    tree: Uint8Array | undefined,
  ): SubmitCommit {
    const { user, device } = this.#line.config;
    const { id, after, welcome, groupInfo } = commit;
    const requestId = `submit${this.#platform.random.between(0, 0xffff_ffff)}`;
    const store = (part: string, bytes: Uint8Array) => this.#store(`${conversation}/mls/${requestId}/${part}`, bytes);
    const isLarge = commit.commit.byteLength > this.#gateway.maxInlineBytes;
    const submitted = {
      ...{ user, device, id, after, requestId, ...change },
      body: isLarge ? encodeReference(commit.commit.byteLength, sha256(commit.commit)) : commit.commit,
      ...(tree && isLarge && { commit: store("commit", commit.commit) }),
      ...(tree && { groupInfo: store("group-info", groupInfo), tree: store("tree", tree) }),
      ...(tree && welcome && { welcome: store("welcome", welcome) }),
    };
    this.#gateway.submitted(submitted);
    return submitted;
  }

  #store(name: string, bytes: Uint8Array): Stored {
    if (bytes.byteLength <= this.#gateway.maxInlineBytes) return new Uint8Array(bytes);
    this.#gateway.files.put(`conversation/${name}`, bytes);
    return `conversation/${name}`;
  }

  #load(stored: Stored): Uint8Array | undefined {
    return typeof stored === "string" ? this.#gateway.files.get(stored) : stored;
  }

  /** @param again what a request says that comes a second time */
  #ask<T>(to: Callee, method: string, args: unknown, again: () => unknown = () => args): Promise<T> {
    const { timeline, faults, random } = this.#platform;
    const line = this.#line;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const settle = (end: () => void) => {
      if (!line.isAlive) return;
      timeline.stir();
      end();
    };
    const fail = (error: ChatError) => {
      timeline.after(random.between(1, 100), `${line.name} ${method} ${error.code}`, () => settle(() => reject(error)));
    };
    if (!line.isUp) fail(new ChatError("unavailable"));
    else if (faults.strikes("request-refused"))
      fail(new ChatError("rate_limited", { retry: random.between(1, 3_000) }));
    else {
      const ended = (result: { ok: boolean; value?: unknown }) =>
        settle(() => (result.ok ? resolve(result.value as T) : reject(new ChatError("unavailable"))));
      this.#gateway.calls.call(line.name, to, method, args, ended, again);
    }
    return promise;
  }
}

function refusal({ code, retry }: { code: ErrorCode; retry: Retry }): ChatError {
  return new ChatError(code, { retry });
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
