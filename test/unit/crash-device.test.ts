import { expect, test } from "vitest";
import { encodeContent } from "../../client/content.ts";
import { MemoryStore } from "../../client/index.ts";
import { directConversation } from "../../shared/ids.ts";
import { DeviceBook } from "../crash/device-book.ts";
import { History } from "../crash/history.ts";
import { RecordingStore } from "../crash/recording-store.ts";

const owner = { user: "01AAAAAAAAAAAAAAAAAAAAAAAA", device: "01DDDDDDDDDDDDDDDDDDDDDDDD" };
const conversation = directConversation(owner.user, "01GGGGGGGGGGGGGGGGGGGGGGGG");
const bytes = (text: string) => encodeContent({ kind: "text", text });
const queued = (id: string, text: string) =>
  ({ type: "queue", conversation, id, at: 1, content: bytes(text) }) as const;

test("what reaches the store after the app's death is neither stored nor history", async () => {
  const [history, memory] = [new History(), new MemoryStore()];
  const book = new DeviceBook(owner, history);
  const store = new RecordingStore(memory, book);
  await store.load(owner);
  await store.persist([queued("m1", "one")]);
  store.cut();
  await expect(store.persist([{ type: "sent", conversation, id: "m1", seq: 1, at: 1 }])).rejects.toThrow();
  expect(history.records.filter(({ op }) => op === "send" || op === "apply")).toEqual([]);
  expect((await memory.load(owner)).outbox).toMatchObject([{ id: "m1" }]);
});

test("a crashed app still owes what is in its store, and nothing else", () => {
  const book = new DeviceBook(owner, new History());
  book.sends(conversation, bytes("in the outbox"));
  book.persisted([queued("m1", "in the outbox")]);
  book.sends(conversation, bytes("not yet"));
  book.crashed();
  expect(book.openCount).toBe(1);
});

test("nobody knows what becomes of what is under way when the connection breaks", () => {
  const history = new History();
  const book = new DeviceBook(owner, history);
  book.sends(conversation, bytes("one"));
  book.disconnected();
  expect(history.records.at(-1)).toMatchObject({ op: "send", type: "info", conversation });
});
