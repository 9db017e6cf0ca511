import type { SessionStore } from "../session-store.ts";
import { assertEqual, assertRejects } from "./assert.ts";
import type { MessagePage, Owner, PlacedMessage, Store, StoreChange, StoredMessage } from "./store.ts";

type DeviceStore = Store & SessionStore;

/** A kind of store under test. */
export interface StoreKind {
  /** An empty one. */
  open(): Promise<DeviceStore>;
  /** The same store after the app has ended and begun again. */
  reopen(store: DeviceStore): Promise<DeviceStore>;
}

/** One thing that every store does, in whatever runs it. */
export interface StoreCase {
  readonly name: string;
  /** @throws if the store does not */
  run(kind: StoreKind): Promise<void>;
}

export const owner: Owner = { user: "01HZZZZZZZZZZZZZZZZZZZZZZA", device: "01HZZZZZZZZZZZZZZZZZZZZZZD" };
const peer = "01HZZZZZZZZZZZZZZZZZZZZZZB";
export const chat = `${owner.user}.${peer}`;
const group = "01HZZZZZZZZZZZZZZZZZZZZZZG";

export const idOf = (number: number) => `01J00000000000000000${String(number).padStart(6, "0")}`;
const received = (seq: number) => idOf(500_000 + seq);
const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (content: Uint8Array) => new TextDecoder().decode(content);

export const queue = (number: number, conversation = chat): StoreChange => ({
  ...{ type: "queue", conversation, id: idOf(number), at: number, content: bytes(`text ${number}`) },
});
const sealed = (number: number, body: string, conversation = chat): StoreChange => ({
  ...{ type: "sealed", conversation, id: idOf(number), body: bytes(body) },
});
const rename = (number: number, newNumber: number): StoreChange => ({
  ...{ type: "rename", conversation: chat, id: idOf(number), newId: idOf(newNumber), at: 9 },
});
const sent = (number: number, seq: number, conversation = chat): StoreChange => ({
  ...{ type: "sent", conversation, id: idOf(number), seq, at: 77 },
});
const failed = (number: number): StoreChange => ({
  ...{ type: "failed", conversation: chat, id: idOf(number), code: "too_large" },
});
export const message = (seq: number, part: Partial<PlacedMessage> = {}): StoreChange => ({
  ...{ type: "message", conversation: chat, seq, id: received(seq), user: peer, device: peer, at: seq },
  ...{ content: bytes(`from peer ${seq}`), isEvent: false },
  ...part,
});
const cursor = (have: number): StoreChange => ({ type: "cursor", conversation: chat, have });
const read = (seq: number): StoreChange => ({ type: "read", conversation: chat, seq });
const record = (key: string, value: Uint8Array | undefined): StoreChange => ({ type: "record", key, value });

/** Opens, runs and closes; `reload` begins anew with what has lasted. */
class Device {
  readonly #kind: StoreKind;
  store: DeviceStore;

  constructor(kind: StoreKind, store: DeviceStore) {
    this.#kind = kind;
    this.store = store;
  }

  persist(...changes: readonly StoreChange[]) {
    return this.store.persist(changes);
  }

  load() {
    return this.store.load(owner);
  }

  async reload() {
    this.store = await this.#kind.reopen(this.store);
    return this.load();
  }

  async texts(page: MessagePage = { limit: 100 }) {
    return textsOf(await this.store.messages(chat, page));
  }
}

function textsOf(messages: readonly StoredMessage[]) {
  return messages.map(({ seq, content }) => [seq, textOf(content)]);
}

const cases: StoreCase[] = [];

function storeCase(name: string, run: (device: Device) => Promise<void>): void {
  cases.push({
    name,
    async run(kind) {
      const device = new Device(kind, await kind.open());
      try {
        await device.load();
        await run(device);
      } finally {
        await device.store.close();
      }
    },
  });
}

