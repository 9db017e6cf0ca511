import { describe, expect, it } from "vitest";
import { makeKeyPair } from "../../client/identity/ed25519.ts";
import type { Group } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { sealedBytes } from "../../test/sealed.ts";
import { directConversation } from "../ids.ts";
import { encodeReference, groupIdOf, readFraming } from "./framing.ts";

const group = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const chat = directConversation("01ARZ3NDEKTSV4RRFFQ69G5FAA", "01ARZ3NDEKTSV4RRFFQ69G5FAB");
const mls = createMls({ authenticate: async () => true });

/** A group of one, after so many commits. */
async function groupIn(id: string, epoch: number): Promise<Group> {
  const { publicKey, seed: privateKey } = await makeKeyPair();
  const keys = { publicKey, privateKey, credential: new Uint8Array([1]) };
  let current = await mls.create(groupIdOf(id), 1, keys, Date.now());
  while (current.epoch < epoch) current = (await mls.commit(current, {})).group;
  return current;
}

describe("R16 what bytes say of themselves", () => {
  it.each([
    [group, 0],
    [group, 2],
    [chat, 1],
  ])("is the group and the epoch of a real message: %s, %i", async (id, epoch) => {
    const { message } = await mls.seal(await groupIn(id, epoch), "id", new TextEncoder().encode("hello"));
    expect(readFraming(message)).toEqual({ kind: "message", group: groupIdOf(id), epoch });
  });

  it("is that a real commit is public, and nothing else of it", async () => {
    const { commit, groupInfo } = await mls.commit(await groupIn(chat, 0), {});
    expect(readFraming(commit)).toEqual({ kind: "public" });
    expect(readFraming(groupInfo)).toBeUndefined();
  });

  it("is the size and the hash of a commit that stands elsewhere", () => {
    const sha256 = crypto.getRandomValues(new Uint8Array(32));
    for (const bytes of [0, 61_441, 2 ** 32 - 1]) {
      expect(readFraming(encodeReference(bytes, sha256))).toEqual({ kind: "reference", bytes, sha256 });
    }
    const reference = encodeReference(1, sha256);
    expect(readFraming(reference.subarray(0, 39))).toBeUndefined();
    expect(readFraming(Uint8Array.of(...reference, 0))).toBeUndefined();
  });

  it("can be read from the middle of other bytes", () => {
    const sealed = sealedBytes(chat, 7, "hello");
    const around = new Uint8Array(sealed.byteLength + 20);
    around.set(sealed, 11);
    const read = readFraming(around.subarray(11, 11 + sealed.byteLength));
    expect(read).toEqual({ kind: "message", group: groupIdOf(chat), epoch: 7 });
  });

  it("is nothing where they are cut off before they have said it", () => {
    const sealed = sealedBytes(chat, 1, "");
    expect(readFraming(sealed)).toMatchObject({ kind: "message" });
    for (let length = 0; length < sealed.byteLength; length++) {
      expect(readFraming(sealed.subarray(0, length)), `${length}`).toBeUndefined();
    }
  });

  it.each<[string, number, number]>([
    ["another version", 1, 2],
    ["no wire format", 3, 0],
    ["a Welcome", 3, 3],
    ["a group info", 3, 4],
    ["a key package", 3, 5],
    ["a longer group id than there are bytes", 4, 0x7f],
    ["a group id whose length takes four bytes", 4, 0x80],
    ["an epoch beyond all numbers", 5 + chat.length, 0x80],
    ["an epoch that no number holds exactly", 5 + chat.length + 1, 0x20],
    ["a proposal", 5 + chat.length + 8, 2],
    ["a commit that nobody can read", 5 + chat.length + 8, 3],
    ["no kind of content", 5 + chat.length + 8, 0],
  ])("is nothing for %s", (_, at, value) => {
    const bytes = sealedBytes(chat, 1, "hello");
    bytes[at] = value;
    expect(readFraming(bytes)).toBeUndefined();
  });

  it("is a group id of any length that a conversation's may have", () => {
    for (const length of [0, 1, 63, 64, 100]) {
      const id = new Uint8Array(length).fill(65);
      const prefix = length < 64 ? [length] : [0x40, length];
      const bytes = Uint8Array.of(0, 1, 0, 2, ...prefix, ...id, 0, 0, 0, 0, 0, 0, 0, 5, 1);
      expect(readFraming(bytes)).toEqual({ kind: "message", group: id, epoch: 5 });
    }
  });
});
