import { describe, expect, test } from "vitest";
import { DELETION_WINDOW_MS, EDIT_WINDOW_MS, MAX_EDITS_PER_MESSAGE } from "../../shared/limits.ts";
import { idOf, me, peer, seededRandom } from "../session/test-driver.ts";
import { applyChange, type Entry, foldMessage, untouched } from "./message-state.ts";
import { tallyPoll } from "./poll.ts";
import { countReactions } from "./reaction.ts";

const admin = idOf(900);
const target = idOf(1);
const sentAt = 1_800_000_000_000;
const nobody = () => false;
const adminIs = (user: string) => (origin: { user: string }) => origin.user === user;

const message = (content: Entry["content"]): Entry => ({ id: target, seq: 1, user: me, at: sentAt, content });
const hello = message({ kind: "text", text: "hello", reply: { id: idOf(0), author: peer, excerpt: "" } });
const poll = (multiple: boolean) =>
  message({ kind: "poll", question: "?", options: ["a", "b", "c"], multiple }) as Entry & {
    content: { kind: "poll" };
  };
const entry = (seq: number, user: string, content: Entry["content"], at = sentAt + seq): Entry => {
  return { id: idOf(seq), seq, user, at, content };
};
const edit = (seq: number, text: string, at?: number, user = me) =>
  entry(seq, user, { kind: "edit", target, text }, at);
const deletion = (seq: number, user: string, at?: number) => entry(seq, user, { kind: "deletion", target }, at);
const reaction = (seq: number, user: string, emoji: string) => entry(seq, user, { kind: "reaction", target, emoji });
const vote = (seq: number, user: string, ...options: number[]) => entry(seq, user, { kind: "vote", target, options });

describe("edits", () => {
  test("the last one counts, and all but the words stays", () => {
    const state = foldMessage(hello, [edit(3, "second"), edit(2, "first")], nobody);
    expect(state).toMatchObject({ edits: 2, editedAt: sentAt + 3 });
    expect(state.content).toEqual({ ...hello.content, text: "second" });
  });

  test("only within 15 minutes of the message", () => {
    const [last, late] = [sentAt + EDIT_WINDOW_MS, sentAt + EDIT_WINDOW_MS + 1];
    expect(foldMessage(hello, [edit(2, "in time", last)], nobody).content).toMatchObject({ text: "in time" });
    expect(foldMessage(hello, [edit(2, "late", late)], nobody).content).toEqual(hello.content);
  });

  test("only ten times", () => {
    const edits = Array.from({ length: MAX_EDITS_PER_MESSAGE + 2 }, (_, n) => edit(n + 2, `text ${n}`));
    const state = foldMessage(hello, edits.toReversed(), nobody);
    expect([state.edits, state.content]).toMatchObject([10, { text: "text 9" }]);
  });

  test("of another's message, also by an admin, change nothing", () => {
    expect(foldMessage(hello, [edit(2, "forged", undefined, peer)], adminIs(peer))).toEqual(untouched(hello));
  });

  test("that leave no valid message, or are for what has no words, change nothing", () => {
    expect(foldMessage(hello, [edit(2, "")], nobody)).toEqual(untouched(hello));
    expect(foldMessage(poll(true), [edit(2, "other question")], nobody)).toEqual(untouched(poll(true)));
    const unknown = message({ kind: "unknown", original: { kind: "later" } });
    expect(foldMessage(unknown, [edit(2, "x")], nobody)).toEqual(untouched(unknown));
  });

  test("of a caption leave the file alone", () => {
    const file = { id: "f", key: "A".repeat(43), hash: "B".repeat(43), bytes: 1, type: "image/png" };
    const image = message({ kind: "image", file, width: 1, height: 1, text: "before" });
    const forged = entry(2, me, {
      kind: "edit",
      target,
      text: "after",
      file: { ...file, id: "g" },
    } as Entry["content"]);
    expect(foldMessage(image, [forged], nobody).content).toEqual({ ...image.content, text: "after" });
  });
});

describe("deletions", () => {
  test("leave nothing, whatever comes before and after", () => {
    const entries = [edit(5, "again"), reaction(3, peer, "👍"), deletion(4, me), reaction(6, peer, "👍")];
    const state = foldMessage(hello, entries, nobody);
    expect(state).toMatchObject({ content: undefined, deletedBy: me, isPinned: false });
    expect(state.reactions.size).toBe(0);
    expect(JSON.stringify(state)).not.toContain("hello");
  });

  test("by others count only if they were admins when they wrote it", () => {
    expect(foldMessage(hello, [deletion(2, peer)], adminIs(admin))).toEqual(untouched(hello));
    expect(foldMessage(hello, [deletion(2, admin)], adminIs(admin)).deletedBy).toBe(admin);
    const wasAdmin = ({ seq }: { seq: number | undefined }) => seq === 3;
    expect(foldMessage(hello, [deletion(2, peer)], wasAdmin).deletedBy).toBeUndefined();
    expect(foldMessage(hello, [deletion(3, peer)], wasAdmin).deletedBy).toBe(peer);
  });

  test("only within 48 hours of the message", () => {
    const [last, late] = [sentAt + DELETION_WINDOW_MS, sentAt + DELETION_WINDOW_MS + 1];
    expect(foldMessage(hello, [deletion(2, me, last)], nobody).deletedBy).toBe(me);
    expect(foldMessage(hello, [deletion(2, me, late), deletion(3, admin, late)], adminIs(admin)).content).toBeDefined();
  });

  test("are not for events", () => {
    const events = [message({ kind: "timer", seconds: 0 }), message({ kind: "group", by: me, added: [], removed: [] })];
    for (const event of events) expect(foldMessage(event, [deletion(2, me)], nobody)).toEqual(untouched(event));
  });

  test("are also for what this device could not open", () => {
    const unreadable = message({ kind: "unreadable", reason: "undecryptable" });
    expect(foldMessage(unreadable, [deletion(2, me)], nobody).deletedBy).toBe(me);
  });
});

