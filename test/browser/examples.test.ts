import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Chat, isText, MemoryStore, requestCode, signIn } from "../../client/index.ts";
import { type CodeReader, codesInLog } from "../../scripts/codes.ts";
import { common } from "../../scripts/sdk/bundle.ts";
import { type System, startSystem } from "../../scripts/system.ts";

const TIMEOUT_MS = 60_000;
const botsPhone = "+33199000041";
const directory = mkdtempSync(join(tmpdir(), "sandpiper-examples-"));

let system: System;
let codeFor: CodeReader;
let bot: ChildProcess;
let browser: Browser;

beforeAll(async () => {
  system = await startSystem({ stateDir: directory, quiet: true });
  codeFor = codesInLog(system.logFile);
  const code = await codeFor(botsPhone, async () => {
    bot = startBot();
  });
  bot.stdin?.write(`${code}\n`);
  browser = await chromium.connect(inject("chromium"));
}, TIMEOUT_MS);

afterAll(async () => {
  bot.kill();
  await browser.close();
  await system.stop();
  rmSync(directory, { recursive: true });
});

function startBot(): ChildProcess {
  const options = [botsPhone, system.url, join(directory, "bot")];
  return spawn(process.execPath, ["examples/echo-bot.ts", ...options], { stdio: ["pipe", "ignore", "inherit"] });
}

async function bundled(entry: string): Promise<string> {
  const { outputFiles } = await build({ ...common, splitting: false, entryPoints: [entry], write: false });
  return new TextDecoder().decode(outputFiles[0]?.contents);
}

test("the quickstart says hello to the echo bot, and shows that it answers", { timeout: TIMEOUT_MS }, async () => {
  // A page that was not really fetched from this machine would have to ask its user before it may connect to it.
  const page = await browser.newPage({ permissions: ["local-network-access"] });
  const script = await bundled("examples/quickstart.ts");
  const body = '<!doctype html><body></body><script type="module" src="/quickstart.js"></script>';
  await page.route(`${system.url}/quickstart`, (route) => route.fulfill({ contentType: "text/html", body }));
  await page.route(`${system.url}/quickstart.js`, (route) =>
    route.fulfill({ contentType: "text/javascript", body: script }),
  );
  const phone = "+33199000042";
  const code = codeFor(phone, async () => void page.goto(`${system.url}/quickstart`));
  const answers: Record<string, () => Promise<string>> = {
    "Your phone number": async () => phone,
    "The code": () => code,
    "Your friend's phone number": async () => botsPhone,
  };
  page.on("dialog", async (dialog) => dialog.accept(await answers[dialog.message()]?.()));
  await expect.poll(() => page.innerText("body"), { timeout: TIMEOUT_MS / 2 }).toMatch(/^hello\s+hello\s*$/);
  await page.close();
});

test("the bot goes on where it has left off, and asks for no other code", { timeout: TIMEOUT_MS }, async () => {
  const phone = "+33199000043";
  const store = new MemoryStore();
  const code = await codeFor(phone, () => requestCode(system.url, phone));
  const account = await signIn({ url: system.url, store, phone, code, deviceName: "Test" });
  await using chat = await Chat.open({ account, store, client: "test 1" });
  chat.connection.open();
  const [found] = await chat.contacts.discover([botsPhone]);
  const conversation = chat.conversations.direct(found?.user ?? "");
  const heard: string[] = [];
  chat.on("message", ({ content }) => isText(content) && heard.push(content.text));
  await (await chat.messages.send(conversation, "one")).sent;
  await expect.poll(() => heard, { timeout: TIMEOUT_MS / 3 }).toEqual(["one"]);
  bot.kill("SIGKILL");
  await once(bot, "exit");
  await (await chat.messages.send(conversation, "two")).sent;
  bot = startBot();
  await expect.poll(() => heard, { timeout: TIMEOUT_MS / 3 }).toEqual(["one", "two"]);
  await (await chat.messages.send(conversation, "three")).sent;
  await expect.poll(() => heard, { timeout: TIMEOUT_MS / 3 }).toEqual(["one", "two", "three"]);
});
