import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildSdk } from "../../scripts/build-sdk.ts";
import { type BrowserBundle, bundleForBrowser } from "../../scripts/sdk/bundle.ts";

/** Encryption included. */
const MAX_PAGE_BYTES = 120_000;
/** For two functions that need nothing else. */
const MAX_SMALL_BYTES = 5_000;

const sum = (sizes: Iterable<number>) => [...sizes].reduce((total, size) => total + size, 0);

describe("a page that uses the SDK", { timeout: 60_000 }, () => {
  let bundle: BrowserBundle;
  beforeAll(async () => {
    bundle = await bundleForBrowser("examples/quickstart.ts");
  });

  test(`loads at most ${MAX_PAGE_BYTES / 1_000} KB at the start`, () => {
    const bytes = sum(bundle.atStart.values());
    console.log(`The quickstart loads ${bytes} bytes (gzip) at the start.`);
    expect(bytes).toBeLessThanOrEqual(MAX_PAGE_BYTES);
    expect(bytes).toBeGreaterThan(MAX_PAGE_BYTES / 2);
  });

  test("has the encryption in it, and what few need only on demand", () => {
    const hasPackage = (name: string) => bundle.inputs.some((input) => input.includes(`node_modules/${name}/`));
    expect(hasPackage("ts-mls")).toBe(true);
    const onDemand = ["hash-wasm", "@scure/bip39", "minisearch"];
    for (const name of [...onDemand, "jose", "libphonenumber-js"]) expect(hasPackage(name)).toBe(false);
    expect(bundle.onDemand.size).toBeGreaterThan(2);
  });

  test("has nothing of the server's in it, and nothing that a page does not have", () => {
    expect(bundle.inputs.filter((input) => /^(durable-objects|workers|migrations)\//.test(input))).toEqual([]);
    expect(bundle.inputs.filter((input) => /\/node\//.test(input))).toEqual([]);
    expect(bundle.external).toEqual([]);
  });
});

describe("the package that others install", { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), "sandpiper-sdk-"));
  const root = resolve(import.meta.dirname, "../..");
  beforeAll(async () => {
    mkdirSync(join(directory, "node_modules"));
    for (const name of ["valibot", "@types"]) {
      symlinkSync(join(root, "node_modules", name), join(directory, "node_modules", name));
    }
    await buildSdk(join(directory, "node_modules/sandpiper"));
  }, 120_000);
  afterAll(() => rmSync(directory, { recursive: true }));

  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const run = (...command: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: directory, encoding: "utf8" });
    return { status, output: stdout + stderr };
  };

  test("runs in Node, and knows its own errors wherever they come from", () => {
    write(
      "use.mjs",
      `import { Chat, ChatError, MemoryStore, directConversation } from "sandpiper";
       import { SqliteStore } from "sandpiper/node";
       const store = new SqliteStore(":memory:");
       await store.load({ user: "U1", device: "D1" });
       const account = { url: "http://chat.test", user: "U2", device: "D2" };
       const refused = await Chat.open({ account, store, client: "use 1" }).catch((error) => error);
       console.log(refused instanceof ChatError, refused.code, directConversation("B", "A"), typeof MemoryStore);`,
    );
    expect(run("use.mjs")).toEqual({ status: 0, output: "true wrong_account A.B function\n" });
  });

  /** @returns what the compiler has to say, to somebody who is strict */
  const compile = (name: string, text: string) => {
    write(name, text);
    const options = { target: "ESNext", module: "ESNext", moduleResolution: "Bundler", strict: true, noEmit: true };
    const lib = ["ESNext", "DOM", "DOM.AsyncIterable"];
    const compilerOptions = { ...options, lib, types: ["node"], skipLibCheck: false };
    write("tsconfig.json", JSON.stringify({ compilerOptions, files: [name] }));
    return run(join(root, "node_modules/typescript/bin/tsc"), "-p", ".");
  };

  test("has types", () => {
    const compiled = compile(
      "use.ts",
      `import { Chat, type Message, MemoryStore, signIn } from "sandpiper";
       import { IndexedDbStore } from "sandpiper/browser";
       import { SqliteStore } from "sandpiper/node";
       export async function use(url: string): Promise<readonly Message[] | undefined> {
         const store = Math.random() < 0.5 ? new SqliteStore(":memory:") : await IndexedDbStore.open("name");
         const account = await signIn({ url, store, phone: "+1", code: "123456", deviceName: "use" });
         await using chat = await Chat.open({ account, store: new MemoryStore(), client: "use 1" });
         // @ts-expect-error: there is no such method, so this is not any.
         chat.messages.shout("hello");
         return chat.messages.live(chat.conversations.direct(chat.user)).getSnapshot();
       }`,
    );
    expect(compiled).toEqual({ status: 0, output: "" });
  });

  test("is used as the guide says", () => {
    const guide = readFileSync(join(root, "docs/sdk.md"), "utf8");
    const blocks = [...guide.matchAll(/^```ts\n(.*?)^```/gms)].map(([, block]) => block);
    expect(blocks.length).toBeGreaterThan(4);
    expect(compile("guide.ts", blocks.join("\n"))).toEqual({ status: 0, output: "" });
  });

  test("gives those who bundle it what they use, and no more", async () => {
    const { outputFiles } = await build({
      stdin: { contents: 'export { directConversation, isText } from "sandpiper";', resolveDir: directory },
      ...{ bundle: true, minify: true, format: "esm", write: false, logLevel: "error" },
    });
    const bytes = sum(outputFiles.map(({ contents }) => gzipSync(contents).byteLength));
    expect(bytes).toBeLessThan(MAX_SMALL_BYTES);
  });
});
