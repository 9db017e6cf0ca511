import { describe, expect, test } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { REMEMBERED_REQUEST_WRITES } from "../../shared/limits.ts";
import { alice, bob, deviceOf, mls, newServer, open } from "../../test/fake/chats.ts";
import type { Content } from "../content.ts";
import type { Change } from "../session/contract.ts";
import { MemoryStore } from "../store/memory.ts";
import { Engine } from "./engine.ts";
import { Requests } from "./requests.ts";

const conversation = directConversation(alice, bob);
const idOf = (number: number) => `01J${String(number).padStart(23, "0")}`;
const hello: Content = { kind: "text", text: "hello" };
const queue = (number: number, request?: string): Change => ({
  ...{ type: "queue", conversation, id: idOf(number), at: number, content: new Uint8Array(1) },
  ...(request !== undefined && { request }),
});

/** What is written, as a store keeps it. */
class Records {
  readonly kept = new Map<string, Uint8Array>();

  write(requests: Requests, ...changes: Change[]): number {
    const records = requests.recordsOf(changes);
    for (const { key, value } of records) if (value) this.kept.set(key, value);
    return records.length;
  }

  async records(prefix: string): Promise<[string, Uint8Array][]> {
    return [...this.kept].filter(([key]) => key.startsWith(prefix));
  }
}

describe("what was asked for under a name", () => {
  test("is found under it, then and in a later run", async () => {
    const store = new Records();
    const requests = await Requests.load(store);
    expect(store.write(requests, queue(1, "a"), queue(2), queue(3, "b"))).toBe(1);
    for (const found of [requests, await Requests.load(store)]) {
      expect(found.find("a")).toEqual({ request: "a", conversation, id: idOf(1), at: 1 });
      expect(found.find("b")).toMatchObject({ id: idOf(3) });
      expect(found.find("c")).toBeUndefined();
    }
  });

  test("costs nothing where nobody gives names", async () => {
    const store = new Records();
    expect(store.write(await Requests.load(store), queue(1), queue(2))).toBe(0);
  });

  test("goes by another id once the message does", async () => {
    const store = new Records();
    const requests = await Requests.load(store);
    store.write(requests, queue(1, "a"));
    store.write(requests, { type: "rename", conversation, id: idOf(1), newId: idOf(2), at: 2 });
    expect(requests.find("a")).toMatchObject({ id: idOf(1) });
    requests.renamed({ id: idOf(1), newId: idOf(2) });
    expect(requests.find("a")).toMatchObject({ id: idOf(2) });
    expect((await Requests.load(store)).find("a")).toMatchObject({ id: idOf(2) });
  });

  test("is remembered for so many writes, however many runs they are spread over", async () => {
    const store = new Records();
    for (let run = 0; run < 3; run++) {
      const requests = await Requests.load(store);
      for (let number = 0; number < REMEMBERED_REQUEST_WRITES / 2; number++) {
        store.write(requests, queue(number, `${run} ${number}`));
      }
    }
    const requests = await Requests.load(store);
    expect(store.kept.size).toBe(REMEMBERED_REQUEST_WRITES);
    expect([requests.find("0 0"), requests.find(`0 ${REMEMBERED_REQUEST_WRITES / 2 - 1}`)]).toEqual([
      undefined,
      undefined,
    ]);
    expect(requests.find("1 0")).toBeDefined();
    expect(requests.find(`2 ${REMEMBERED_REQUEST_WRITES / 2 - 1}`)).toBeDefined();
  });
});

describe("a message that is asked for again in a later run", () => {
  async function device() {
    const server = newServer();
    const store = new MemoryStore();
    const { account, transport } = server.signIn(alice, deviceOf("A1"));
    return { server, run: () => Engine.open({ account, store, client: "test 1", transport, mls }) };
  }

  test("is the same one, and is sent once", async () => {
    const { server, run } = await device();
    await open(server, bob, "B1");
    const before = await run();
    const { id } = await before.send(conversation, hello, "r1");
    const engine = await run();
    const again = await engine.requested("r1");
    expect(again?.id).toBe(id);
    engine.dispatch({ type: "connect" });
    const place = await again?.sent;
    expect((await engine.store.messages(conversation, { limit: 9 })).filter((row) => row.id === id)).toMatchObject([
      place,
    ]);
    expect(server.conversation(conversation).log.filter((entry) => entry.id === id)).toHaveLength(1);
    const later = await run();
    expect(await (await later.requested("r1"))?.sent).toEqual(place);
    expect(await later.requested("r2")).toBeUndefined();
    await Promise.all([engine.close(), later.close()]);
  });

  test("can be followed without its name, as when that is forgotten", async () => {
    const { server, run } = await device();
    await open(server, bob, "B1");
    const before = await run();
    const message = await before.send(conversation, hello);
    const engine = await run();
    const again = await engine.follow(message);
    engine.dispatch({ type: "connect" });
    expect(await engine.follow(message)).toBe(again);
    const place = await again.sent;
    expect(await (await engine.follow(message)).sent).toEqual(place);
    await engine.close();
  });

  test("is rejected if it has failed, put away or not", async () => {
    const { run } = await device();
    const engine = await run();
    engine.dispatch({ type: "connect" });
    const message = await engine.send(conversation, hello, "r1");
    await expect(message.sent).rejects.toMatchObject({ code: "not_found" });
    await engine.close();
    const later = await run();
    await expect((await later.requested("r1"))?.sent).rejects.toMatchObject({ code: "not_found" });
    await later.hide(message);
    await expect((await later.requested("r1"))?.sent).rejects.toMatchObject({ code: "not_found" });
    await later.close();
  });
});
