import { decodeMlsMessage, type MLSMessage } from "ts-mls";
import { decodeRatchetTree } from "ts-mls/ratchetTree.js";
import { Contacts } from "../../client/account/contacts.ts";
import { ChatError } from "../../client/chat-error.ts";
import type { Credentials } from "../../client/credentials.ts";
import type {
  ClaimedKeyPackages,
  CommitAnswer,
  DeliveryService,
  EpochOnServer,
  KeysOnServer,
  KeyUpload,
  SubmittedCommit,
} from "../../client/encryption/delivery-service.ts";
import type { ReceivedMessage } from "../../client/session/contract.ts";
import type { Connection, Transport, TransportListener } from "../../client/transport.ts";
import { decodeCertificate } from "../../shared/certificate.ts";
import { Refusal } from "../../shared/errors.ts";
import { directMembers } from "../../shared/ids.ts";
import { MAX_PAGE_ENTRIES } from "../../shared/limits.ts";
import { readEpoch, readFraming } from "../../shared/mls/framing.ts";
import { joinBodies, splitBodies } from "../../shared/protocol/codec.ts";
import type { Alert, DownFrame } from "../../shared/protocol/down.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";
import { type Entrance, treeAfter } from "../../workers/gateway/encryption/group-after.ts";
import { readCommit } from "../../workers/gateway/encryption/read-commit.ts";
import { FakeArchives } from "./archives.ts";
import { type Approve, FakeDevices } from "./devices.ts";
import { treeIn } from "./mls.ts";

type Suite = 1 | 83;

interface Conversation {
  epoch: number | null;
  readonly log: ReceivedMessage[];
  group?: { readonly seq: number; readonly groupInfo: Uint8Array; readonly tree: Uint8Array };
  readonly members: Set<string>;
  readonly epochs: Map<number, EpochOnServer>;
}

interface Device {
  readonly user: string;
  listener: TransportListener | undefined;
  readonly packages: { suite: Suite; keyPackage: Uint8Array; lastResort: boolean }[];
}

/** What a test knows of key packages and commits that the server does not. */
export interface Reader {
  suiteOf(keyPackage: Uint8Array): Suite;
  epochOf(commit: Uint8Array): number;
  /** @param before undefined: the commit begins the group @throws ChatError */
  treeAfter(
    before: Entrance | undefined,
    submitted: SubmittedCommit,
    conversation: string,
    caller: { readonly user: string; readonly device: string },
  ): Promise<Uint8Array>;
  /** Whose each leaf is. */
  leavesOf(tree: Uint8Array): (string | undefined)[];
  /** Whose devices are in it. */
  usersOf(tree: Uint8Array): string[];
}

const usersOf = (leaves: readonly (string | undefined)[]) => leaves.filter((user) => user !== undefined);
const fakeLeaves = (tree: Uint8Array) =>
  (JSON.parse(new TextDecoder().decode(tree)) as ({ credential: string } | null)[]).map(
    (leaf) =>
      leaf?.credential &&
      decodeCertificate(Uint8Array.from(leaf.credential.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))).user,
  );
const mlsLeaves = (tree: Uint8Array) =>
  (decodeRatchetTree(tree, 0)?.[0] ?? [])
    .filter((_, node) => node % 2 === 0)
    .map((node) =>
      node?.nodeType === "leaf" && "identity" in node.leaf.credential
        ? decodeCertificate(node.leaf.credential.identity).user
        : undefined,
    );

/** For `FakeMls`. */
export const fakeReader: Reader = {
  suiteOf: (keyPackage) => JSON.parse(new TextDecoder().decode(keyPackage.subarray(4))).suite,
  epochOf: (commit) => readEpoch(commit) ?? 0,
  treeAfter: async (_, { commit }) => treeIn(commit),
  leavesOf: fakeLeaves,
  usersOf: (tree) => usersOf(fakeLeaves(tree)),
};

/** For the real module. */
export const mlsReader: Reader = {
  suiteOf: (keyPackage) => (read(keyPackage, "mls_key_package").keyPackage.cipherSuite.includes("XWING") ? 83 : 1),
  epochOf: (commit) => Number(read(commit, "mls_public_message").publicMessage.content.epoch),
  treeAfter: async (before, submitted, conversation, caller) => {
    try {
      const read = readCommit(submitted, conversation, caller);
      return await treeAfter(before, read, submitted.groupInfo, conversation, Date.now());
    } catch (error) {
      throw error instanceof Refusal ? new ChatError(error.code) : error;
    }
  },
  leavesOf: mlsLeaves,
  usersOf: (tree) => usersOf(mlsLeaves(tree)),
};

