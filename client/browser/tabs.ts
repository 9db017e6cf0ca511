import { ChatError } from "../chat-error.ts";
import { Listeners } from "../listeners.ts";
import { passError, receiveError } from "./passed-error.ts";
import { type Answer, Reign, type Request, type Served } from "./reign.ts";

export interface TabOptions {
  /** The same in all tabs that are one device. */
  readonly name: string;
  /** Called when this tab has become the leader. What it tells once it leads reaches every tab, this one included. */
  lead(tell: (event: unknown) => void): Promise<Served>;
}

export interface TabEvents {
  /** What the leader tells. */
  readonly told: unknown;
  /** There is a leader, or another one than before. What was told in between is missing: what is shown is to be read anew. */
  readonly leader: { readonly isSelf: boolean };
}

/** `leader` names a reign. */
type Note =
  | { readonly type: "asking" }
  | { readonly type: "leading"; readonly leader: string }
  | ({ readonly type: "request"; readonly leader: string } & Request)
  | Answer
  | { readonly type: "event"; readonly event: unknown };

interface Unanswered extends Request {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * Makes the tabs of one browser one device: one of them leads, which means it alone has the socket and writes; the others
 * ask it. When it ends, however it does, the next one leads. Who leads holds a Web Lock, which the browser takes back from a
 * tab that is closed or has crashed.
 */
export function leadOrFollow(options: TabOptions): Tab {
  return new Tab(options);
}

/**
 * A request goes to the leader that is known, once. Of a new leader it is asked again, with everything else that has not
 * been answered: so no leader gets a request twice, and none is lost with a leader.
 */
export class Tab {
  readonly #options: TabOptions;
  readonly #channel: BroadcastChannel;
  readonly #listeners = new Listeners<TabEvents>();
  readonly #unanswered = new Map<string, Unanswered>();
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  #leader: string | undefined;
  #reign: Reign | undefined;
  /** Why nothing can be asked any more. */
  #reason: Error | undefined;

  constructor(options: TabOptions) {
    this.#options = options;
    this.#channel = new BroadcastChannel(options.name);
    this.#channel.addEventListener("message", ({ data }: MessageEvent<Note>) => this.#hear(data));
    this.#ended = this.#takePart();
    this.#post({ type: "asking" });
  }

  get isLeader(): boolean {
    return this.#reign !== undefined;
  }

  /**
   * Waits for a leader as long as there is none.
   * @throws what the leader's call throws; DOMException DataCloneError for what cannot be cloned; ChatError closed if the tab
   * is closed before the answer; what `lead` has thrown in this tab
   */
  call(method: string, args: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#reason) throw this.#reason;
      const request = { id: crypto.randomUUID(), method, args: structuredClone(args), resolve, reject };
      this.#unanswered.set(request.id, request);
      this.#ask(request);
    });
  }

  /** @returns a function that ends the subscription */
  on<T extends keyof TabEvents>(type: T, listener: (event: TabEvents[T]) => void): () => void {
    return this.#listeners.add(type, listener);
  }

  /** Leads no more, once what is under way has been answered, and follows no more. */
  async close(): Promise<void> {
    this.#reason ??= new ChatError("closed");
    this.#closing.abort();
    await this.#ended;
  }

  async #takePart(): Promise<void> {
    try {
      await navigator.locks.request(this.#options.name, { signal: this.#closing.signal }, () => this.#lead());
    } catch (error) {
      this.#reason ??= receiveError(passError(error));
    }
    this.#channel.close();
    for (const { reject } of this.#unanswered.values()) reject(this.#reason ?? new ChatError("closed"));
    this.#unanswered.clear();
  }

  /** For as long as it takes: the lock is held until this is fulfilled. */
  async #lead(): Promise<void> {
    const id = crypto.randomUUID();
    const reign = new Reign(id, await this.#options.lead((event) => this.#tell(id, event)));
    if (!this.#closing.signal.aborted) {
      this.#reign = reign;
      this.#post({ type: "leading", leader: id });
      this.#follow(id);
      await aborted(this.#closing.signal);
    }
    await reign.end();
    this.#reign = undefined;
  }

  #hear(note: Note): void {
    if (note.type === "answer" || note.type === "refusal") this.#settle(note);
    else if (note.type === "event") this.#listeners.tell("told", note.event);
    else if (note.type !== "leading") this.#reign && this.#serve(this.#reign, note);
    else if (!this.#reign) this.#follow(note.leader);
  }

  /** Whoever does not know who leads, or takes another one for the leader, is told. */
  #serve(reign: Reign, note: Extract<Note, { type: "asking" | "request" }>): void {
    if (note.type === "request" && note.leader === reign.id) reign.serve(note, (answer) => this.#post(answer));
    else this.#post({ type: "leading", leader: reign.id });
  }

  #follow(leader: string): void {
    if (leader === this.#leader) return;
    this.#leader = leader;
    for (const request of this.#unanswered.values()) this.#ask(request);
    this.#listeners.tell("leader", { isSelf: this.isLeader });
  }

  #ask({ id, method, args }: Request): void {
    if (this.#reign) this.#reign.serve({ id, method, args }, (answer) => this.#settle(answer));
    else if (this.#leader !== undefined) this.#post({ type: "request", leader: this.#leader, id, method, args });
  }

  #settle(answer: Answer): void {
    const request = this.#unanswered.get(answer.id);
    this.#unanswered.delete(answer.id);
    if (answer.type === "answer") request?.resolve(answer.value);
    else request?.reject(receiveError(answer.error));
  }

  /** Of one who leads not yet, or no more, nobody needs to hear: whoever follows begins with what is stored. */
  #tell(leader: string, event: unknown): void {
    if (leader !== this.#leader || this.#reason) return;
    this.#post({ type: "event", event });
    this.#listeners.tell("told", event);
  }

  #post(note: Note): void {
    this.#channel.postMessage(note);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