storeCase("a new one is empty", async (device) => {
  assertEqual(await device.load(), { lastMinted: undefined, conversations: [], outbox: [] });
  assertEqual(await device.store.conversations(), []);
  assertEqual(await device.texts(), []);
  assertEqual(await device.store.scan(chat, 0, 10), []);
  assertEqual(await device.store.find(chat, idOf(1)), undefined);
  assertEqual(await device.store.records(""), []);
  assertEqual((await device.load()).conversations, []);
});

storeCase("it opens for its owner only", async (device) => {
  await device.reload();
  await assertRejects(device.store.load({ ...owner, user: peer }));
  await assertRejects(device.store.load({ ...owner, device: peer }));
});

// ── the outbox ──────────────────────────────────────────────────────────────────────────────────────────────────────

storeCase("a queued message is in the outbox, not sealed, and its id is the last one minted", async (device) => {
  await device.persist(queue(1), queue(2, group));
  await device.persist(queue(3));
  const { outbox, lastMinted } = await device.reload();
  assertEqual(outbox, [
    { conversation: chat, id: idOf(1), content: bytes("text 1") },
    { conversation: group, id: idOf(2), content: bytes("text 2") },
    { conversation: chat, id: idOf(3), content: bytes("text 3") },
  ]);
  assertEqual(outbox.flatMap(Object.keys).includes("body"), false);
  assertEqual(lastMinted, idOf(3));
  const { isEvent, failure, ...pending } = (await device.store.messages(chat, { limit: 10 }))[0] ?? {};
  assertEqual(pending, { conversation: chat, id: idOf(1), at: 1, content: bytes("text 1"), ...owner });
  assertEqual([isEvent, failure], [false, undefined]);
});

storeCase("what a message is sealed to lasts beside its content, until it is sealed anew", async (device) => {
  await device.persist(queue(1), queue(2), queue(3, group));
  await device.persist(sealed(2, "first"), sealed(3, "other", group));
  await device.persist(sealed(2, "second"));
  const { outbox } = await device.reload();
  assertEqual(outbox, [
    { conversation: chat, id: idOf(1), content: bytes("text 1") },
    { conversation: chat, id: idOf(2), content: bytes("text 2"), body: bytes("second") },
    { conversation: group, id: idOf(3), content: bytes("text 3"), body: bytes("other") },
  ]);
});

storeCase("a sent message leaves the outbox and takes its place and time", async (device) => {
  await device.persist(queue(1), message(1));
  await device.persist(sealed(1, "sealed"));
  await device.persist(sent(1, 2), cursor(2));
  const { outbox, conversations } = await device.reload();
  assertEqual(outbox, []);
  assertEqual(conversations, [{ conversation: chat, have: 2, read: 0, readConfirmed: 0, peers: [], ahead: [] }]);
  assertEqual(await device.store.messages(chat, { limit: 10 }), [
    { ...message(1), type: undefined, failure: undefined },
    { conversation: chat, seq: 2, id: idOf(1), ...owner, at: 77, content: bytes("text 1"), isEvent: false },
  ]);
});

storeCase("a place above the cursor is reported as ahead", async (device) => {
  await device.persist(queue(1), queue(2), cursor(2), sent(2, 7), sent(1, 5));
  assertEqual((await device.reload()).conversations[0]?.ahead, [5, 7]);
});

storeCase("what others wrote is never ahead: above the cursor it was imported", async (device) => {
  await device.persist(queue(1), message(2), message(5), sent(1, 7));
  assertEqual((await device.reload()).conversations[0]?.ahead, [7]);
});

storeCase(
  "a renamed message keeps its place in the outbox and what it says, and is not sealed any more",
  async (device) => {
    await device.persist(queue(1), queue(2));
    await device.persist(sealed(1, "names the old id"), sealed(2, "sealed"));
    await device.persist(rename(1, 3));
    const { outbox, lastMinted } = await device.reload();
    assertEqual(outbox, [
      { conversation: chat, id: idOf(3), content: bytes("text 1") },
      { conversation: chat, id: idOf(2), content: bytes("text 2"), body: bytes("sealed") },
    ]);
    assertEqual(lastMinted, idOf(3));
    assertEqual((await device.store.find(chat, idOf(3)))?.at, 9);
    assertEqual(await device.store.find(chat, idOf(1)), undefined);
    await device.persist(sent(3, 1));
    assertEqual(await device.texts(), [
      [1, "text 1"],
      [undefined, "text 2"],
    ]);
  },
);

