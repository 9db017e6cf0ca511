import { describe, expect, test } from "vitest";
import { judge } from "../history/checker.ts";
import { type HistoryRecord, hashOf, parseLines, toLines } from "../history/record.ts";
import type { Verdict } from "../history/verdict.ts";

const [ann, bob] = ["P1", "P2"].map(id) as [string, string];
const [phone, tablet, laptop] = ["D1", "D2", "D3"].map(id) as [string, string, string];
const chat = `${ann}.${bob}`;
const plan = { seed: 7, faults: ["cut"] };

function id(word: string): string {
  return word.padStart(26, "0");
}

/** Message `n` of the chat; Ann writes the odd ones on her phone, Bob the even ones on his laptop. */
function message(n: number) {
  const [user, device] = n % 2 === 1 ? [ann, phone] : [bob, laptop];
  return { user, device, hash: hashOf(Buffer.from(`message ${n}`)), messageId: id(`${n}`), seq: n };
}

const devices = [
  { user: ann, device: phone },
  { user: ann, device: tablet },
  { user: bob, device: laptop },
];

/** Ann with phone and tablet, Bob with a laptop: four messages, everything as it should be. */
function goodHistory(): HistoryRecord[] {
  let t = 1_000;
  const history: HistoryRecord[] = [];
  const add = (record: Omit<HistoryRecord, "t">) => history.push({ t: t++, ...record });
  for (const owner of devices) {
    add({ type: "ok", op: "register", ...owner });
    add({ type: "invoke", op: "connect", ...owner, connection: 1 });
    add({ type: "ok", op: "connect", ...owner, connection: 1 });
  }
  for (const n of [1, 2, 3, 4]) {
    const { user, device, hash, messageId, seq } = message(n);
    const about = { conversation: chat, hash };
    add({ type: "invoke", op: "send", user, device, ...about });
    if (n === 2) add({ type: "info", op: "fault", fault: "cut" });
    for (const owner of devices) {
      if (owner.device === device) add({ type: "ok", op: "send", ...owner, ...about, messageId, seq });
      else add({ type: "ok", op: "wire", ...owner, ...about, messageId, seq });
      add({ type: "ok", op: "apply", ...owner, ...about, messageId, seq, peer: user });
    }
  }
  add({ type: "invoke", op: "read", user: bob, device: laptop, conversation: chat, cursor: 3 });
  for (const cursor of [1, 3]) {
    add({ type: "ok", op: "delivered", user: ann, device: phone, conversation: chat, cursor, peer: bob });
    add({ type: "ok", op: "seen", user: ann, device: phone, conversation: chat, cursor, peer: bob });
  }
  for (const owner of devices) {
    add({ type: "ok", op: "final", ...owner });
    for (const { user: peer, hash, messageId, seq } of [1, 2, 3, 4].map(message)) {
      add({ type: "ok", op: "view", ...owner, conversation: chat, hash, messageId, seq, peer });
    }
  }
  return history;
}

/** On this device the message is there so often, once or as changed. */
function onDevice(device: string, seq: number, change: (record: HistoryRecord) => HistoryRecord[]): HistoryRecord[] {
  return goodHistory().flatMap((record) => {
    const isIt = record.device === device && record.seq === seq && ["wire", "apply", "view"].includes(record.op);
    return isIt ? change(record) : [record];
  });
}

function verdictOf(history: readonly HistoryRecord[]): Verdict {
  return judge(history, plan).verdict;
}

const nothingWrong = {
  ...{ lost: 0, phantom: 0, duplicatesSeen: 0, duplicatesOnWire: 0, reordered: 0, gaps: 0, receiptRegressions: 0 },
  ...{ missedPushes: 0, unreadable: 0, recovered: 0, seed: 7 },
};

describe("a history without fault", () => {
  test("is valid", () => {
    expect(verdictOf(goodHistory())).toEqual({ valid: true, ...nothingWrong });
  });

  test("says the same after having been written down", () => {
    expect(parseLines(toLines(goodHistory()))).toEqual(goodHistory());
  });

  test("counts what the network repeated, and what was unknown and arrived, and stays valid", () => {
    const history = onDevice(laptop, 3, (record) => (record.op === "wire" ? [record, record] : [record]));
    const asked = history.findIndex(({ op, hash }) => op === "send" && hash === message(1).hash);
    const { user, device, hash } = message(1);
    history.splice(asked + 1, 0, {
      t: history[asked]!.t,
      type: "info",
      op: "send",
      user,
      device,
      conversation: chat,
      hash,
    });
    expect(verdictOf(history)).toEqual({ valid: true, ...nothingWrong, duplicatesOnWire: 1, recovered: 1 });
  });
});

