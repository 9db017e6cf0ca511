import { encodeRatchetTree } from "ts-mls/ratchetTree.js";
import { expect, test } from "vitest";
import { MAX_LEAVES_PER_GROUP } from "../../shared/limits.ts";
import { makeGroups, mls, utf8 } from "../../test/mls/device.ts";
import { libraryOf } from "../../test/mls/insider.ts";
import { readMessage, readTree } from "./wire.ts";

const malformed = expect.objectContaining({ code: "malformed" });

test("what has more than one form is malformed: lengths have their shortest one, and nothing is left over", async () => {
  const [group] = await makeGroups(["ann"]);
  const { message } = await mls.seal(group!, "01J", utf8("hi"));
  expect(readMessage(message, "mls_private_message").privateMessage.groupId).toEqual(group!.groupId);
  const [header, idBytes] = [4, group!.groupId.byteLength];
  expect(message[header]).toBe(idBytes);
  const longer = Uint8Array.of(...message.subarray(0, header), 0x40, idBytes, ...message.subarray(header + 1));
  for (const bytes of [longer, Uint8Array.of(...message, 0), message.subarray(0, -1)]) {
    expect(() => readMessage(bytes, "mls_private_message")).toThrow(malformed);
  }
});

test("a message of another format than is asked for is malformed", async () => {
  const [group] = await makeGroups(["ann"]);
  const { message } = await mls.seal(group!, "01J", utf8("hi"));
  expect(() => readMessage(message, "mls_public_message", "mls_welcome")).toThrow(malformed);
});

test("what is read holds on to no bytes of the caller's", async () => {
  const [group] = await makeGroups(["ann"]);
  const { message } = await mls.seal(group!, "01J", utf8("hi"));
  const { privateMessage } = readMessage(message, "mls_private_message");
  const before = privateMessage.ciphertext.slice();
  message.fill(0);
  expect(privateMessage.ciphertext).toEqual(before);
});

test("a tree is as large as a group may be, and no larger: unsupported", async () => {
  const [group] = await makeGroups(["ann"]);
  const [leaf] = libraryOf(group!).ratchetTree;
  const treeOf = (leaves: number) =>
    encodeRatchetTree(Array.from({ length: 2 * leaves - 1 }, (_, at) => (at % 2 === 0 ? leaf : undefined)));
  expect(readTree(treeOf(MAX_LEAVES_PER_GROUP))).toHaveLength(2 * MAX_LEAVES_PER_GROUP - 1);
  const larger = treeOf(MAX_LEAVES_PER_GROUP + 1);
  expect(() => readTree(larger)).toThrow(expect.objectContaining({ code: "unsupported" }));
});
