import { describe, expect, test, vi } from "vitest";
import { alice, bob, newServer, open, sendAll, soon } from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import { makeAccountKey } from "../identity/account-key.ts";

/** Nobody wants to wait here for what devices wait for to keep out of each other's way. */
vi.mock("../../shared/limits.ts", async (original) => ({
  ...(await original<typeof import("../../shared/limits.ts")>()),
  MIN_RECONCILIATION_DELAY_MS: 20,
  MAX_RECONCILIATION_DELAY_MS: 200,
  ASK_AFTER_MS: 50,
  ANSWER_WITHIN_MS: 50,
}));

/** From now on this person is shown nothing, not even commits: a server may, and what was lost of a log looks the same. */
function hide(server: FakeServer, user: string): () => void {
  const hidden = new Set<string>();
  let isHiding = true;
  server.tamper.entry = (entry, to) => {
    if (server.devices.get(to)?.user !== user || entry.user === user) return entry;
    if (isHiding) hidden.add(entry.id);
    return hidden.has(entry.id) ? undefined : entry;
  };
  return () => {
    isHiding = false;
  };
}

describe("R12 what was hidden from somebody, commits included", { timeout: 30_000 }, () => {
  test("had the group's beginning in it: they join, and talk", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const b = await open(server, bob, "B1");
    const chat = a.conversations.direct(bob);
    const show = hide(server, bob);
    await sendAll(a, chat, ["hidden"]);
    show();
    await sendAll(a, chat, ["the first that comes"]);
    await expect.poll(() => b.conversations.members(chat), { timeout: 10_000 }).toEqual([alice, bob]);
    await sendAll(a, chat, ["and the next"]);
    await soon(b, chat).toContain("and the next");
    await sendAll(b, chat, ["an answer"]);
    await soon(a, chat).toEqual(["hidden", "the first that comes", "and the next", "an answer"]);
  });

  test("had another device's joining in it: they find their place again, and what they could not open is said again", async () => {
    const server = newServer();
    const accountKey = await makeAccountKey();
    const a = await open(server, alice, "A1", { accountKey });
    const b = await open(server, bob, "B1");
    const chat = a.conversations.direct(bob);
    await sendAll(a, chat, ["before"]);
    await soon(b, chat).toEqual(["before"]);
    const show = hide(server, bob);
    await sendAll(a, chat, ["hidden"]);
    const laptop = await open(server, alice, "A2", { accountKey });
    await sendAll(laptop, chat, ["hidden too"]);
    await soon(a, chat).toContain("hidden too");
    show();
    await sendAll(a, chat, ["after"]);
    await soon(b, chat).toEqual(["before", "after"]);
    await sendAll(laptop, chat, ["from the laptop"]);
    await soon(b, chat).toEqual(["before", "after", "from the laptop"]);
    await sendAll(b, chat, ["an answer"]);
    await soon(laptop, chat).toContain("an answer");
  });
});