storeCase("a failed message leaves the outbox and is kept with the reason, in the order of sending", async (device) => {
  await device.persist(queue(1), queue(2), sealed(1, "sealed"));
  await device.persist(failed(1));
  await device.persist(queue(3));
  assertEqual(
    (await device.reload()).outbox.map(({ id }) => id),
    [idOf(2), idOf(3)],
  );
  const kept = await device.store.messages(chat, { limit: 10 });
  assertEqual(
    kept.map(({ id, failure }) => [id, failure]),
    [
      [idOf(1), "too_large"],
      [idOf(2), undefined],
      [idOf(3), undefined],
    ],
  );
});

storeCase("what is said of a message that has left the outbox changes nothing", async (device) => {
  await device.persist(queue(1), queue(2), failed(1), sent(2, 1));
  for (const number of [1, 2, 3]) {
    await device.persist(sealed(number, "late"), rename(number, 9), sent(number, 5), failed(number));
  }
  assertEqual((await device.reload()).outbox, []);
  assertEqual(await device.texts(), [
    [1, "text 2"],
    [undefined, "text 1"],
  ]);
  assertEqual((await device.store.find(chat, idOf(1)))?.failure, "too_large");
});

storeCase("the parts of a write are applied in their order", async (device) => {
  const first = [queue(1), sealed(1, "a"), rename(1, 2), sealed(2, "b"), queue(3), sent(2, 4), cursor(1), cursor(3)];
  await device.persist(...first, message(3), message(3, { content: bytes("other") }), record("k", bytes("1")));
  await device.persist(
    record("k", undefined),
    record("k", bytes("2")),
    record("l", bytes("1")),
    record("l", undefined),
  );
  const { outbox, conversations, lastMinted } = await device.reload();
  assertEqual([outbox.map(({ id }) => id), lastMinted], [[idOf(3)], idOf(3)]);
  assertEqual([conversations[0]?.have, conversations[0]?.ahead], [3, [4]]);
  assertEqual(await device.texts(), [
    [3, "from peer 3"],
    [4, "text 1"],
    [undefined, "text 3"],
  ]);
  assertEqual(await device.store.records(""), [["k", bytes("2")]]);
});

// ── what is in a conversation ───────────────────────────────────────────────────────────────────────────────────────

storeCase("a message that is there already stays as it is", async (device) => {
  await device.persist(message(1));
  await device.persist(message(1, { id: idOf(9), content: bytes("other"), isEvent: true }));
  await device.reload();
  assertEqual(await device.store.messages(chat, { limit: 10 }), [{ ...message(1), type: undefined }]);
});

storeCase("another content takes the place of one that is there, and of nothing else", async (device) => {
  const replace = (seq: number, isEvent: boolean): StoreChange => ({
    ...{ type: "replace", conversation: chat, seq, content: bytes("replaced"), isEvent },
  });
  await device.persist(message(1), message(2, { isEvent: true }), message(3));
  await device.persist(replace(1, true), replace(2, false), replace(4, false), message(5), replace(5, false));
  await device.reload();
  assertEqual(await device.store.messages(chat, { limit: 10 }), [
    { ...message(1, { content: bytes("replaced"), isEvent: true }), type: undefined },
    { ...message(2, { content: bytes("replaced"), isEvent: false }), type: undefined },
    { ...message(3), type: undefined },
    { ...message(5, { content: bytes("replaced") }), type: undefined },
  ]);
  assertEqual((await device.store.conversations())[0]?.unread, 3);
});

