import type { SqlValue } from "../../durable-objects/runtime/storage.ts";

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
  /** What a call is answered instead. */
  reply?(method: string, value: unknown): unknown;
  readonly forgetsTracks?: boolean;
  readonly performsUncommitted?: boolean;
  readonly ignoresAlarms?: boolean;
  readonly dropsPushes?: boolean;
  readonly leavesGaps?: boolean;
  readonly acksEarly?: boolean;
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
} as const satisfies Record<string, Break>;

export type BreakName = keyof typeof breaks;

export function sabotageOf(name: BreakName | undefined): Sabotage {
  return name === undefined ? {} : breaks[name].sabotage;
}
