import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { MAX_SEARCH_HITS } from "../../shared/limits.ts";
import type { Content } from "../content.ts";
import { chat, idOf, me, peer, seededRandom } from "../session/test-driver.ts";
import { type SearchDocument, SearchIndex } from "./search-index.ts";
import { searchableText } from "./searchable-text.ts";

const other = directConversation(me, me);
const message = (seq: number, text: string, conversation = chat): SearchDocument => {
  return { conversation, seq, id: idOf(seq), sender: peer, at: seq * 1_000, text };
};

async function indexOf(...documents: SearchDocument[]): Promise<SearchIndex> {
  const index = await SearchIndex.open();
  for (const document of documents) index.put(document);
  return index;
}
const found = (index: SearchIndex, query: string, scope = {}) => index.search(query, scope).map(({ seq }) => seq);

describe("a search", () => {
  test("finds messages with all the words, whatever their case and accents", async () => {
    const index = await indexOf(message(1, "The café in Łódź"), message(2, "the cafe"), message(3, "LODZ"));
    expect(found(index, "CAFE lodz")).toEqual([1]);
    expect(found(index, "the")).toEqual([2, 1]);
    expect(found(index, "café nowhere")).toEqual([]);
    expect(found(index, "")).toEqual([]);
    expect(found(index, "… !")).toEqual([]);
  });

  test("takes the last word for unfinished, and forgives one wrong letter in a long one", async () => {
    const index = await indexOf(message(1, "holiday pictures"), message(2, "hobby"), message(3, "call 0151234567"));
    expect(found(index, "holi")).toEqual([1]);
    expect(found(index, "pictures hol")).toEqual([1]);
    expect(found(index, "hol pictures")).toEqual([]);
    expect(found(index, "h")).toEqual([]);
    expect(found(index, "hollday")).toEqual([1]);
    expect(found(index, "hoby")).toEqual([]);
    expect(found(index, "0151234568")).toEqual([]);
  });

  test("finds any part of a sentence in Chinese and Japanese, and words in Thai", async () => {
    const index = await indexOf(
      message(1, "我在清华大学图书馆"),
      message(2, "東京都に住んでいます"),
      message(3, "ภาษาไทยง่าย"),
    );
    for (const query of ["清华大学", "大学", "华大", "图书馆", "馆", "我"])
      expect(found(index, query), query).toEqual([1]);
    for (const query of ["東京", "京都", "住んで", "す"]) expect(found(index, query), query).toEqual([2]);
    expect(found(index, "ไทย")).toEqual([3]);
    expect(found(index, "京华")).toEqual([]);
  });

  test("puts the best first, and of the equally good the newest", async () => {
    const index = await indexOf(
      message(1, "red car"),
      message(3, "red bus"),
      message(2, "red van"),
      message(4, "red a b c d"),
    );
    expect(found(index, "red")).toEqual([3, 2, 1, 4]);
    index.put(message(5, "redder car"));
    expect(found(index, "red")).toEqual([3, 2, 1, 4, 5]);
  });

  test("gives no more than it is asked for, and the newest of many", async () => {
    const index = await SearchIndex.open();
    await index.addAll(Array.from({ length: 300 }, (_, seq) => message(seq + 1, "same words")));
    expect(found(index, "words", { limit: 3 })).toEqual([300, 299, 298]);
    expect(found(index, "words", { limit: 1_000 })).toHaveLength(MAX_SEARCH_HITS);
    expect(found(index, "words")[MAX_SEARCH_HITS - 1]).toBe(201);
    expect(found(index, "words", { limit: 0 })).toEqual([]);
  });

  test("stays within a conversation", async () => {
    const index = await indexOf(message(1, "hello"), message(1, "hello again", other));
    expect(found(index, "hello")).toEqual([1, 1]);
    expect(index.search("hello", { conversation: other })).toEqual([
      { ...message(1, "hello again", other), snippet: { text: "hello again", matches: [{ start: 0, length: 5 }] } },
    ]);
  });

  test("takes a query without end, and names that objects have, for words", async () => {
    const index = await indexOf(message(1, "the constructor of __proto__"));
    expect(found(index, "constructor")).toEqual([1]);
    expect(found(index, "toString")).toEqual([]);
    expect(found(index, `constructor${" ".repeat(1_000)}nowhere`)).toEqual([1]);
  });
});

