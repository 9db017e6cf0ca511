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
import type { CallId } from "./effects.ts";
import { type Peers, relationsOf } from "./peers.ts";
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
  readonly #peers: Peers;
  #isRunning = false;
  #isDone = false;
  #waiting: CallId[] = [];

  constructor(person: Person, devices: Devices, sends: Sends, peers: Peers) {
    this.#person = person;
    this.#devices = devices;
    this.#sends = sends;
    this.#peers = peers;
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
    this.#person.request({ to: "records" }, (result) => {
      if (!result.ok) return this.#breakOff();
      this.#count(result.value as Records);
      this.#conversations();
    });
  }

  /** The next alarm goes on with what is left. */
  #breakOff(): void {
    this.#isRunning = false;
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
      ...[...peers].map(
        (peer): Step =>
          (done) =>
            this.#leavePeer(peer, done),
      ),
      ...groups.map(
        (group): Step =>
          (done) =>
            this.#leaveGroup(group, done),
      ),
    ];
    if (steps.length === 0) return this.#finish();
    inLanes(steps, (areAllDone) => (areAllDone ? this.#conversations() : this.#breakOff()));
  }

  /**
   * First they stop writing here, then the conversation goes, then what it may have brought them meanwhile; only then is
   * it forgotten that there was anything. What is just being said to them ends before: it would bring them back.
   */
  #leavePeer(peer: UserId, done: Done): void {
    const person = this.#person;
    const conversation = directConversation(peer, person.id);
    if (this.#sends.abandon(conversation) || this.#peers.isTelling(peer)) {
      return person.later(REMOVAL_SETTLE_MS, () => this.#leavePeer(peer, done));
    }
    const forgotten = (isDone: boolean): void => {
      if (isDone) person.store.removePeer(peer);
      if (isDone) person.store.removeConversation(conversation);
      done(isDone);
    };
    // A conversation with oneself has nobody else.
    if (peer === person.id) return this.#erase(conversation, forgotten);
    this.#forgetAt(peer, (isFirstDone) => {
      if (!isFirstDone) return done(false);
      this.#erase(conversation, (isErased) => (isErased ? this.#forgetAt(peer, forgotten) : done(false)));
    });
  }

  #leaveGroup(group: ConversationId, done: Done): void {
    if (this.#sends.abandon(group)) {
      return this.#person.later(REMOVAL_SETTLE_MS, () => this.#leaveGroup(group, done));
    }
    this.#erase(group, (isErased) => {
      if (isErased) this.#person.store.removeConversation(group);
      done(isErased);
    });
  }

  #forgetAt(peer: UserId, done: Done): void {
    const { requestId = "" } = this.#person.account.removal ?? {};
    const args = { peer: this.#person.id, requestId };
    this.#person.request({ to: "user", id: peer, method: "forgetPeer", args }, ({ ok }) => done(ok));
  }

  #erase(id: ConversationId, done: Done): void {
    const { removal } = this.#person.account;
    const { requestId = "", devices = [] } = removal ?? {};
    const args = { user: this.#person.id, devices: [...devices], requestId };
    this.#person.request({ to: "conversation", id, method: "eraseMember", args }, (result) => {
      if (result.ok && removal && (result.value as EraseMemberReply).found) removal.conversations++;
      done(result.ok);
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

type Done = (isDone: boolean) => void;
type Step = (done: Done) => void;

/** Some steps at a time, each once; one that fails does not keep the others from their turn. */
function inLanes(steps: readonly Step[], then: (areAllDone: boolean) => void): void {
  const waiting = [...steps];
  let left = steps.length;
  let areAllDone = true;
  const next = (): void =>
    waiting.shift()?.((isDone) => {
      left--;
      areAllDone &&= isDone;
      if (left === 0) then(areAllDone);
      else next();
    });
  for (let lane = 0; lane < MAX_PARALLEL_REMOVALS; lane++) next();
}
