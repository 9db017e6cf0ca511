import assert from "node:assert/strict";
import { openDeviceLink } from "../../shared/api/devices.ts";
import type { Endpoint } from "../../shared/api/endpoint.ts";
import { health } from "../../shared/api/service.ts";
import { requestCode, signIn } from "../../shared/api/sign-in.ts";
import { closeCodes } from "../../shared/errors.ts";
import { directConversation } from "../../shared/ids.ts";
import { FRAMES_PER_SEND, MAX_FRAME_BYTES, publicBuckets, SENDS_PER_MINUTE } from "../../shared/limits.ts";
import { sealedBytes } from "../sealed.ts";
import { cases } from "./case.ts";
import { FIRST_EPOCH } from "./groups.ts";
import { expectRefusal } from "./http.ts";
import type { World } from "./world.ts";

/** So long thousands of frames may take on a busy machine. */
const FLOOD_MS = 30_000;

/** Headers by which somebody could seem to come from everywhere. */
function elsewhere(index: number): Record<string, string> {
  const address = `198.51.${Math.floor(index / 250)}.${(index % 250) + 1}`;
  return {
    "cf-connecting-ip": address,
    "cf-connecting-ipv6": `2001:db8::${index.toString(16)}`,
    "true-client-ip": address,
    "x-forwarded-for": `${address}, 127.0.0.1`,
    "x-real-ip": address,
    "x-client-ip": address,
    forwarded: `for=${address}`,
    "cf-ipcountry": "DE",
    "cf-ray": `${index}-FRA`,
  };
}

/** As many as the bucket holds go through, from however many addresses they seem to come, and then no more. */
async function expectCapped(
  world: World,
  bucket: keyof typeof publicBuckets,
  endpoint: Endpoint,
  bodyOf: (index: number) => unknown,
): Promise<void> {
  const { capacity } = publicBuckets[bucket];
  let granted = 0;
  for (let index = 0; index < capacity + 30; index++) {
    const answer = await world.http.ask(endpoint, { body: bodyOf(index), headers: elsewhere(index) });
    if (answer.status !== 429) granted++;
    else {
      expectRefusal(answer, 429, "rate_limited");
      if (granted > 0) return assert.ok(granted <= capacity + 20, `${granted} went through`);
    }
  }
  assert.fail(`${granted} of ${capacity + 30} went through`);
}

/** These use up what one address may do, one after the other: what they need from it they take before. */
export const limits = cases(
  "Limits",
  {
    "sends beyond the person's rate are refused with a time to wait, and the socket lives": async (world) => {
      const account = await world.signUp();
      const line = await world.connect(account);
      const chat = directConversation(account.user, account.user);
      await line.begin?.(chat);
      for (let count = 0; count < SENDS_PER_MINUTE + 50; count++) {
        line.up({ type: "send", id: line.newId(), conversation: chat }, sealedBytes(chat, FIRST_EPOCH, "x"));
      }
      const refusal = await line.next("error");
      assert.equal(refusal.code, "rate_limited");
      assert.equal(typeof refusal.retry, "number");
      await line.ping();
      assert.equal(line.closed, undefined);
      await line.close();
    },

    "a flood of valid frames ends the connection with 1008": async (world) => {
      const account = await world.signUp();
      const line = await world.connect(account);
      const chat = directConversation(account.user, account.user);
      for (let count = 0; count < FRAMES_PER_SEND * SENDS_PER_MINUTE + 100; count++) {
        line.up({ type: "typing", conversation: chat });
      }
      assert.equal((await line.end(FLOOD_MS)).code, closeCodes.flooding);
    },

    "one address may open so many links for new devices, whatever it says of itself": (world) =>
      expectCapped(world, "device_link_ip", openDeviceLink, () => ({ deviceName: "laptop" })),

    "send abuse: one address may ask for so many codes, whatever it says of itself": (world) =>
      expectCapped(world, "code_ip", requestCode, () => ({ phone: world.newPhone() })),

    "brute force: one address may guess so often, whatever it says of itself": (world) =>
      expectCapped(world, "guess_ip", signIn, () => ({
        phone: world.newPhone(),
        code: "000000",
        device: { name: "phone" },
      })),

    "a body that does not say how long it is is refused with 411, and the system goes on": async (world) => {
      const body = new ReadableStream({
        start(controller) {
          for (let sent = 0; sent < 3 * MAX_FRAME_BYTES; sent += 1_024) controller.enqueue(Buffer.alloc(1_024, " "));
          controller.close();
        },
      });
      const init = { method: "POST", body, duplex: "half", headers: { "content-type": "application/json" } };
      expectRefusal(await world.http.send("/v1/sign-in/code", init as RequestInit), 411, "bad_frame");
      await world.http.get(health);
    },
  },
  { isStrict: true },
);