storeCase("a message that failed can go, and none that waits or has its place", async (device) => {
  const drop = (number: number): StoreChange => ({ type: "drop", conversation: chat, id: idOf(number) });
  await device.persist(queue(1), queue(2), queue(3), failed(1), sent(3, 1), drop(1), drop(2), drop(3), drop(4));
  await device.reload();
  assertEqual(await device.texts(), [
    [1, "text 3"],
    [undefined, "text 2"],
  ]);
  assertEqual(await device.store.find(chat, idOf(1)), undefined);
});

storeCase("pages end at `before`, hold the last `limit` messages and have the pending ones last", async (device) => {
  const far = [6, 7, 1_000, 1_000_000].map((seq) => message(seq));
  await device.persist(...[1, 2, 3, 4, 5].map((seq) => message(seq)), queue(1), ...far, queue(2, group));
  const seqs = async (page: MessagePage) => (await device.store.messages(chat, page)).map(({ seq }) => seq);
  assertEqual(await seqs({ limit: 3 }), [1_000, 1_000_000, undefined]);
  assertEqual(await seqs({ before: 4, limit: 2 }), [2, 3]);
  assertEqual(await seqs({ before: 1_000_001, limit: 6 }), [4, 5, 6, 7, 1_000, 1_000_000]);
  assertEqual(await seqs({ before: 2, limit: 10 }), [1]);
  assertEqual(await seqs({ before: 1, limit: 10 }), []);
  assertEqual(await seqs({ limit: 1 }), [undefined]);
  assertEqual(await seqs({ limit: 100 }), [1, 2, 3, 4, 5, 6, 7, 1_000, 1_000_000, undefined]);
});

storeCase("a conversation is gone through from place to place", async (device) => {
  await device.persist(
    message(9),
    message(2, { isEvent: true }),
    message(5),
    queue(1),
    message(1, { conversation: group }),
  );
  const seqs = async (after: number, limit: number) =>
    (await device.store.scan(chat, after, limit)).map(({ seq }) => seq);
  assertEqual(await seqs(0, 10), [2, 5, 9]);
  assertEqual(await seqs(2, 1), [5]);
  assertEqual(await seqs(9, 10), []);
  assertEqual((await device.store.scan(chat, 0, 1))[0], { ...message(2, { isEvent: true }), type: undefined });
});

storeCase("a message is found by its id, wherever it stands", async (device) => {
  await device.persist(
    message(4),
    message(8, { id: received(4) }),
    queue(1),
    queue(2),
    failed(2),
    queue(3),
    sent(3, 5),
  );
  await device.reload();
  const find = async (id: string, conversation = chat) => {
    const found = await device.store.find(conversation, id);
    return found && [found.seq, found.failure, textOf(found.content)];
  };
  assertEqual(await find(received(4)), [4, undefined, "from peer 4"]);
  assertEqual(await find(idOf(1)), [undefined, undefined, "text 1"]);
  assertEqual(await find(idOf(2)), [undefined, "too_large", "text 2"]);
  assertEqual(await find(idOf(3)), [5, undefined, "text 3"]);
  assertEqual(await find(received(4), group), undefined);
});

storeCase("read marks and receipts survive, receipts of the whole group beside those of a member", async (device) => {
  await device.persist(message(1), cursor(1), read(1));
  await device.persist(
    { type: "receipt", conversation: chat, user: peer, delivered: 1, read: 1 },
    { type: "receipt", conversation: chat, user: undefined, delivered: 1, read: 0 },
    { type: "receipt", conversation: chat, user: peer, delivered: 3, read: 2 },
  );
  const [before] = (await device.reload()).conversations;
  assertEqual([before?.have, before?.read, before?.readConfirmed], [1, 1, 0]);
  const peers = [...(before?.peers ?? [])].sort((a, b) => a.delivered - b.delivered);
  assertEqual(peers, [
    { user: undefined, delivered: 1, read: 0 },
    { user: peer, delivered: 3, read: 2 },
  ]);
  await device.persist({ type: "read_confirmed", conversation: chat, seq: 1 });
  assertEqual((await device.reload()).conversations[0]?.readConfirmed, 1);
});

