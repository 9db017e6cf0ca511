import { beforeEach, describe, expect, test } from "vitest";
import { type Change, type Happening, type Snapshot, View } from "./view.ts";

const [user, device, conversation] = ["U", "D", "C"];
const position = { have: 1, read: 1, peers: new Map() };
const bytes = (value: number) => Uint8Array.of(value);
const snapshot: Snapshot = {
  ...{ reign: "first", owner: { user, device }, own: { user, accountKey: bytes(0) }, pins: new Map() },
  held: new Map(),
  session: { phase: "live", closedBy: undefined, caughtUp: true, clockOffset: 0 },
  conversations: [[conversation, { ...position, queue: [{ id: "1", content: bytes(1) }] }]],
};

let view: View;
beforeEach(() => {
  view = new View(snapshot);
});
const follow = (happening: Happening, change: Change = { position }) => view.follow(happening, change);
const waiting = () => view.conversations.get(conversation)?.queue.map(({ id }) => id);

describe("what a tab knows of what its leader knows", () => {
  test("is on its way from when it is queued until it is sent or has failed, under whichever id", () => {
    const at = 1;
    follow({ name: "queued", event: { conversation, id: "2", at } }, { position, content: bytes(2) });
    follow({ name: "queued", event: { conversation, id: "3", at } }, { position, content: bytes(3) });
    expect(waiting()).toEqual(["1", "2", "3"]);
    follow({ name: "renamed", event: { conversation, id: "2", newId: "4" } });
    follow({ name: "sent", event: { conversation, id: "1", seq: 2, at } });
    expect(view.conversations.get(conversation)?.queue).toEqual([
      { id: "4", content: bytes(2) },
      { id: "3", content: bytes(3) },
    ]);
    follow({ name: "failed", event: { conversation, id: "4", code: "not_found" } });
    expect(waiting()).toEqual(["3"]);
  });

  test("is where conversations stand, those that begin included", () => {
    follow({ name: "read", event: { conversation, seq: 5 } }, { position: { ...position, have: 7, read: 5 } });
    expect(view.conversations.get(conversation)).toMatchObject({ have: 7, read: 5, queue: [{ id: "1" }] });
    follow({ name: "replaced", event: { conversation: "new", seq: 1 } });
    expect(view.conversations.get("new")).toEqual({ ...position, queue: [] });
    expect([...snapshot.conversations]).toHaveLength(1);
  });

  test("is whose keys hold back what is written, until nobody's do", () => {
    follow({ name: "held", event: { conversation, users: ["V"] } });
    expect([...view.held]).toEqual([[conversation, ["V"]]]);
    follow({ name: "held", event: { conversation, users: [] } });
    expect([...view.held]).toEqual([]);
  });

  test("is who people are, and how the connection is", () => {
    const pin = { accountKey: bytes(9), since: 1 };
    follow({ name: "identity_changed", event: { user: "V" } }, { pin });
    expect([view.pin("V"), view.pin("W")]).toEqual([pin, undefined]);
    const session = { phase: "offline", closedBy: undefined, caughtUp: false, clockOffset: 60_000 } as const;
    follow({ name: "state", event: { state: "offline" } }, { session });
    expect([view.phase, view.caughtUp, view.isWanted]).toEqual(["offline", false, false]);
    expect(view.now).toBeGreaterThan(Date.now() + 50_000);
    view.close("store_failed");
    expect([view.phase, view.closedBy]).toEqual(["closed", "store_failed"]);
  });
});
