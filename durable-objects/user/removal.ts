import { type ConversationId, directConversation, type UserId } from "../../shared/ids.ts";
import {
  IDLE_REMOVAL_MS,
  IDLE_WARNING_MS,
  MAX_PARALLEL_REMOVALS,
  REMOVAL_ANSWER_MS,
  REMOVAL_RETRY_MS,
  REMOVAL_SETTLE_MS,
} from "../../shared/limits.ts";
import type { EraseMemberReply, RemovePerson, RemovePersonReply } from "../../shared/rpc.ts";
import type { Devices } from "./devices.ts";
import type { CallId, Request, Result } from "./effects.ts";
import { relationsOf } from "./peers.ts";
import type { Person } from "./person.ts";
import type { Sends } from "./sends.ts";

/** What the database and the file store held. */
interface Records {
  readonly databaseRows: number;
  readonly files: number;
}

/**
 * Removes a person everywhere, for good (docs/protocol.md R14): their devices at once, then their records, their
 * conversations and what others keep of them, and at last this object itself. It goes on by alarm until all is done; each
 * step may be repeated.
 */
export class Removal {
  readonly #person: Person;
  readonly #devices: Devices;
  readonly #sends: Sends;
  #isRunning = false;
  #isDone = false;
  #waiting: CallId[] = [];

  constructor(person: Person, devices: Devices, sends: Sends) {
    this.#person = person;
    this.#devices = devices;
    this.#sends = sends;
  }

  /** Asked for by the person, or by the time that nobody was seen. */
  begin({ requestId }: RemovePerson, call?: CallId): void {
    const { account, store, devices } = this.#person;
    if (call !== undefined) this.#waiting.push(call);
    if (!account.removal) {
      const ids = [...devices.keys()];
      account.removal = { requestId, devices: ids, conversations: 0, databaseRows: 0, files: 0 };
      if (!store.exists) store.initialise();
      this.#devices.removeAllBut();
      store.saveAccount(account);
    }
    this.#run();
    if (call !== undefined) this.#person.later(REMOVAL_ANSWER_MS, () => this.#answer());
  }

  /** What an alarm finds to do; otherwise it sees to accounts where nobody was seen for very long. */
  look(): void {
    this.#person.disconnectSilent();
    if (this.#person.account.removal) this.#run();
    else if (this.#person.store.exists) this.#lookForIdle();
  }

  #lookForIdle(): void {
    const person = this.#person;
    const { account, store } = person;
    const isIdle = person.now - person.lastSeenAt() >= IDLE_WARNING_MS;
    if (isIdle && account.warnedAt === undefined) {
      this.#setWarned(person.now);
      this.#devices.alert("account_idle");
    } else if (!isIdle && account.warnedAt !== undefined) this.#setWarned(undefined);
    const removeAt = account.warnedAt === undefined ? undefined : account.warnedAt + IDLE_REMOVAL_MS - IDLE_WARNING_MS;
    if (removeAt !== undefined && person.now >= removeAt) return this.begin({ requestId: "idle" });
    store.armBy(removeAt ?? person.lastSeenAt() + IDLE_WARNING_MS);
  }

  #setWarned(at: number | undefined): void {
    this.#person.account.warnedAt = at;
    this.#person.store.saveAccount(this.#person.account);
  }

  /** The alarm stands until all is done, however long that takes. */
  #run(): void {
    if (this.#isDone) return;
    this.#person.store.armBy(this.#person.now + REMOVAL_RETRY_MS);
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#ask({ to: "records" }, (value) => {
      this.#count(value as Records);
      this.#conversations();
    });
  }

  /** Kept, for whoever repeats this after a crash finds none of it any more. */
  #count({ databaseRows, files }: Records): void {
    const { account, store } = this.#person;
    if (!account.removal || databaseRows + files === 0) return;
    account.removal.databaseRows += databaseRows;
    account.removal.files += files;
    store.saveAccount(account);
  }

  /** As long as there are any: one may have come about while others were being left. */
  #conversations(): void {
    const { peers, groups } = relationsOf(this.#person);
    const steps = [
      ...[...peers].map((peer) => (then: () => void) => this.#leavePeer(peer, then)),
      ...groups.map((group) => (then: () => void) => this.#leave(group, then)),
    ];
    if (steps.length === 0) return this.#finish();
    this.#inTurn(steps, () => this.#conversations());
  }

  /** Some steps at a time; one that fails leaves all the rest to the next alarm. */
  #inTurn(steps: ((then: () => void) => void)[], then: () => void): void {
    let left = steps.length;
    const next = (): void => steps.shift()?.(done);
    const done = (): void => {
      left--;
      if (left === 0) then();
      else next();
    };
    for (let lane = 0; lane < MAX_PARALLEL_REMOVALS; lane++) next();
  }

  /**
   * First they stop writing here, then the conversation goes, then what it may have brought them meanwhile. A
   * conversation with oneself has nobody else.
   */
  #leavePeer(peer: UserId, then: () => void): void {
    const person = this.#person;
    const conversation = directConversation(peer, person.id);
    if (peer === person.id) return this.#leave(conversation, then);
    const { requestId = "" } = person.account.removal ?? {};
    const forget = { to: "user", id: peer, method: "forgetPeer", args: { peer: person.id, requestId } } as const;
    this.#ask(forget, () =>
      this.#leave(conversation, () =>
        this.#ask(forget, () => {
          person.store.removePeer(peer);
          then();
        }),
      ),
    );
  }

  /** What is just being sent there ends first: it would bring the conversation back. */
  #leave(conversation: ConversationId, then: () => void): void {
    const person = this.#person;
    if (this.#sends.abandon(conversation))
      return person.later(REMOVAL_SETTLE_MS, () => this.#leave(conversation, then));
    const { requestId = "", devices = [] } = person.account.removal ?? {};
    const args = { user: person.id, devices: [...devices], requestId };
    this.#ask({ to: "conversation", id: conversation, method: "eraseMember", args }, (value) => {
      if (person.account.removal && (value as EraseMemberReply).found) person.account.removal.conversations++;
      person.store.removeConversation(conversation);
      then();
    });
  }

  #ask(request: Request, then: (value: unknown) => void): void {
    this.#person.request(request, (result: Result) => {
      if (result.ok) then(result.value);
      else this.#isRunning = false;
    });
  }

  /** The last thing that this object does; whoever calls it afterwards finds nobody. */
  #finish(): void {
    this.#isDone = true;
    this.#person.emit({ do: "wipe" });
    this.#answer();
  }

  #answer(): void {
    const { devices = [], conversations = 0, databaseRows = 0, files = 0 } = this.#person.account.removal ?? {};
    const reply: RemovePersonReply = {
      ...{ isComplete: this.#isDone, devices: devices.length },
      ...{ conversations, databaseRows, files },
    };
    for (const call of this.#waiting.splice(0)) this.#person.reply(call, reply);
  }
}
