import { ulid } from "ulid";
import { expect, it } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { MAX_TRACKED_PER_SOCKET } from "../../shared/limits.ts";
import { newDevice } from "./device.ts";

it("a device that talks in more conversations than its socket remembers stays connected", async () => {
  const device = await newDevice();
  await device.connect();
  for (let n = 0; n < MAX_TRACKED_PER_SOCKET + 20; n++) {
    const peer = ulid();
    const conversation = directConversation(device.user, peer);
    const entry = { seq: 1, id: ulid(), user: peer, device: ulid(), at: Date.now(), body: new Uint8Array([n]) };
    await device.stub.deliver({ conversation, entries: [entry], requestId: "r" });
    await device.next("message", (frame) => frame.conversation === conversation);
    device.up({ type: "ack", conversation, seq: 1 });
    await device.settled();
  }
  expect(device.closed).toBeUndefined();
});