describe("spoiled histories", () => {
  test("R1 a message that one device lacks is lost", () => {
    expect(verdictOf(onDevice(tablet, 2, () => []))).toMatchObject({ valid: false, lost: 1 });
  });

  test("R1 a message that is there twice is a duplicate", () => {
    const twice = onDevice(tablet, 2, (record) => (record.op === "apply" ? [record, record] : [record]));
    expect(verdictOf(twice)).toMatchObject({ valid: false, duplicatesSeen: 1, lost: 0 });
  });

  test("R1 an altered message is lost, and what is there instead is a phantom", () => {
    const altered = onDevice(tablet, 2, (record) => [{ ...record, hash: hashOf(Buffer.from("altered")) }]);
    expect(verdictOf(altered)).toMatchObject({ valid: false, lost: 1, phantom: 2 });
  });

  test("R2 two messages that have changed places are reordered", () => {
    const swap = (record: HistoryRecord) => [{ ...record, seq: 5 - record.seq! }];
    const swapped = onDevice(tablet, 2, swap).map((record) => {
      const isOther = record.device === tablet && record.hash === message(3).hash;
      return isOther && ["wire", "apply", "view"].includes(record.op) ? { ...record, seq: 2 } : record;
    });
    expect(verdictOf(swapped)).toMatchObject({ valid: false, lost: 0 });
    expect(verdictOf(swapped).reordered).toBeGreaterThan(0);
  });

  test("R2 messages applied in another order than that of their places are reordered", () => {
    const history = goodHistory();
    const [two, four] = [2, 4].map((n) =>
      history.findIndex(({ op, device, seq }) => op === "apply" && device === tablet && seq === n),
    ) as [number, number];
    [history[two], history[four]] = [history[four]!, history[two]!];
    expect(verdictOf(history)).toMatchObject({ valid: false, reordered: 2, lost: 0 });
  });

  test("R2 a device's own messages in another order than that of sending are reordered", () => {
    const history = goodHistory();
    const isInvoke =
      (n: number) =>
      ({ op, type, hash }: HistoryRecord) =>
        op === "send" && type === "invoke" && hash === message(n).hash;
    const [third] = history.splice(history.findIndex(isInvoke(3)), 1);
    history.splice(history.findIndex(isInvoke(1)), 0, third!);
    expect(verdictOf(history)).toMatchObject({ valid: false, reordered: 1, lost: 0 });
  });

  test("R3 a message that was told two places is a duplicate", () => {
    const history = goodHistory();
    const ack = history.find(({ op, type, seq }) => op === "send" && type === "ok" && seq === 3)!;
    expect(verdictOf([...history, { ...ack, seq: 5 }]).duplicatesSeen).toBe(1);
  });

  test("R2 a place that nobody has is a gap", () => {
    const without = goodHistory().filter(({ seq, hash }) => seq !== 2 && hash !== message(2).hash);
    expect(verdictOf(without)).toMatchObject({ valid: false, gaps: 1, lost: 0 });
  });

  test("R6 a message that nobody sent is a phantom", () => {
    const ghost = { type: "ok", op: "apply", user: ann, device: tablet, conversation: chat } as const;
    const phantom = { t: 5_000, ...ghost, seq: 5, messageId: id("9"), hash: hashOf(Buffer.from("ghost")) };
    expect(verdictOf([...goodHistory(), phantom])).toMatchObject({ valid: false, phantom: 1 });
  });

  test("R6 a message whose sender was told that it had failed is a phantom wherever it is", () => {
    const failed = goodHistory().map((record) =>
      record.op === "send" && record.seq === 4 ? { ...record, type: "fail" as const } : record,
    );
    expect(verdictOf(failed).phantom).toBeGreaterThan(0);
  });

  test("R5 a receipt that falls is a regression", () => {
    const history = goodHistory();
    const last = history.findLast(({ op }) => op === "delivered")!;
    expect(verdictOf([...history, { ...last, cursor: 1 }])).toMatchObject({ valid: false, receiptRegressions: 1 });
  });

  test("R5 a receipt that comes before the message does is a regression", () => {
    const history = goodHistory();
    const receipt = history.find(({ op }) => op === "delivered")!;
    const applied = history.findIndex(({ op, device }) => op === "apply" && device === laptop);
    history.splice(applied, 0, receipt);
    expect(verdictOf(history)).toMatchObject({ valid: false, receiptRegressions: 1 });
  });

  test("R5 read without having been delivered, or read by nobody, is a regression", () => {
    const unread = goodHistory().filter(({ op }) => op !== "read");
    expect(verdictOf(unread)).toMatchObject({ valid: false, receiptRegressions: 2 });
    const undelivered = goodHistory().filter(({ op }) => op !== "delivered");
    expect(verdictOf(undelivered)).toMatchObject({ valid: false, receiptRegressions: 2 });
  });

  describe("R9 a device that is away", () => {
    const MINUTE_MS = 60_000;

    /** Bob's laptop goes before Ann's message and comes back an hour later. */
    function withAbsence(...pushes: number[]): HistoryRecord[] {
      const isOf = (who: readonly string[]) => (record: HistoryRecord) =>
        record.device === undefined || who.includes(record.device);
      const history = goodHistory().filter(({ hash }) => hash === undefined || hash === message(1).hash);
      const registration = history.findLastIndex(({ op }) => op === "connect") + 1;
      const [before, after] = [history.slice(0, registration), history.slice(registration)];
      const gone = before.at(-1)!.t;
      const laptopIs = { user: bob, device: laptop, connection: 1 };
      const later = (record: HistoryRecord) => ({ ...record, t: gone + 60 * MINUTE_MS + record.t });
      return [
        ...before,
        { t: gone, type: "info", op: "disconnect", ...laptopIs },
        ...after.filter(isOf([phone, tablet])).filter(({ op }) => op !== "delivered" && op !== "seen"),
        ...pushes.map((t) => ({ t, type: "ok", op: "push", user: bob, device: laptop }) as const),
        later({ t: 0, type: "ok", op: "connect", ...laptopIs, connection: 2 }),
        ...after.filter(isOf([laptop])).map(later),
      ];
    }

    test("is woken once for everything", () => {
      expect(verdictOf(withAbsence(3_000))).toMatchObject({ lost: 0, missedPushes: 0 });
    });

    test("is missed if it is not woken", () => {
      expect(verdictOf(withAbsence())).toMatchObject({ valid: false, lost: 0, missedPushes: 1 });
    });

    test("is not missed for what came when its person's object had crashed without knowing", () => {
      const crash = { t: 1_020, type: "info", op: "fault", fault: "crash", user: bob } as const;
      const history = [...withAbsence(), crash].sort((a, b) => a.t - b.t);
      expect(verdictOf(history)).toMatchObject({ lost: 0, missedPushes: 0 });
    });
  });
});

