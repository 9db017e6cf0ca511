import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { leadOrFollow, type Served, type Tab } from "../../../client/browser/index.ts";
import { ChatError } from "../../../client/chat-error.ts";

interface Schema extends DBSchema {
  /** What has been done, by the request that asked for it. */
  log: { key: string; value: { id: string; text: string; number: number }; indexes: { number: number } };
  /** How often something was asked for that had been done already. */
  repeats: { key: "count"; value: number };
}

/** The longest that a call takes after its effect, in which its leader may end. */
const MAX_ANSWER_MS = 20;

/** What stands behind the tabs: a log in which every call leaves its effect once, whoever leads. */
class Log implements Served {
  readonly #db: IDBPDatabase<Schema>;
  readonly #label: string;
  readonly #tell: (event: unknown) => void;
  readonly #stopping = new AbortController();

  private constructor(db: IDBPDatabase<Schema>, label: string, tell: (event: unknown) => void) {
    this.#db = db;
    this.#label = label;
    this.#tell = tell;
  }

  static async open(name: string, label: string, tell: (event: unknown) => void): Promise<Log> {
    tell("leads not yet");
    return new Log(await openLog(name), label, tell);
  }

  async call(method: string, args: unknown, id: string): Promise<unknown> {
    switch (method) {
      case "append":
        return (await this.#append(id, String(args))).number;
      // The first leader to do it does not get around to the answer.
      case "appendAndHang": {
        const { number, isNew } = await this.#append(id, String(args));
        return isNew ? this.#untilStopped() : number;
      }
      case "hang":
        return new Promise(() => {});
      case "who":
        return this.#label;
      case "echo":
        return args;
      case "refuse":
        throw new ChatError("busy", { retry: 1_500, requestId: "r1", details: { triesLeft: 2 } });
      case "fail":
        throw new RangeError("out of range");
      default:
        return () => "not to be cloned";
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#db.close();
  }

  /** The effect and the request's id are one write. */
  async #append(id: string, text: string): Promise<{ number: number; isNew: boolean }> {
    const tx = this.#db.transaction(["log", "repeats"], "readwrite");
    const [log, repeats] = [tx.objectStore("log"), tx.objectStore("repeats")];
    const done = await log.get(id);
    const number = done?.number ?? (await log.count()) + 1;
    if (done) await repeats.put(((await repeats.get("count")) ?? 0) + 1, "count");
    else await log.add({ id, text, number });
    await tx.done;
    if (!done) this.#tell({ text, number });
    await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_ANSWER_MS));
    return { number, isNew: !done };
  }

  #untilStopped(): Promise<never> {
    return new Promise((_, reject) => {
      const stop = () => reject(new ChatError("closed"));
      if (this.#stopping.signal.aborted) stop();
      else this.#stopping.signal.addEventListener("abort", stop);
    });
  }
}

function openLog(name: string): Promise<IDBPDatabase<Schema>> {
  return openDB<Schema>(name, 1, {
    upgrade: (db) => {
      db.createObjectStore("log", { keyPath: "id" }).createIndex("number", "number");
      db.createObjectStore("repeats");
    },
  });
}

let tab: Tab;
const told: unknown[] = [];
const leaders: boolean[] = [];
const answers: Promise<unknown>[] = [];

/** @param label what it says when somebody asks who leads */
export function open(name: string, label: string): void {
  tab = leadOrFollow({ name, lead: (tell) => Log.open(name, label, tell) });
  tab.on("told", (event) => told.push(event));
  tab.on("leader", ({ isSelf }) => leaders.push(isSelf));
}

/** A tab whose `lead` fails. */
export function openBroken(name: string): void {
  tab = leadOrFollow({ name, lead: () => Promise.reject(new ChatError("wrong_account")) });
}

export function close(): Promise<void> {
  return tab.close();
}

export function isLeader(): boolean {
  return tab.isLeader;
}

export function call(method: string, args?: unknown): Promise<unknown> {
  return tab.call(method, args);
}

/** @returns what is known of the error, as if it had a code */
export async function errorOf(method: string): Promise<unknown> {
  const error = await tab.call(method, undefined).then(String, (thrown) => thrown);
  const { name, message, code, retry, requestId, details } = error;
  return { name, message, code, retry, requestId, details, isChatError: error instanceof ChatError };
}

/** Whether bytes, dates, maps and what is undefined pass as they are. */
export async function echoes(): Promise<boolean> {
  const sent = { bytes: Uint8Array.of(1, 2), at: new Date(5), map: new Map([["a", undefined]]) };
  const { bytes, at, map } = (await tab.call("echo", sent)) as typeof sent;
  return bytes instanceof Uint8Array && bytes[1] === 2 && at.getTime() === 5 && map.has("a");
}

/** Asks for so many entries, one every `everyMs`, and does not wait for the answers. */
export function appendMany(label: string, count: number, everyMs: number): void {
  for (let index = 0; index < count; index++) {
    const asked = new Promise((resolve) => setTimeout(resolve, index * everyMs));
    answers.push(asked.then(() => tab.call("append", `${label} ${index}`)));
  }
}

/** @returns why it cannot be asked */
export function askWithFunction(): Promise<string> {
  return tab.call("echo", () => {}).then(String, (error) => error.name);
}

/** A call of which nobody waits for the answer yet. */
export function begin(method: string, args?: unknown): void {
  answers.push(tab.call(method, args));
}

/** Of everything that was begun. */
export function answersOf(): Promise<unknown[]> {
  return Promise.all(answers);
}

export function heard(): { told: unknown[]; leaders: boolean[] } {
  return { told, leaders };
}

/** Asks as a tab does that takes another one for the leader. @returns what kind of note comes back */
export async function askStray(name: string): Promise<string> {
  const channel = new BroadcastChannel(name);
  const heard = new Promise<string>((resolve) => {
    channel.addEventListener("message", ({ data }) => resolve(data.type));
  });
  channel.postMessage({ type: "request", leader: "another", id: "stray", method: "append", args: "stray" });
  const type = await heard;
  channel.close();
  return type;
}

/** Asks who leads over and over. @returns the longest time, in milliseconds, that an answer took */
export async function longestSilence(durationMs: number): Promise<number> {
  const end = performance.now() + durationMs;
  let longest = 0;
  for (let asked = performance.now(); asked < end; asked = performance.now()) {
    await tab.call("who", undefined);
    longest = Math.max(longest, performance.now() - asked);
  }
  return longest;
}

export async function readLog(name: string): Promise<{ texts: string[]; numbers: number[]; repeats: number }> {
  const db = await openLog(name);
  const entries = await db.getAllFromIndex("log", "number");
  const repeats = (await db.get("repeats", "count")) ?? 0;
  db.close();
  return { texts: entries.map(({ text }) => text), numbers: entries.map(({ number }) => number), repeats };
}
