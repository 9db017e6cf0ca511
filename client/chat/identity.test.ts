import { describe, expect, test } from "vitest";
import { alice, bob, carol, newServer, open, openOffline, sendAll, soon } from "../../test/fake/chats.ts";

async function friends() {
  const server = newServer();
  const a = await openOffline(server, alice, "A1");
  a.chat.connection.open();
  const b = await open(server, bob, "B1");
  const conversation = b.conversations.direct(alice);
  await sendAll(a.chat, conversation, ["hello"]);
  await soon(b, conversation).toEqual(["hello"]);
  await sendAll(b, conversation, ["hi"]);
  await soon(a.chat, conversation).toEqual(["hello", "hi"]);
  return { server, a, b, conversation };
}

describe("who somebody is", () => {
  test("both see the same safety number, made of both fingerprints", async () => {
    const { a, b } = await friends();
    const number = await a.chat.identity.safetyNumber(bob);
    expect(number).toMatch(/^(\d{5} ){11}\d{5}$/);
    expect(await b.identity.safetyNumber(alice)).toBe(number);
    for (const chat of [a.chat, b]) expect(number).toContain(await chat.identity.fingerprint());
  });

  test("who scans the other's code has verified them, after a restart too", async () => {
    const { a, b } = await friends();
    expect(a.chat.identity.status(bob)).toEqual({
      since: expect.any(Number),
      verifiedAt: undefined,
      isUnconfirmed: false,
    });
    expect(await a.chat.identity.verify(bob, b.identity.safetyCode(alice))).toBe("match");
    expect(a.chat.identity.status(bob)?.verifiedAt).toBeGreaterThan(0);
    expect(b.identity.status(alice)?.verifiedAt).toBeUndefined();
    const { chat } = await a.reopen();
    expect(chat.identity.status(bob)?.verifiedAt).toBeGreaterThan(0);
  });

  test("so has who compares the digits", async () => {
    const { a, b } = await friends();
    const number = await b.identity.safetyNumber(alice);
    expect(await a.chat.identity.verify(bob, number.replaceAll(" ", ""))).toBe("match");
    expect(a.chat.identity.status(bob)?.verifiedAt).toBeGreaterThan(0);
  });

  test("nobody is verified by another number, another's code, or what is no code", async () => {
    const { server, a, b } = await friends();
    const c = await open(server, carol, "C1");
    await sendAll(c, c.conversations.direct(bob), ["hello"]);
    await soon(b, c.conversations.direct(bob)).toEqual(["hello"]);
    const { identity } = a.chat;
    const number = await identity.safetyNumber(bob);
    const other = number.endsWith("0") ? "1" : "0";
    expect(await identity.verify(bob, number.slice(0, -1) + other)).toBe("mismatch");
    expect(await identity.verify(bob, b.identity.safetyCode(carol))).toBe("other_people");
    const forged = b.identity.safetyCode(alice).replace(/key=.{10}/, "key=AAAAAAAAAA");
    expect(await identity.verify(bob, forged)).toBe("mismatch");
    await expect(identity.verify(bob, "https://example.org")).rejects.toMatchObject({ code: "code_malformed" });
    expect(identity.status(bob)?.verifiedAt).toBeUndefined();
  });

  test("a key that changes is told, and was not compared", async () => {
    const { server, a, b, conversation } = await friends();
    await a.chat.identity.verify(bob, b.identity.safetyCode(alice));
    const before = await a.chat.identity.safetyNumber(bob);
    const changes: unknown[] = [];
    a.chat.on("key_changed", ({ user, wasVerified }) => changes.push({ user, wasVerified }));
    const anew = await open(server, bob, "B2", { resetIdentity: true });
    await sendAll(anew, conversation, ["new phone"]);
    await expect.poll(() => changes).toEqual([{ user: bob, wasVerified: true }]);
    expect(a.chat.identity.status(bob)?.verifiedAt).toBeUndefined();
    expect(await a.chat.identity.safetyNumber(bob)).not.toBe(before);
    expect(await a.chat.identity.verify(bob, before)).toBe("mismatch");
  });

  test("somebody whom this device has not met", async () => {
    const { a } = await friends();
    const { identity } = a.chat;
    expect(identity.status(carol)).toBeUndefined();
    expect(() => identity.safetyCode(carol)).toThrow(expect.objectContaining({ code: "not_found" }));
    await expect(identity.safetyNumber(carol)).rejects.toMatchObject({ name: "ChatError", code: "not_found" });
    await expect(identity.verify(carol, "1".repeat(60))).rejects.toMatchObject({ code: "not_found" });
  });
});
