import type { ConversationId } from "../../shared/ids.ts";
import { MAX_INVITATIONS } from "../../shared/limits.ts";
import { readFraming } from "../../shared/mls/framing.ts";
import { type Framed, splitBodies } from "../../shared/protocol/codec.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import { isSameKey } from "../identity/ed25519.ts";
import type { Mls } from "../mls/mls.ts";
import type { Store } from "../store/store.ts";
import type { ConversationKeys } from "./conversation-keys.ts";
import type { DeliveryService } from "./delivery-service.ts";
import { takeKeyPackage } from "./key-packages.ts";

/** What a Welcome needs: the message itself, the tree of that epoch, and which key package it was made for. */
export interface Invitation {
  readonly welcome: Uint8Array;
  readonly tree: Uint8Array;
  readonly ref: string;
}

interface Place {
  readonly conversation: ConversationId;
  readonly seq: number;
}
interface Entry extends Place {
  readonly body: Uint8Array;
}

interface IntakeParts {
  readonly service: DeliveryService;
  readonly store: Store;
  readonly mls: Mls;
  keys(conversation: ConversationId): Promise<ConversationKeys>;
}

/**
 * Fetches what does not stand in the log before a frame is processed: commits that are too large for it, and the Welcomes of
 * commits that add this device. What was fetched waits here for its place in the log.
 */
export class Intake {
  readonly #parts: IntakeParts;
  readonly #commits = new Map<string, Uint8Array>();
  readonly #invitations = new Map<string, Invitation>();

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /** Nothing has to be fetched for the commonest frames: they can go on at once. */
  isReady({ frame, body }: Framed<DownFrame>): boolean {
    return entriesOf(frame, body).every((entry) => readFraming(entry.body)?.kind === "message");
  }

  /** @throws ChatError what is needed could not be had now: the frame must come again */
  async prepare({ frame, body }: Framed<DownFrame>): Promise<void> {
    for (const entry of entriesOf(frame, body)) await this.#fetchFor(entry);
  }

  commitOf(place: Place): Uint8Array | undefined {
    return take(this.#commits, place);
  }

  invitationOf(place: Place): Invitation | undefined {
    return take(this.#invitations, place);
  }

  async #fetchFor(entry: Entry): Promise<void> {
    const framing = readFraming(entry.body);
    if (framing?.kind === "public") return this.#invite(entry, entry.body);
    if (framing?.kind !== "reference") return;
    const commit = this.#commits.get(keyOf(entry)) ?? (await this.#fetchCommit(entry, framing.sha256));
    if (!commit) return;
    keep(this.#commits, entry, commit);
    await this.#invite(entry, commit);
  }

  async #fetchCommit({ conversation, seq }: Place, hash: Uint8Array): Promise<Uint8Array | undefined> {
    const { commit } = await this.#parts.service.epoch(conversation, seq);
    return commit && isSameKey(await sha256(commit), hash) ? commit : undefined;
  }

  /**
   * Where a key package of this device's is used. It may be a member still: what removed it stands between here and there.
   */
  async #invite(entry: Entry, commit: Uint8Array): Promise<void> {
    const { service, store, mls, keys } = this.#parts;
    const { joinedAt } = await keys(entry.conversation);
    if (entry.seq <= joinedAt) return;
    for (const ref of await mls.keyPackagesAdded(commit).catch(() => [])) {
      if (!(await takeKeyPackage(store, ref))) continue;
      const { welcome, tree } = await service.epoch(entry.conversation, entry.seq);
      if (welcome && tree) keep(this.#invitations, entry, { welcome, tree, ref });
    }
  }
}

function entriesOf(frame: DownFrame, body: Uint8Array): Entry[] {
  if (frame.type === "message") return [{ ...frame, body }];
  if (frame.type !== "entries") return [];
  const lengths = frame.entries.map(({ length }) => length);
  // A frame that makes no sense is refused by whoever processes it.
  if (lengths.reduce((sum, length) => sum + length, 0) !== body.byteLength) return [];
  const bodies = splitBodies(lengths, body);
  return frame.entries.map(({ seq }, at) => ({ conversation: frame.conversation, seq, body: bodies[at] ?? body }));
}

function keyOf({ conversation, seq }: Place): string {
  return `${conversation} ${seq}`;
}

function take<T>(waiting: Map<string, T>, place: Place): T | undefined {
  const found = waiting.get(keyOf(place));
  waiting.delete(keyOf(place));
  return found;
}

/** What is dropped is fetched again when its frame comes again. */
function keep<T>(waiting: Map<string, T>, place: Place, what: T): void {
  waiting.set(keyOf(place), what);
  const [oldest] = waiting.keys();
  if (waiting.size > MAX_INVITATIONS && oldest !== undefined) waiting.delete(oldest);
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));
}
