import { serialize } from "node:v8";
import { expect, it } from "vitest";
import { type Socket, touch } from "../../durable-objects/user/socket.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_TRACKED_PER_SOCKET } from "../../shared/limits.ts";
import { idOf } from "./core-driver.ts";

/** What the platform keeps with a socket, serialized as V8 does. */
const MAX_ATTACHMENT_BYTES = 16_384;
const most = Number.MAX_SAFE_INTEGER;

it("a socket's state fits into its attachment when it remembers as much as it may, in the largest numbers", () => {
  const socket: Socket = {
    id: most,
    device: idOf("0D", 1),
    requestId: idOf("0R", 1),
    heardAt: most,
    greeted: true,
    catchingUp: true,
    allowance: { sends: 0.1, at: most },
    frames: { count: most, since: most },
    offences: { count: 0.1, since: most },
    tracks: new Map(),
  };
  for (let n = 0; n < MAX_TRACKED_PER_SOCKET; n++) {
    const track = touch(socket, directConversation(idOf("0A", n), idOf("0B", n)));
    Object.assign(track, { low: most, acked: most, high: most, foreign: most, own: most, read: most, unacked: most });
  }
  expect(serialize(socket).byteLength).toBeLessThanOrEqual(MAX_ATTACHMENT_BYTES);
});
