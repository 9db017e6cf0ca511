import type { StoreChange } from "../../client/store/store.ts";
import type { SqlValue } from "../../durable-objects/runtime/storage.ts";
import type { Append, SubmitCommit, SubmitCommitReply } from "../../shared/rpc.ts";

interface Write {
  readonly kind: "user" | "conversation";
  /** The event being handled. */
  readonly event: string;
  readonly query: string;
  readonly params: SqlValue[];
}

/**
 * Ways in which the world can be made to break one of the rules on which nothing getting lost depends: the simulator must
 * notice each.
 */
export interface Sabotage {
  /** What is written to an object's disk instead; undefined for nothing. */
  write?(write: Write): SqlValue[] | undefined;
  /** What a conversation is asked instead. */
  ask?(call: Ask): unknown;
  /** What a device stores instead. */
  store?(changes: readonly StoreChange[]): readonly StoreChange[];
  /** What a call is answered instead. */
  reply?(method: string, value: unknown): unknown;
  readonly forgetsTracks?: boolean;
  readonly performsUncommitted?: boolean;
  readonly ignoresAlarms?: boolean;
  readonly dropsPushes?: boolean;
  readonly leavesGaps?: boolean;
  readonly acksEarly?: boolean;
  readonly adoptsEarly?: boolean;
}

interface Ask {
  readonly method: string;
  readonly args: unknown;
  /** Of the conversation, as stored. */
  epoch(): number | null;
}

interface Break {
  readonly about: string;
  readonly sabotage: Sabotage;
}

/** Changes what is stored of a device. */
function deviceRow(change: (device: Record<string, unknown>) => Record<string, unknown>): Sabotage {
  return {
    write: ({ query, params }) => {
      if (!query.includes("INTO device")) return params;
      const [no = null, packed] = params;
      return [no, JSON.stringify(change(JSON.parse(String(packed))))];
    },
  };
}

/** Changes what a conversation is asked to take, as long as it has a group. */
function asked<Args>(wanted: string, change: (args: Args, epoch: number) => Args): Sabotage {
  return {
    ask: ({ method, args, epoch }) => {
      const current = method === wanted ? epoch() : null;
      return current === null ? args : change(args as Args, current);
    },
  };
}

/** As if it had been sealed in this epoch (RFC 9420 §6.3: behind version, wire format and group id). */
function sealedIn(epoch: number, message: Uint8Array): Uint8Array {
  const bytes = message.slice();
  new DataView(bytes.buffer).setBigUint64(5 + (bytes[4] ?? 0), BigInt(epoch));
  return bytes;
}

/** Leaves something out of what a device stores. */
function without(
  isLeftOut: (record: Extract<StoreChange, { type: "record" }>, all: readonly StoreChange[]) => boolean,
) {
  const store = (changes: readonly StoreChange[]) =>
    changes.filter((change) => change.type !== "record" || !isLeftOut(change, changes));
  return { store } satisfies Sabotage;
}

const TRY_AGAIN = { ok: false, code: "unavailable", retry: 500 } as const;

function isTooLate(value: unknown): boolean {
  const { ok, ...refusal } = value as SubmitCommitReply;
  return !ok && "code" in refusal && refusal.code === "epoch_stale";
}

export const breaks = {
  fence: {
    about: "a `dormant` answer older than the member's last read is believed",
    sabotage: { reply: (method, value) => (method === "deliver" ? { ...(value as object), epoch: 1e9 } : value) },
  },
  wake: {
    about: "waking a member is not written before the read is answered",
    sabotage: {
      write: ({ kind, event, params }) => (kind === "conversation" && event === "readLog" ? undefined : params),
    },
  },
  suspect: {
    about: "after a crash nobody remembers who was connected",
    sabotage: deviceRow((device) => ({ ...device, isOpen: false })),
  },
  dirty: {
    about: "what a device misses is not stored",
    sabotage: deviceRow((device) => ({ ...device, dirty: [] })),
  },
  epoch: {
    about: "the count of connections is not stored",
    sabotage: deviceRow((device) => ({ ...device, epoch: 0 })),
  },
  attach: {
    about: "what was sent and not acked is not kept with the socket",
    sabotage: { forgetsTracks: true },
  },
  early: {
    about: "devices ack before they have persisted",
    sabotage: { acksEarly: true },
  },
  gap: {
    about: "devices do not fetch what they see missing",
    sabotage: { leavesGaps: true },
  },
  alarm: {
    about: "alarms never go off",
    sabotage: { ignoresAlarms: true },
  },
  commit: {
    about: "effects are carried out although the transaction was rolled back",
    sabotage: { performsUncommitted: true },
  },
  push: {
    about: "the queue forgets what it took",
    sabotage: { dropsPushes: true },
  },
  late: {
    about: "a message is taken in an epoch that is over",
    sabotage: asked<Append>("append", (args, epoch) => ({
      ...args,
      messages: args.messages.map((message) => ({ ...message, body: sealedIn(epoch, message.body) })),
    })),
  },
  race: {
    about: "of two commits made in one epoch both are taken",
    sabotage: asked<SubmitCommit>("submitCommit", (args, epoch) => ({ ...args, epoch })),
  },
  adopt: {
    about: "devices take their own commit for taken before it is",
    sabotage: { adoptsEarly: true },
  },
  ratchet: {
    about: "a message may leave before it is stored which key sealed it",
    sabotage: without(({ key }, all) => key.startsWith("group/") && all.some(({ type }) => type === "sealed")),
  },
  pending: {
    about: "devices keep a commit of theirs that came too late",
    sabotage: { reply: (method, value) => (method === "submitCommit" && isTooLate(value) ? TRY_AGAIN : value) },
  },
  place: {
    about: "devices do not store that they have lost their place in a group",
    sabotage: without(({ key }) => key.startsWith("broken/")),
  },
} as const satisfies Record<string, Break>;

export type BreakName = keyof typeof breaks;

export function sabotageOf(name: BreakName | undefined): Sabotage {
  return name === undefined ? {} : breaks[name].sabotage;
}
