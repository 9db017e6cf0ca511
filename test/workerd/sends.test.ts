import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { joinBodies } from "../../shared/protocol/codec.ts";
import { sealedBytes } from "../sealed.ts";
import { newFriends, type TestDevice } from "./device.ts";

/** Rising ids, as a device makes them. */
const idsOf = (count: number) => Array.from({ length: count }, (_, index) => ulid(Date.now() - count + index));

function sendTogether(
  device: TestDevice,
  conversation: string,
  ids: readonly string[],
  texts: readonly string[],
): void {
  const bodies = texts.map((text) => sealedBytes(conversation, 1, text));
  const messages = ids.map((id, index) => ({ id, length: bodies[index]!.byteLength }));
  device.up({ type: "sends", conversation, messages }, joinBodies(bodies));
}

async function pair() {
  const [alice, bob] = await newFriends(2);
  await Promise.all([alice.connect(), bob.connect()]);
  return { alice, bob, chat: directConversation(alice.user, bob.user) };
}

describe("several messages in one frame", () => {
  it("R2 are placed and delivered in their order, each with its ✓", async () => {
    const { alice, bob, chat } = await pair();
    const ids = idsOf(3);
    sendTogether(alice, chat, ids, ["one", "two", "three"]);
    expect(await bob.texts(3)).toEqual(["one", "two", "three"]);
    const sent = await alice.next("sent");
    expect(sent.messages.map(({ id, seq }) => [id, seq])).toEqual(ids.map((id, index) => [id, index + 1]));
  });

  it("R3 sent again get the places they have", async () => {
    const { alice, bob, chat } = await pair();
    const ids = idsOf(2);
    sendTogether(alice, chat, ids, ["one", "two"]);
    await alice.next("sent");
    alice.frames.length = 0;
    sendTogether(alice, chat, ids, ["one", "two"]);
    expect((await alice.next("sent")).messages.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(await bob.texts(2)).toEqual(["one", "two"]);
  });

  it("are refused one by one: the others go through", async () => {
    const { alice, bob, chat } = await pair();
    const [early = "", late = ""] = [ulid(), ulid(Date.now() + 60_000)];
    sendTogether(alice, chat, [early, late], ["now", "tomorrow"]);
    expect(await alice.next("error")).toMatchObject({ code: "id_from_future", id: late });
    expect(await bob.texts(1)).toEqual(["now"]);
  });

  it.each([
    ["too few bytes", [3, 3], 5],
    ["too many bytes", [3], 4],
  ])("with %s for their lengths are a bad frame, and none of them counts", async (_, lengths, bytes) => {
    const { alice, bob, chat } = await pair();
    const messages = idsOf(lengths.length).map((id, index) => ({ id, length: lengths[index]! }));
    alice.up({ type: "sends", conversation: chat, messages }, new Uint8Array(bytes));
    expect(await alice.next("error")).toMatchObject({ code: "bad_frame" });
    expect((await alice.send(chat, "after")).seq).toBe(1);
    expect(await bob.texts(1)).toEqual(["after"]);
  });
});