storeCase(
  "a conversation is known by whatever is kept of it, and by nothing that is only asked or said",
  async (device) => {
    const [a, b, c, d] = ["a", "b", "c", "d"] as [string, string, string, string];
    await device.persist(queue(1, a), message(1, { conversation: b }));
    await device.persist({ type: "receipt", conversation: c, user: peer, delivered: 1, read: 1 });
    await device.persist(sealed(1, "x", d), sent(7, 1, d));
    await device.store.messages(d, { limit: 1 });
    const known = (await device.reload()).conversations.map(({ conversation }) => conversation);
    assertEqual(known.sort(), [a, b, c]);
    assertEqual((await device.store.conversations()).map(({ conversation }) => conversation).sort(), [a, b, c]);
  },
);

storeCase(
  "a summary counts what others wrote to be read above the read mark, and shows the last message",
  async (device) => {
    await device.persist(message(1), message(2), message(3, { isEvent: true }), message(4), queue(1), sent(1, 5));
    await device.persist(cursor(5), read(1));
    assertEqual(await device.store.conversations(), [
      { conversation: chat, have: 5, read: 1, unread: 2, peers: [], last: await device.store.find(chat, idOf(1)) },
    ]);
    await device.persist(queue(2), read(4));
    const [summary] = await device.store.conversations();
    assertEqual([summary?.unread, summary?.last?.id], [0, idOf(2)]);
  },
);

storeCase("conversations do not mix", async (device) => {
  await device.persist(message(1), message(1, { conversation: group }), queue(1, group), queue(2), sent(2, 2));
  assertEqual(await device.texts(), [
    [1, "from peer 1"],
    [2, "text 2"],
  ]);
  assertEqual(textsOf(await device.store.messages(group, { limit: 10 })), [
    [1, "from peer 1"],
    [undefined, "text 1"],
  ]);
  assertEqual((await device.reload()).conversations.length, 2);
});

// ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────────

storeCase("a record is what was last written under its key, until it is removed", async (device) => {
  await device.persist(record("a", bytes("1")), record("b", bytes("1")), record("empty", new Uint8Array(0)));
  await device.persist(record("a", bytes("2")), record("b", undefined), record("none", undefined));
  await device.reload();
  assertEqual(await device.store.record("a"), bytes("2"));
  assertEqual(await device.store.record("b"), undefined);
  assertEqual(await device.store.record("empty"), new Uint8Array(0));
  assertEqual(await device.store.record("none"), undefined);
});

storeCase("records come by the beginning of their keys, in the order of their keys", async (device) => {
  const keys = ["a", "a/", "a/10", "a/2", "a/%", "a/_", "a/B", "a/b", "a/~", "a0", "A/1", "b/1"];
  await device.persist(...keys.toReversed().map((key) => record(key, bytes(key))));
  const found = async (prefix: string) =>
    (await device.store.records(prefix)).map(([key, value]) => [key, textOf(value)]);
  const both = (some: string[]) => some.sort().map((key) => [key, key]);
  assertEqual(await found("a/"), both(keys.filter((key) => key.startsWith("a/"))));
  assertEqual(await found("a/_"), both(["a/_"]));
  assertEqual(await found(""), both(keys));
  assertEqual(await found("c"), []);
});

storeCase("the bytes that a store keeps are its own", async (device) => {
  const secret = bytes("secret");
  const content = bytes("content");
  await device.persist(record("key", secret), message(1, { content }));
  secret.fill(0);
  content.fill(0);
  (await device.store.record("key"))?.fill(0);
  (await device.store.records(""))[0]?.[1].fill(0);
  (await device.store.messages(chat, { limit: 1 }))[0]?.content.fill(0);
  assertEqual(await device.store.record("key"), bytes("secret"));
  assertEqual(await device.texts(), [[1, "content"]]);
});