function read<F extends MLSMessage["wireformat"]>(
  bytes: Uint8Array,
  format: F,
): Extract<MLSMessage, { wireformat: F }> {
  const message = decodeMlsMessage(bytes, 0)?.[0];
  if (message?.wireformat !== format) throw new Error(`not a ${format}`);
  return message as Extract<MLSMessage, { wireformat: F }>;
}

/**
 * The server, as clients see it, in a few lines and in memory: a total order a conversation, the epoch that holds, key packages
 * that are given out once. Tests of the client put it in the real one's place, and let it cheat.
 */
export class FakeServer {
  readonly accountKeys = new Map<string, Uint8Array>();
  readonly devices = new Map<string, Device>();
  readonly conversations = new Map<string, Conversation>();
  /** By the codes that new devices show. */
  readonly links = new Map<string, Approve>();
  /** Throws where revoking a device is to fail. */
  onRevoke: (device: string) => void = () => {};
  /** What every frame and answer has to go through. */
  tamper: {
    entry?: (entry: ReceivedMessage, to: string) => ReceivedMessage | undefined;
    claimed?: (user: string, claimed: ClaimedKeyPackages) => ClaimedKeyPackages;
    submit?: (commit: SubmittedCommit) => void;
  } = {};
  readonly #reader: Reader;
  readonly #archives = new Map<string, FakeArchives>();
  readonly #erased = new Set<string>();
  #epochs = 0;
  #alerts = 0;

  constructor(reader: Reader = fakeReader) {
    this.#reader = reader;
  }

  /** A device of somebody's, as its SDK has it. */
  signIn(user: string, device: string): { account: Credentials; transport: Transport } {
    this.devices.set(device, { user, listener: undefined, packages: [] });
    const account = {
      ...{ url: "http://chat.test", user, device },
      ticket: async () => "ticket",
      delivery: this.#deliveryFor(user, device),
      archives: this.archivesOf(user),
      devices: new FakeDevices(this, user, device),
      contacts: new Contacts({ call: () => Promise.reject(new ChatError("unavailable")) }),
    };
    return { account, transport: { open: (_url, _ticket, listener) => this.#open(device, listener) } };
  }

  conversation(id: string): Conversation {
    const known = this.conversations.get(id);
    if (known) return known;
    const conversation = { epoch: null, log: [], members: new Set(directMembers(id)), epochs: new Map() };
    this.conversations.set(id, conversation);
    return conversation;
  }

  /** As when the network goes. */
  disconnect(device: string): void {
    const listener = this.devices.get(device)?.listener;
    this.#set(device, undefined);
    listener?.closed(1006);
  }

  revoke(device: string): void {
    this.disconnect(device);
    this.devices.delete(device);
  }

  /** Somebody's account is removed: their devices stay in the groups' trees. */
  erase(user: string): void {
    this.#erased.add(user);
    this.accountKeys.delete(user);
    for (const [device, owner] of this.devices) if (owner.user === user) this.revoke(device);
    for (const conversation of this.conversations.values()) {
      conversation.members.delete(user);
    }
  }

  archivesOf(user: string): FakeArchives {
    const archives = this.#archives.get(user) ?? new FakeArchives();
    this.#archives.set(user, archives);
    return archives;
  }

  /** To all devices of a person that are connected, but one. */
  alert(user: string, kind: Alert["kind"], except?: string): void {
    this.#alerts++;
    for (const [device, owner] of this.devices) {
      if (owner.user !== user || device === except) continue;
      this.#push(device, { type: "alert", alert: this.#alerts, kind, at: Date.now() });
    }
  }

  #open(device: string, listener: TransportListener): Connection {
    this.#set(device, listener);
    const isOpen = () => this.devices.get(device)?.listener === listener;
    queueMicrotask(() => isOpen() && listener.opened());
    return {
      transmit: (frame, body = new Uint8Array(0)) => {
        // On a network nothing is answered before the caller has gone on.
        queueMicrotask(() => isOpen() && this.#serve(device, frame, body));
      },
      ping: () => queueMicrotask(() => isOpen() && listener.ponged()),
      close: () => isOpen() && this.#set(device, undefined),
    };
  }

  #set(device: string, listener: TransportListener | undefined): void {
    const known = this.devices.get(device);
    if (known) known.listener = listener;
  }

  #serve(device: string, frame: UpFrame, body: Uint8Array): void {
    const { user } = this.devices.get(device) ?? {};
    if (user === undefined) return;
    if (frame.type === "hello") {
      this.#epochs++;
      this.#push(device, { type: "welcome", user, device, epoch: this.#epochs, time: Date.now(), compare: true });
    } else if (frame.type === "send") this.#append(user, device, frame.conversation, frame.id, body);
    else if (frame.type === "sends") {
      const bodies = splitBodies(
        frame.messages.map(({ length }) => length),
        body,
      );
      for (const [at, { id }] of frame.messages.entries()) {
        this.#append(user, device, frame.conversation, id, bodies[at] ?? body);
      }
    } else if (frame.type === "sync") {
      const known = new Map(frame.cursors.map(([id, have]) => [id, have]));
      const ids = frame.scope === "all" ? [...this.conversations.keys()] : [...known.keys()];
      for (const id of ids) this.#page(device, id, known.get(id) ?? 0);
      if (!frame.more) this.#push(device, { type: "drained", request: frame.request });
    }
  }

