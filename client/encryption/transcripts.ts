import type { ConversationId, MessageId } from "../../shared/ids.ts";
import { TRANSCRIPT_BLOCK_PLACES } from "../../shared/limits.ts";
import {
  appendEntry,
  blockStart,
  type Claim,
  checkClaim,
  claimOf,
  type LogEntry,
  type Transcript,
} from "../envelope/transcript.ts";
import type { Change, ReceivedMessage } from "../session/contract.ts";
import type { Owner, Store } from "../store/store.ts";
import type { Presence } from "./presence.ts";
import type { Write } from "./write.ts";

/**
 * Keeps the digest of each conversation's log as this device sees it, own messages at their places. What is lost with memory
 * is a hole in it, and it begins again with the next block.
 */
export class Transcripts {
  readonly #owner: Owner;
  readonly #store: Pick<Store, "scan">;
  readonly #presence: Presence;
  readonly #session: { readonly isCaughtUp: boolean };
  /** What was sealed and has no place yet. */
  readonly #bodies = new Map<MessageId, Uint8Array>();
  /** Own messages whose place lies beyond something that is still to come. */
  readonly #ahead = new Map<ConversationId, Map<number, LogEntry>>();

  constructor(owner: Owner, store: Pick<Store, "scan">, presence: Presence, session: { readonly isCaughtUp: boolean }) {
    this.#owner = owner;
    this.#store = store;
    this.#presence = presence;
    this.#session = session;
  }

  /** Sealed once more, it is the last that counts. */
  sealed(id: MessageId, body: Uint8Array): void {
    this.#bodies.set(id, body);
  }

  async sent(write: Write, { conversation, id, seq }: Extract<Change, { type: "sent" }>): Promise<void> {
    const body = this.#bodies.get(id);
    this.#bodies.delete(id);
    if (body) await this.placed(write, { conversation, id, seq, body });
  }

  async placed(write: Write, own: Omit<Extract<Change, { type: "placed" }>, "type">): Promise<void> {
    const { conversation, id, seq, body } = own;
    const { transcript } = await write.keys(conversation);
    if (seq <= transcript.place) return;
    const ahead = this.#ahead.get(conversation) ?? new Map<number, LogEntry>();
    this.#ahead.set(conversation, ahead.set(seq, { seq, id, ...this.#owner, body }));
    await this.#takeOwn(write, conversation, transcript, (next, place) => next === place + 1);
  }

  /** Own messages that stand before this one come first, and what its sender had seen stands before it. */
  async approach(write: Write, { conversation, seq }: ReceivedMessage): Promise<void> {
    if (this.#session.isCaughtUp) write.changes.push(...this.#presence.note(Date.now()));
    const { transcript: before } = await write.keys(conversation);
    await this.#takeOwn(write, conversation, before, (next) => next < seq);
    const { transcript, joinedAt, status } = await write.keys(conversation);
    // What came while it was no member was not for it; and one that has lost its place may be none.
    if (status !== "member") return;
    const hole = await this.#holeBefore(conversation, Math.max(transcript.place, joinedAt), seq);
    if (hole === undefined) return;
    // Of what came while this device was there nothing has expired.
    const mayHaveExpired = !this.#session.isCaughtUp && this.#presence.wasAwayForRetention(Date.now());
    await write.update(conversation, { hole, isHoleExpired: mayHaveExpired });
  }

  /** To be asked before the message itself is received. @param claim what its sender had seen when it was sealed */
  async compare(write: Write, { conversation, seq }: ReceivedMessage, claim: Claim | undefined): Promise<void> {
    const { transcript, hole, isHoleExpired } = await write.keys(conversation);
    const verdict = checkClaim(transcript, claim, seq);
    // Whoever claims a place has had everything of its block up to there.
    const isWithheld = claim !== undefined && hole > blockStart(claim.seq) && hole <= claim.seq;
    if (verdict !== "differs" && !(verdict === "unknown" && isWithheld)) return;
    const lost = isHoleExpired ? "expired" : "missing";
    write.noticed.push({ type: "history_differs", conversation, seq, how: verdict === "differs" ? "altered" : lost });
  }

  async received(write: Write, message: ReceivedMessage): Promise<void> {
    const { conversation, seq } = message;
    const { transcript } = await write.keys(conversation);
    if (seq <= transcript.place) return;
    const extended = await appendEntry(transcript, message);
    await write.update(conversation, { transcript: extended });
    await this.#takeOwn(write, conversation, extended, (next, place) => next === place + 1);
  }

  /** The last place between these two of which nothing is here; own messages are, wherever they were sent from. */
  async #holeBefore(conversation: ConversationId, after: number, seq: number): Promise<number | undefined> {
    if (after === 0 || seq <= after + 1) return undefined;
    const from = Math.max(after, seq - 1 - TRANSCRIPT_BLOCK_PLACES);
    const stored = await this.#store.scan(conversation, from, TRANSCRIPT_BLOCK_PLACES);
    const here = new Set(stored.map((entry) => entry.seq));
    for (let place = seq - 1; place > from; place--) if (!here.has(place)) return place;
    return undefined;
  }

  claim(transcript: Transcript): Claim | undefined {
    return claimOf(transcript);
  }

  /** Appends own messages that wait, in order, as long as it is their turn. */
  async #takeOwn(
    write: Write,
    conversation: ConversationId,
    from: Transcript,
    isNext: (seq: number, place: number) => boolean,
  ): Promise<void> {
    const ahead = this.#ahead.get(conversation);
    if (!ahead) return;
    let transcript = from;
    for (const [seq, entry] of [...ahead].sort(([a], [b]) => a - b)) {
      if (!isNext(seq, transcript.place)) break;
      transcript = await appendEntry(transcript, entry);
      ahead.delete(seq);
    }
    if (ahead.size === 0) this.#ahead.delete(conversation);
    if (transcript !== from) await write.update(conversation, { transcript });
  }
}
