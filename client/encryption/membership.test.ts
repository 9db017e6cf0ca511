import { describe, expect, test } from "vitest";
import { alice, bob, carol, deviceOf, newServer, type Opened, openOffline, soon } from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import { ChatError } from "../chat-error.ts";
import type { DeliveryService } from "./delivery-service.ts";

/** A device of somebody's, whose calls go through this. */
async function openThrough(
  server: FakeServer,
  user: string,
  name: string,
  calls: (service: DeliveryService) => Partial<DeliveryService>,
): Promise<Opened> {
  const { account } = server.signIn(user, deviceOf(name));
  const delivery = { ...account.delivery, ...calls(account.delivery) };
  const opened = await openOffline(server, user, name, { account: { ...account, delivery } });
  opened.chat.connection.open();
  await opened.chat.connection.caughtUp();
  return opened;
}

const unavailable = () => Promise.reject(new ChatError("unavailable"));
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms, "nothing"));

describe("membership", { timeout: 30_000 }, () => {
  test("what is wanted fails while something waits to be sent there: it is sent all the same", async () => {
    const server = newServer();
    const gate = Promise.withResolvers<void>();
    let isFirst = true;
    const { chat: a } = await openThrough(server, alice, "A1", (service) => ({
      group: async (conversation) => {
        if (!isFirst) return service.group(conversation);
        isFirst = false;
        await gate.promise;
        return unavailable();
      },
    }));
    const { chat: b } = await openOffline(server, bob, "B1");
    b.connection.open();
    const conversation = a.conversations.direct(bob);
    const wanted = a.conversations.change(conversation, {});
    const message = await a.messages.send(conversation, "hello");
    await later(200);
    gate.resolve();
    await expect(wanted).rejects.toMatchObject({ code: "unavailable" });
    await expect(Promise.race([message.sent, later(5_000)])).resolves.toMatchObject({ seq: 2 });
    await soon(b, conversation).toEqual(["hello"]);
  });

  test("what is wanted while the server cannot be had is refused, also where something waits to be sent", async () => {
    const server = newServer();
    let isAway = true;
    const { chat: a } = await openThrough(server, alice, "A1", (service) => ({
      group: (conversation) => (isAway ? unavailable() : service.group(conversation)),
    }));
    await openOffline(server, bob, "B1");
    const conversation = a.conversations.direct(bob);
    const message = await a.messages.send(conversation, "hello");
    await later(200);
    const wanted = a.conversations.change(conversation, {}).catch(({ code }) => code);
    await expect(Promise.race([wanted, later(3_000)])).resolves.toBe("unavailable");
    isAway = false;
    await expect(message.sent).resolves.toMatchObject({ seq: 2 });
  });

  test("what is wanted does not hold because the chat was closed", async () => {
    const server = newServer();
    const gate = Promise.withResolvers<void>();
    const { chat: a } = await openThrough(server, alice, "A1", (service) => ({
      claim: async (...claimed) => {
        await gate.promise;
        return service.claim(...claimed);
      },
    }));
    await openOffline(server, bob, "B1");
    const wanted = a.conversations.createGroup([bob]).then(
      () => "it holds",
      ({ code }) => code,
    );
    await later(100);
    await a[Symbol.asyncDispose]();
    gate.resolve();
    await expect(wanted).resolves.toBe("closed");
    await expect(
      a.conversations.createGroup([bob]).then(
        () => "it holds",
        ({ code }) => code,
      ),
    ).resolves.toBe("closed");
  });

  test("nothing keeps the process alive once the chat is closed", async () => {
    const timers = new Set<unknown>();
    const [set, clear] = [globalThis.setTimeout, globalThis.clearTimeout];
    const server = newServer();
    const { chat: a } = await openThrough(server, alice, "A1", () => ({ group: unavailable }));
    await openOffline(server, bob, "B1");
    globalThis.setTimeout = ((work: () => void, ms: number) => {
      const timer = set(() => {
        timers.delete(timer);
        work();
      }, ms);
      timers.add(timer);
      return timer;
    }) as typeof setTimeout;
    globalThis.clearTimeout = ((timer: NodeJS.Timeout) => {
      timers.delete(timer);
      clear(timer);
    }) as typeof clearTimeout;
    try {
      await a.messages.send(a.conversations.direct(bob), "hello");
      await new Promise((resolve) => set(resolve, 300));
      expect(timers.size).toBeGreaterThan(0);
      await a[Symbol.asyncDispose]();
      expect(timers.size).toBe(0);
    } finally {
      [globalThis.setTimeout, globalThis.clearTimeout] = [set, clear];
    }
  });

  test("a commit of its own that the server keeps back: the device finds another way in", async () => {
    const server = newServer();
    const { chat: a } = await openOffline(server, alice, "A1");
    await openOffline(server, bob, "B1");
    server.tamper.entry = (entry, to) => (to === deviceOf("A1") && entry.seq === 1 ? undefined : entry);
    a.connection.open();
    await a.connection.caughtUp();
    const conversation = a.conversations.direct(bob);
    const message = await a.messages.send(conversation, "hello");
    await expect.poll(() => server.conversation(conversation).log.length).toBe(1);
    a.connection.close();
    a.connection.open();
    await expect(Promise.race([message.sent, later(15_000)])).resolves.toMatchObject({ seq: 3 });
  });

  test("somebody who cannot be brought in: nobody is told that they were", async () => {
    const server = newServer();
    const { chat: a } = await openOffline(server, alice, "A1");
    await openOffline(server, bob, "B1");
    await openOffline(server, carol, "C1");
    a.connection.open();
    await a.connection.caughtUp();
    // Away for so long that all have expired.
    server.devices.get(deviceOf("B1"))?.packages.splice(0);
    await expect(a.conversations.createGroup([bob])).rejects.toMatchObject({ code: "unavailable" });
    const group = await a.conversations.createGroup([carol]);
    await expect(a.conversations.add(group, [bob])).rejects.toMatchObject({ code: "unavailable" });
  });

  test("a message to somebody who cannot be brought in waits until they can", async () => {
    const server = newServer();
    const { chat: a } = await openOffline(server, alice, "A1");
    const { chat: b } = await openOffline(server, bob, "B1");
    a.connection.open();
    await a.connection.caughtUp();
    const known = server.devices.get(deviceOf("B1"))?.packages ?? [];
    const packages = known.splice(0);
    const conversation = a.conversations.direct(bob);
    await a.messages.send(conversation, "hello");
    await later(1_000);
    expect(server.conversation(conversation).log).toHaveLength(0);
    known.push(...packages);
    b.connection.open();
    await soon(b, conversation).toEqual(["hello"]);
  });
});