storeCase("a large value comes back as it was", async (device) => {
  const large = Uint8Array.from({ length: 1024 * 1024 }, (_, index) => (index * 7 + (index >> 8)) & 0xff);
  await device.persist(
    record("large", large),
    message(1, { content: large }),
    message(2, { content: new Uint8Array(0) }),
  );
  await device.reload();
  assertEqual(await device.store.record("large"), large);
  const [first, second] = await device.store.messages(chat, { limit: 2 });
  assertEqual(first?.content, large);
  assertEqual(second?.content, new Uint8Array(0));
});

// ── all or nothing ──────────────────────────────────────────────────────────────────────────────────────────────────

const broken: readonly (readonly [why: string, change: StoreChange])[] = [
  ["a place is to be taken twice", sent(1, 1)],
  ["a change is of no known kind", { type: "nonsense" } as unknown as StoreChange],
];

for (const [why, change] of broken) {
  storeCase(`a write that breaks off leaves nothing: ${why}`, async (device) => {
    await device.persist(message(1), queue(1), queue(2), cursor(1), record("kept", bytes("1")));
    const before = await stateOf(device);
    const around = [queue(3), sealed(2, "x"), message(2), cursor(2), read(1), record("kept", undefined)];
    const replaced: StoreChange = { type: "replace", conversation: chat, seq: 1, content: bytes("x"), isEvent: true };
    await assertRejects(device.persist(...around, replaced, failed(2), change, record("new", bytes("2")), queue(4)));
    assertEqual(await stateOf(device), before);
    await device.reload();
    assertEqual(await stateOf(device), before);
    await device.persist(queue(5));
    assertEqual((await device.reload()).outbox.length, 3);
  });
}

async function stateOf(device: Device) {
  const { store } = device;
  return [
    await device.load(),
    await store.messages(chat, { limit: 100 }),
    await store.conversations(),
    await store.records(""),
  ];
}

storeCase(
  "writes that do not wait for each other take effect in the order in which they were asked for",
  async (device) => {
    const large = new Uint8Array(256 * 1024);
    const writes = [
      device.persist(queue(1), record("last", large)),
      device.persist(sealed(1, "a"), record("last", bytes("1"))),
    ];
    writes.push(
      device.persist(sent(1, 1), record("last", bytes("2"))),
      device.persist(message(1), record("last", bytes("3"))),
    );
    await Promise.all(writes);
    assertEqual(await device.store.record("last"), bytes("3"));
    assertEqual(await device.texts(), [[1, "text 1"]]);
  },
);

storeCase("ten thousand messages are kept, counted and paged through", async (device) => {
  const total = 10_000;
  for (let seq = 1; seq <= total; seq += 500) {
    await device.persist(...Array.from({ length: 500 }, (_, index) => message(seq + index)), cursor(seq + 499));
  }
  await device.reload();
  let last = 0;
  for (
    let page = await device.store.scan(chat, 0, 1_000);
    page.length > 0;
    page = await device.store.scan(chat, last, 1_000)
  ) {
    assertEqual(
      textsOf(page),
      page.map((_, index) => [last + index + 1, `from peer ${last + index + 1}`]),
    );
    last += page.length;
  }
  assertEqual(last, total);
  assertEqual(await device.texts({ limit: 2 }), [
    [total - 1, `from peer ${total - 1}`],
    [total, `from peer ${total}`],
  ]);
  assertEqual((await device.store.conversations())[0]?.unread, total);
});

// ── the session ─────────────────────────────────────────────────────────────────────────────────────────────────────

storeCase("a session is none at first, then the last one saved, and none again when it is removed", async (device) => {
  const saved = [
    { ...owner, refreshToken: "t1", isSignedOut: false },
    { ...owner, refreshToken: "t2", attempt: "a1", isSignedOut: false },
    { ...owner, attempt: "a2", isSignedOut: false },
    { ...owner, isSignedOut: true },
    undefined,
  ];
  assertEqual(await device.store.loadSession(), undefined);
  for (const session of saved) {
    await device.store.saveSession(session);
    await device.reload();
    assertEqual(await device.store.loadSession(), session);
  }
});

export const storeCases: readonly StoreCase[] = cases;
