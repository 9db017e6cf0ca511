import type { ConversationId } from "../../shared/ids.ts";
import { MAX_AWAITED_MESSAGES } from "../../shared/limits.ts";
import { ChatError, type ChatErrorCode } from "../chat-error.ts";
import { isBetweenDevices, isChange } from "../content/message-state.ts";
import type { StoredMessage } from "../store/store.ts";
import type { Base } from "./base.ts";
import {
  decodeCursor,
  encodeCursor,
  fromTheBeginning,
  nothingTold,
  type Position,
  type Positions,
} from "./event-cursor.ts";
import { toChatError } from "./failure.ts";
import { type Message, readContent, writtenMessage } from "./message.ts";
import { scan } from "./scan.ts";
import type { Timeline } from "./timeline.ts";

/** A message that has come. */
export interface Incoming {
  readonly message: Message;
  /** Where to go on: whoever keeps it gets exactly what comes after this one. */
  readonly cursor: string;
}

export interface EventOptions {
  /** The cursor of the last one that was dealt with; without it everything that this device has comes first. */
  readonly after?: string | undefined;
}

/**
 * What others have written, each message once: for programs that deal with messages and go on where they have left off. The
 * order is that of each conversation; one that could not be opened at first comes when it can. What was edited or deleted
 * meanwhile comes as it is now; the edit follows as an event of its own.
 */
export class Events {
  readonly #base: Base;
  readonly #timeline: Timeline;
  readonly #streams = new Set<Stream>();

  constructor(base: Base, timeline: Timeline) {
    this.#base = base;
    this.#timeline = timeline;
  }

  /** Ends with the chat. @throws ChatError malformed, if it is no cursor; while it runs, what has ended the connection for good */
  from({ after }: EventOptions): AsyncIterable<Incoming> {
    const { account } = this.#base;
    const positions = after === undefined ? nothingTold : decodeCursor(after, account.user);
    return { [Symbol.asyncIterator]: () => this.#begin(positions) };
  }

  end(): void {
    for (const stream of this.#streams) stream.end();
  }

  async *#begin(positions: Positions): AsyncGenerator<Incoming, void, void> {
    const stream = new Stream(this.#base, this.#timeline, positions);
    this.#streams.add(stream);
    try {
      yield* stream.run();
    } catch (error) {
      throw toChatError(error);
    } finally {
      stream.end();
      this.#streams.delete(stream);
    }
  }
}

class Stream {
  readonly #base: Base;
  readonly #timeline: Timeline;
  readonly #unlisten: (() => void)[];
  /** Conversations in which something may have come. */
  readonly #due = new Set<ConversationId>();
  #positions: Positions;
  #wake = () => {};
  #isOver = false;
  #closedBy: ChatErrorCode | undefined;

  constructor(base: Base, timeline: Timeline, positions: Positions) {
    this.#base = base;
    this.#timeline = timeline;
    this.#positions = positions;
    const { listeners, state } = base;
    this.#unlisten = [
      listeners.add("message", ({ conversation }) => this.#come(conversation)),
      listeners.add("replaced", ({ conversation }) => this.#come(conversation)),
      listeners.add("state", ({ state: phase, code = "closed" }) => phase === "closed" && this.#close(code)),
    ];
    for (const [conversation] of state.conversations) this.#due.add(conversation);
  }

  async *run(): AsyncGenerator<Incoming, void, void> {
    while (!this.#isOver) {
      const [conversation] = this.#due;
      if (conversation !== undefined) {
        this.#due.delete(conversation);
        yield* this.#tell(conversation);
      } else if (this.#closedBy) throw new ChatError(this.#closedBy);
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  end(): void {
    this.#isOver = true;
    for (const unlisten of this.#unlisten) unlisten();
    this.#wake();
  }

  async *#tell(conversation: ConversationId): AsyncGenerator<Incoming, void, void> {
    const { store, state } = this.#base;
    const have = state.conversations.get(conversation)?.have ?? 0;
    const { seq, awaited } = this.#position(conversation);
    for (const place of awaited) {
      const [row] = await store.scan(conversation, place - 1, 1);
      if (row?.seq === place && !isUnreadable(row)) yield* this.#pass(row, place);
    }
    for await (const row of scan(store, conversation, seq)) {
      // What stands beyond is here already, but not all that comes before it.
      if (this.#isOver || row.seq > have) return;
      yield* this.#pass(row, row.seq);
    }
  }

  async *#pass(row: StoredMessage, seq: number): AsyncGenerator<Incoming, void, void> {
    const message = await this.#messageOf(row);
    const { conversation } = row;
    const positions = this.#positions.set(conversation, passed(this.#position(conversation), seq, isUnreadable(row)));
    this.#positions = positions;
    if (!message || this.#isOver) return;
    const { user } = this.#base.account;
    yield {
      message,
      get cursor() {
        return encodeCursor(positions, user);
      },
    };
  }

  /** Undefined for what is not told: one's own, what devices say to each other, what is gone. */
  async #messageOf(row: StoredMessage): Promise<Message | undefined> {
    const { user } = this.#base.account;
    const content = readContent(row.content);
    if (row.user === user || content.kind === "unreadable" || isBetweenDevices(content)) return undefined;
    if (isChange(content)) return writtenMessage(row, user);
    return (await this.#timeline.show(row.conversation, [row]))[0];
  }

  #position(conversation: ConversationId): Position {
    return this.#positions.get(conversation) ?? fromTheBeginning;
  }

  #come(conversation: ConversationId): void {
    this.#due.add(conversation);
    this.#wake();
  }

  #close(code: ChatErrorCode): void {
    this.#closedBy = code;
    this.#wake();
  }
}

function passed({ seq, awaited }: Position, place: number, isAwaited: boolean): Position {
  const others = awaited.filter((other) => other !== place);
  return {
    seq: Math.max(seq, place),
    awaited: isAwaited ? [...others, place].slice(-MAX_AWAITED_MESSAGES) : others,
  };
}

/** It may be said again. What is from before this device joined is not. */
function isUnreadable({ content: bytes }: StoredMessage): boolean {
  const content = readContent(bytes);
  return content.kind === "unreadable" && content.reason !== "before_joining";
}