describe("reactions", () => {
  test("each person has one, the last, and can take it back", () => {
    const entries = [reaction(2, me, "👍"), reaction(3, peer, "🎉"), reaction(4, me, "🎉"), reaction(5, admin, "👍")];
    expect(countReactions(foldMessage(hello, entries, nobody).reactions)).toEqual([
      { emoji: "🎉", users: [peer, me] },
      { emoji: "👍", users: [admin] },
    ]);
    const without = foldMessage(hello, [...entries, reaction(6, peer, ""), reaction(7, me, "")], nobody);
    expect(countReactions(without.reactions)).toEqual([{ emoji: "👍", users: [admin] }]);
  });

  test("of equally frequent ones the first comes first", () => {
    const entries = [reaction(3, peer, "👍"), reaction(2, me, "🎉")];
    expect(countReactions(foldMessage(hello, entries, nobody).reactions).map(({ emoji }) => emoji)).toEqual([
      "🎉",
      "👍",
    ]);
  });
});

describe("polls", () => {
  test("the last vote of each person counts", () => {
    const entries = [vote(2, me, 0), vote(3, peer, 1), vote(4, me, 1), vote(5, admin, 0), vote(6, admin)];
    const { votes } = foldMessage(poll(false), entries, nobody);
    expect(tallyPoll(poll(false).content, votes)).toEqual([
      { option: "a", voters: [] },
      { option: "b", voters: [peer, me] },
      { option: "c", voters: [] },
    ]);
  });

  test("several only where several may be chosen", () => {
    const entries = [vote(2, me, 2), vote(3, me, 0, 1)];
    expect(foldMessage(poll(false), entries, nobody).votes.get(me)).toEqual([2]);
    expect(foldMessage(poll(true), entries, nobody).votes.get(me)).toEqual([0, 1]);
  });

  test("a vote for what is not there, or on what is no poll, changes nothing", () => {
    expect(foldMessage(poll(true), [vote(2, me, 0, 3)], nobody)).toEqual(untouched(poll(true)));
    expect(foldMessage(hello, [vote(2, me, 0)], nobody)).toEqual(untouched(hello));
  });
});

describe("whatever it is", () => {
  test("a pin holds until it is taken away", () => {
    const pin = (seq: number, pinned: boolean) => entry(seq, peer, { kind: "pin", target, pinned });
    expect(foldMessage(hello, [pin(2, true)], nobody).isPinned).toBe(true);
    expect(foldMessage(hello, [pin(3, false), pin(2, true)], nobody).isPinned).toBe(false);
  });

  test("what is about another message, stands before it or is no change, changes nothing", () => {
    const elsewhere = entry(2, me, { kind: "deletion", target: idOf(5) });
    const before = { ...deletion(2, me), seq: 0 };
    expect(foldMessage(hello, [elsewhere, before, entry(3, me, hello.content)], nobody)).toEqual(untouched(hello));
  });

  test("what has no place yet comes last, and counts once when it has got one", () => {
    const pending = { ...edit(9, "pending"), seq: undefined };
    expect(foldMessage(hello, [pending, edit(2, "placed")], nobody)).toMatchObject({
      edits: 2,
      content: { text: "pending" },
    });
    const both = [pending, { ...pending, seq: 2 }, edit(3, "later")];
    expect(foldMessage(hello, both, nobody)).toMatchObject({ edits: 2, content: { text: "later" } });
    const unsent = { ...hello, seq: undefined };
    expect(foldMessage(unsent, [pending], nobody).content).toMatchObject({ text: "pending" });
  });

  test("the outcome does not depend on the order of arrival, nor on repetitions", () => {
    const random = seededRandom(5);
    const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
    const people = [me, peer, admin];
    const outcomes = new Set<string>();
    for (let run = 0; run < 500; run++) {
      const at = () => sentAt + pick([1, EDIT_WINDOW_MS, EDIT_WINDOW_MS + 1, DELETION_WINDOW_MS + 1]);
      const make = [
        (seq: number) => edit(seq, `text ${seq}`, at(), pick(people)),
        (seq: number) => reaction(seq, pick(people), pick(["👍", "🎉", ""])),
        (seq: number) => vote(seq, pick(people), ...pick([[], [0], [1, 2], [9]])),
        (seq: number) => entry(seq, pick(people), { kind: "pin", target, pinned: random() < 0.5 }),
        (seq: number) => (random() < 0.1 ? deletion(seq, pick(people), at()) : reaction(seq, pick(people), "👍")),
      ];
      const original = pick([hello, poll(true), poll(false)]);
      const placed = Array.from({ length: 20 }, (_, index) => pick(make)(index + 2));
      const wasAdmin = adminIs(admin);
      const expected = placed.reduce((state, next) => applyChange(state, next, wasAdmin), untouched(original));
      const arrived = [...placed, pick(placed), pick(placed)]
        .map((item) => [random(), item] as const)
        .sort(([a], [b]) => a - b)
        .map(([, item]) => item);
      const state = foldMessage(original, arrived, wasAdmin);
      expect(state).toEqual(expected);
      expect(countReactions(state.reactions)).toEqual(countReactions(expected.reactions));
      expect([...state.votes]).toEqual([...expected.votes]);
      outcomes.add(JSON.stringify([state, [...state.reactions], [...state.votes]]));
    }
    expect(outcomes.size).toBeGreaterThan(300);
  });
});