describe("an index", () => {
  test("takes new words for old ones, and leaves nothing of what is removed", async () => {
    const index = await indexOf(message(1, "first words"), message(2, "other words"));
    index.put(message(1, "second thoughts"));
    expect([found(index, "first"), found(index, "second"), index.size]).toEqual([[], [1], 2]);
    index.remove(message(1, ""));
    index.remove(message(9, "was never there"));
    expect([found(index, "second"), found(index, "words"), index.size]).toEqual([[], [2], 1]);
    index.removeConversation(chat);
    const empty = await (await SearchIndex.open()).snapshot();
    expect(index.size).toBe(0);
    expect(Math.abs((await index.snapshot()).byteLength - empty.byteLength)).toBeLessThan(20);
  });

  test("of random changes finds the same as one that is made anew", async () => {
    const random = seededRandom(8);
    const below = (limit: number) => Math.floor(random() * limit);
    const vocabulary = Array.from({ length: 60 }, (_, n) => `${"kstlm"[n % 5]}${"aeiou"[below(5)]}${n}x`);
    const texts = new Map<number, string>();
    let index = await SearchIndex.open();
    for (let step = 0; step < 1_500; step++) {
      const seq = 1 + below(150);
      const text = Array.from({ length: below(6) }, () => vocabulary[below(60)]).join(" ");
      if (random() < 0.3) {
        texts.delete(seq);
        index.remove(message(seq, ""));
      } else {
        texts.set(seq, text);
        index.put(message(seq, text));
      }
      if (step % 300 === 0) index = await SearchIndex.open(await index.snapshot());
    }
    const anew = await indexOf(...[...texts].map(([seq, text]) => message(seq, text)));
    for (const query of [...vocabulary, "k", "ka", "sa1"]) {
      const [hits, expected] = [found(index, query), found(anew, query)];
      expect(hits.toSorted(), query).toEqual(expected.toSorted());
      const exact = [...texts].filter(([, text]) => text.split(" ").includes(query)).map(([seq]) => seq);
      expect(hits).toEqual(expect.arrayContaining(exact.slice(0, MAX_SEARCH_HITS)));
    }
  });

  test("goes on from a snapshot, with how far it had got", async () => {
    const index = await indexOf(message(1, "hello\nthere"), message(2, "hello", other));
    index.markIndexed(chat, 7);
    index.markIndexed(chat, 5);
    const restored = await SearchIndex.open(await index.snapshot());
    expect([restored.indexedUpTo(chat), restored.indexedUpTo(other), restored.size]).toEqual([7, 0, 2]);
    expect(restored.search("hello")).toEqual(index.search("hello"));
    restored.put(message(3, "hello too"));
    restored.remove(message(2, "", other));
    expect(found(restored, "hello").toSorted()).toEqual([1, 3]);
    restored.removeConversation(chat);
    expect([restored.indexedUpTo(chat), restored.size]).toEqual([0, 0]);
  });

  test("begins anew from a snapshot that cannot be read", async () => {
    const index = await indexOf(message(1, "hello"));
    index.markIndexed(chat, 1);
    const snapshot = await index.snapshot();
    const deflated = (text: string) =>
      new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"))).bytes();
    const bad = [
      new Uint8Array(0),
      snapshot.subarray(0, -5),
      snapshot.with(3, 255),
      await deflated('{"version":2,"cursors":[],"names":[],"documents":[]}\n{}'),
      await deflated('{"version":1,"cursors":[],"names":[],"documents":[]}\n{"serializationVersion":9}'),
    ];
    for (const bytes of bad) {
      const restored = await SearchIndex.open(bytes);
      expect([restored.size, restored.indexedUpTo(chat)]).toEqual([0, 0]);
      restored.put(message(1, "hello"));
      expect(found(restored, "hello")).toEqual([1]);
    }
  });

  test("lets others have a turn while much is added", async () => {
    const index = await SearchIndex.open();
    let turns = 0;
    const others = setInterval(() => turns++);
    await index.addAll(
      Array.from({ length: 5_000 }, (_, seq) => message(seq, `some words and a number ${seq} ${seq * 7}`)),
    );
    clearInterval(others);
    expect(index.size).toBe(5_000);
    expect(turns).toBeGreaterThan(2);
  });

  test("does not bring back what changed while old messages were being added", async () => {
    const index = await SearchIndex.open();
    async function* slowly() {
      yield message(1, "one");
      await new Promise((resolve) => setTimeout(resolve, 5));
      yield* [message(2, "removed"), message(3, "old words"), message(4, "four")];
    }
    const adding = index.addAll(slowly());
    index.remove(message(2, ""));
    index.put(message(3, "new words"));
    await adding;
    expect([found(index, "removed"), found(index, "old"), found(index, "new"), index.size]).toEqual([[], [], [3], 3]);
    await index.addAll([message(2, "removed")]);
    expect(found(index, "removed")).toEqual([2]);
  });
});

test("an app that never searches loads no search engine", async () => {
  const entryPoints = [new URL("./search-index.ts", import.meta.url).pathname];
  const { metafile } = await build({
    entryPoints,
    outdir: "out",
    ...{ bundle: true, format: "esm", splitting: true, metafile: true, write: false },
  });
  const outputs = Object.entries(metafile.outputs);
  const [engine] = outputs.find(([, { inputs }]) => Object.keys(inputs).some((input) => input.includes("minisearch")))!;
  const [entry, { imports }] = outputs.find(([, { entryPoint }]) => entryPoint?.endsWith("search-index.ts"))!;
  expect(engine).not.toBe(entry);
  expect(imports.filter(({ path }) => path === engine).map(({ kind }) => kind)).toEqual(["dynamic-import"]);
});

test.each<[Content, string | undefined]>([
  [{ kind: "text", text: "a" }, "a"],
  [
    { kind: "text", text: "https://a.example", preview: { url: "https://a.example", title: "A page" } },
    "https://a.example\nA page",
  ],
  [{ kind: "poll", question: "q", options: ["a", "b"], multiple: true }, "q\na\nb"],
  [{ kind: "contact", name: "Ann", phones: ["+491"] }, "Ann\n+491"],
  [{ kind: "location", latitude: 0, longitude: 0, name: "Null Island" }, "Null Island"],
  [{ kind: "location", latitude: 0, longitude: 0 }, undefined],
  [{ kind: "deletion", target: idOf(1) }, undefined],
  [{ kind: "unknown", original: { kind: "later", text: "x" } }, undefined],
])("what %o is found by", (content, expected) => {
  expect(searchableText(content)).toBe(expected);
});

test("a picture is found by its caption, unless it is to be seen once", () => {
  const file = { id: "f", key: "k", hash: "h", bytes: 1, type: "image/png", name: "x.png" };
  const image = { kind: "image", file, width: 1, height: 1, text: "the sea" } as const;
  expect(searchableText(image)).toBe("the sea");
  expect(searchableText({ ...image, viewOnce: true })).toBeUndefined();
  expect(searchableText({ kind: "document", file, text: "here" })).toBe("x.png\nhere");
});