  #append(user: string, device: string, id: string, message: string, body: Uint8Array): void {
    const conversation = this.conversation(id);
    const refuse = (code: "not_found" | "id_conflict" | "epoch_stale" | "not_sealed", retry: "never" | "now") =>
      this.#push(device, { type: "error", code, retry, conversation: id, id: message });
    const known = conversation.log.find((entry) => entry.id === message && entry.device === device);
    const framing = readFraming(body);
    if (!conversation.members.has(user)) return refuse("not_found", "never");
    if (known && !isSame(known.body, body)) return refuse("id_conflict", "never");
    if (framing?.kind !== "message") return refuse("not_sealed", "never");
    if (!known && framing.epoch !== conversation.epoch) return refuse("epoch_stale", "now");
    const entry = known ?? this.#place(conversation, { conversation: id, id: message, user, device, body });
    const { seq, at } = entry;
    const hasOrphans = this.#orphansOf(conversation).length > 0;
    const messages = [{ id: message, seq, at }];
    this.#push(device, { type: "sent", conversation: id, messages, ...(hasOrphans && { hasOrphans }) });
    if (!known) this.#fanOut(entry, device);
  }

  #orphansOf({ group }: Conversation): number[] {
    const leaves = group ? this.#reader.leavesOf(group.tree) : [];
    return leaves.flatMap((user, leaf) => (user !== undefined && this.#erased.has(user) ? [leaf] : []));
  }

  #place(conversation: Conversation, entry: Omit<ReceivedMessage, "seq" | "at">): ReceivedMessage {
    const placed = { ...entry, seq: conversation.log.length + 1, at: Date.now() };
    conversation.log.push(placed);
    return placed;
  }

  #fanOut(entry: ReceivedMessage, except?: string): void {
    const { members } = this.conversation(entry.conversation);
    for (const [device, { user }] of this.devices) {
      if (!members.has(user) || device === except) continue;
      const shown = this.#shown(entry, device);
      if (!shown) continue;
      const { body, ...meta } = shown;
      this.#push(device, { type: "message", ...meta }, body);
    }
  }

  #shown(entry: ReceivedMessage, to: string): ReceivedMessage | undefined {
    return this.tamper.entry ? this.tamper.entry(entry, to) : entry;
  }

  #page(device: string, id: string, after: number): void {
    const { log, members } = this.conversation(id);
    const { user } = this.devices.get(device) ?? {};
    if (user === undefined || !members.has(user)) return;
    for (let from = after; from < log.length; from += MAX_PAGE_ENTRIES) {
      const page = log.slice(from, from + MAX_PAGE_ENTRIES);
      const shown = page.flatMap((entry) => this.#shown(entry, device) ?? []);
      const entries = shown.map(({ conversation: _, body, ...meta }) => ({ ...meta, length: body.byteLength }));
      const through = from + page.length;
      const frame = { type: "entries", conversation: id, after: from, through, entries } as const;
      this.#push(device, frame, joinBodies(shown.map(({ body }) => body)));
    }
  }

  #push(device: string, frame: DownFrame, body: Uint8Array = new Uint8Array(0)): void {
    const listener = this.devices.get(device)?.listener;
    if (!listener) return;
    queueMicrotask(() => this.devices.get(device)?.listener === listener && listener.received({ frame, body }));
  }

  #deliveryFor(user: string, device: string): DeliveryService {
    return {
      keys: async () => this.#keys(user, device),
      uploadKeys: async (upload) => this.#uploadKeys(user, device, upload),
      claim: async (whose, suite, except) => {
        const claimed = this.#claim(whose, suite, except);
        return this.tamper.claimed ? this.tamper.claimed(whose, claimed) : claimed;
      },
      submit: async (id, commit) =>
        this.#submit(user, device, id, commit, await this.#treeAfter(user, device, id, commit)),
      group: async (id) => {
        const conversation = this.conversation(id);
        const { group, epoch, members } = conversation;
        if (!group || epoch === null || !members.has(user)) return undefined;
        return { epoch, ...group, orphans: this.#orphansOf(conversation) };
      },
      epoch: async (id, seq) => this.conversation(id).epochs.get(seq) ?? {},
      devices: async () => [...this.devices].flatMap(([id, owner]) => (owner.user === user ? [id] : [])),
    };
  }

  #keys(user: string, device: string): KeysOnServer {
    const packages = this.devices.get(device)?.packages ?? [];
    const left = ([1, 83] as const).map((suite) => {
      const own = packages.filter((kept) => kept.suite === suite);
      return {
        suite,
        oneTime: own.filter((kept) => !kept.lastResort).length,
        hasLastResort: own.some((kept) => kept.lastResort),
      };
    });
    return { accountKey: this.accountKeys.get(user), left };
  }

  #uploadKeys(user: string, device: string, { accountKey, reset, packages }: KeyUpload): KeysOnServer["left"] {
    const standing = this.accountKeys.get(user);
    if (standing && !reset && !isSame(standing, accountKey)) throw new ChatError("taken");
    this.accountKeys.set(user, accountKey);
    if (reset) for (const owner of this.devices.values()) if (owner.user === user) owner.packages.length = 0;
    const read = packages.map((upload) => ({ ...upload, suite: this.#reader.suiteOf(upload.keyPackage) }));
    this.devices.get(device)?.packages.push(...read);
    return this.#keys(user, device).left;
  }

  #claim(user: string, suite: Suite, except: readonly string[]): ClaimedKeyPackages {
    if (!this.accountKeys.has(user)) throw new ChatError("not_found");
    const packages: { device: string; keyPackage: Uint8Array }[] = [];
    const missing: string[] = [];
    for (const [device, owner] of this.devices) {
      if (owner.user !== user || except.includes(device)) continue;
      const at = owner.packages.findIndex((kept) => kept.suite === suite && !kept.lastResort);
      const [taken] = at < 0 ? [] : owner.packages.splice(at, 1);
      const given = taken ?? owner.packages.find((kept) => kept.suite === suite);
      if (given) packages.push({ device, keyPackage: given.keyPackage });
      else missing.push(device);
    }
    return { packages, missing };
  }

  /** Undefined: the conversation is in another epoch. */
  async #treeAfter(
    user: string,
    device: string,
    id: string,
    submitted: SubmittedCommit,
  ): Promise<Uint8Array | undefined> {
    const { epoch, group } = this.conversation(id);
    if (this.#reader.epochOf(submitted.commit) !== (epoch ?? 0)) return undefined;
    return this.#reader.treeAfter(group, submitted, id, { user, device });
  }

  #submit(
    user: string,
    device: string,
    id: string,
    submitted: SubmittedCommit,
    tree: Uint8Array | undefined,
  ): CommitAnswer {
    const conversation = this.conversation(id);
    this.tamper.submit?.(submitted);
    if (conversation.members.size > 0 && !conversation.members.has(user)) throw new ChatError("not_found");
    const known = conversation.log.find((entry) => entry.id === submitted.id && entry.device === device);
    if (known) return { accepted: true, seq: known.seq };
    const epoch = this.#reader.epochOf(submitted.commit);
    if (epoch !== (conversation.epoch ?? 0)) {
      const missed = conversation.log.filter(({ seq }) => seq > submitted.after);
      return { accepted: false, epoch: conversation.epoch, missed, through: conversation.log.length };
    }
    if (!tree) throw new ChatError("unavailable");
    conversation.epoch = epoch + 1;
    const entry = this.#place(conversation, {
      conversation: id,
      id: submitted.id,
      user,
      device,
      body: submitted.commit,
    });
    const { groupInfo, welcome } = submitted;
    conversation.group = { seq: entry.seq, groupInfo, tree };
    if (welcome) conversation.epochs.set(entry.seq, { welcome, tree });
    const named = [...this.#reader.usersOf(tree), ...directMembers(id)];
    const users = new Set(named.filter((each) => !this.#erased.has(each)));
    for (const joined of users) conversation.members.add(joined);
    this.#fanOut(entry);
    for (const member of [...conversation.members]) if (!users.has(member)) conversation.members.delete(member);
    return { accepted: true, seq: entry.seq };
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index]);
}