describe("in a conversation whose group has commits", () => {
  /** The first place is that of the commit that begins the group, so every message stands one place later. */
  function groupHistory(): HistoryRecord[] {
    const later = goodHistory().map((record) => ({
      ...record,
      ...(record.seq !== undefined && { seq: record.seq + 1 }),
      ...(record.cursor !== undefined && { cursor: record.cursor + 1 }),
    }));
    const begun = later.findIndex(({ op }) => op === "send");
    const about = { t: later[begun]!.t, type: "ok", conversation: chat, seq: 1 } as const;
    const entered = devices.map((owner): HistoryRecord => ({ ...about, op: "enter", ...owner }));
    const passed = devices.map((owner): HistoryRecord => ({ ...about, op: "pass", ...owner }));
    return later.toSpliced(begun, 0, ...entered, ...passed);
  }

  /** The tablet is in the group, or is not, from this message on: the commit stands right before it. */
  function tabletFrom(
    n: number,
    op: "enter" | "leave",
    ...records: readonly Partial<HistoryRecord>[]
  ): HistoryRecord[] {
    const history = groupHistory().filter(
      (record) => op === "leave" || record.op !== "enter" || record.device !== tablet,
    );
    const at = history.findIndex(({ op, hash }) => op === "send" && hash === message(n).hash);
    const about = { t: history[at]!.t, type: "ok", user: ann, device: tablet, conversation: chat } as const;
    return history.toSpliced(
      at,
      0,
      { ...about, op, seq: n + 0.5 },
      ...records.map((part) => ({ ...about, op, ...part })),
    );
  }

  /** Without what the tablet has of these messages. */
  const without = (history: readonly HistoryRecord[], ...missing: readonly number[]) =>
    history.filter(
      ({ op, device, hash }) => device !== tablet || op === "send" || !missing.some((n) => message(n).hash === hash),
    );

  test("R2 a commit takes a place, and is no message", () => {
    expect(verdictOf(groupHistory())).toEqual({ valid: true, ...nothingWrong });
    const unknown = groupHistory().filter(({ op }) => op !== "pass");
    expect(verdictOf(unknown)).toMatchObject({ valid: false, gaps: 1 });
  });

  test("R1 what stands before a device's beginning is not for it, what stands after is", () => {
    const late = without(tabletFrom(3, "enter"), 1, 2);
    expect(verdictOf(late)).toMatchObject({ valid: true, lost: 0 });
    expect(verdictOf(without(late, 3))).toMatchObject({ valid: false, lost: 1 });
  });

  test("R6 a device that reads what stands before its beginning, or after its end, has what was not for it", () => {
    expect(verdictOf(without(tabletFrom(3, "enter"), 1)).phantom).toBeGreaterThan(0);
    const gone = tabletFrom(3, "leave");
    expect(verdictOf(without(gone, 3, 4))).toMatchObject({ valid: true, phantom: 0 });
    expect(verdictOf(without(gone, 4)).phantom).toBeGreaterThan(0);
  });

  test("R1 a device that cannot read a message has lost it, unless it had lost its place before", () => {
    const unread = { op: "unreadable", seq: 4 } as const;
    const lost = { op: "lose", type: "info", cursor: 3, seq: 3 } as const;
    const unreadable = without(groupHistory(), 3, 4);
    const insert = (...parts: readonly Partial<HistoryRecord>[]) => {
      const at = unreadable.findIndex(({ op, hash }) => op === "send" && hash === message(3).hash);
      const about = {
        t: unreadable[at]!.t,
        type: "ok",
        op: "pass",
        user: ann,
        device: tablet,
        conversation: chat,
      } as const;
      return unreadable.toSpliced(at, 0, ...parts.map((part) => ({ ...about, ...part })));
    };
    expect(verdictOf(insert(unread))).toMatchObject({ valid: false, lost: 2, unreadable: 1 });
    expect(verdictOf(insert(lost, unread))).toMatchObject({ valid: true, lost: 0, unreadable: 1 });
    const anew = [
      { op: "leave", seq: 4 },
      { op: "enter", seq: 4 },
    ] as const;
    expect(verdictOf(insert(lost, ...anew))).toMatchObject({ valid: false, lost: 1 });
  });

  test("a device that was revoked owes nothing", () => {
    const revoked = tabletFrom(3, "leave", { op: "revoke" }).filter(
      ({ op, device }) => device !== tablet || (op !== "final" && op !== "view"),
    );
    expect(verdictOf(without(revoked, 2, 3, 4))).toMatchObject({ valid: true, lost: 0 });
  });
});

describe("a history that proves nothing is unknown", () => {
  test("if a planned fault never struck", () => {
    const quiet = goodHistory().filter(({ op }) => op !== "fault");
    expect(verdictOf(quiet)).toEqual({ valid: "unknown", ...nothingWrong });
  });

  test("if it struck when nothing was under way", () => {
    const fault = goodHistory().find(({ op }) => op === "fault")!;
    const quiet = goodHistory().filter(({ op }) => op !== "fault");
    expect(verdictOf([...quiet, { ...fault, t: 9_000 }]).valid).toBe("unknown");
  });

  test("if a device made no final read", () => {
    const unread = goodHistory().filter(({ op, device }) => device !== tablet || (op !== "final" && op !== "view"));
    expect(verdictOf(unread).valid).toBe("unknown");
  });

  test("but something found stays found", () => {
    const lost = onDevice(tablet, 2, () => []).filter(({ op }) => op !== "fault");
    expect(verdictOf(lost).valid).toBe(false);
  });
});
