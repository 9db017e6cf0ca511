import * as v from "valibot";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { decodeRecord } from "../../client/encryption/record.ts";
import { makeAccountKey } from "../../client/identity/account-key.ts";
import { type Chat, type Content, makeRecoveryCode } from "../../client/index.ts";
import { sendsToQueue } from "./objects.ts";
import { enter, leaveAll, type Person, reachGateway } from "./sdk-people.ts";
import { everythingStored } from "./storage-scan.ts";

/** Everything that the server side ever stored, logged, queued or pushed, searched for what only people may see. */

let shown: readonly unknown[][];
const logged: string[] = [];
beforeEach(() => {
  shown = reachGateway();
  logged.length = 0;
  for (const level of ["debug", "info", "warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation((...args: unknown[]) => void logged.push(JSON.stringify(args)));
  }
});
afterEach(async () => {
  await leaveAll();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const bytesOf = (text: string) => new TextEncoder().encode(text);
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const base64url = (bytes: Uint8Array) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** As a dump shows these bytes, whatever they were put into: raw, in hex, in base64 wherever it begins. */
function formsOf(secret: Uint8Array): string[] {
  const hex = Array.from(secret, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const raw = JSON.stringify(String.fromCharCode(...secret)).slice(1, -1);
  const shifted = [0, 1, 2].map((shift) => {
    const text = base64(Uint8Array.from([...new Uint8Array(shift), ...secret]));
    // What depends on the bytes before and behind is left out.
    return text.slice(shift === 0 ? 0 : 4, -4);
  });
  const both = shifted.flatMap((text) => [text, text.replaceAll("+", "-").replaceAll("/", "_")]);
  return [raw, hex, ...both];
}

function findings(dump: ReadonlyMap<string, string>, secrets: ReadonlyMap<string, Uint8Array>): string[] {
  return [...secrets].flatMap(([name, secret]) =>
    [...dump]
      .filter(([, text]) =>
        formsOf(secret).some((form) => text.includes(form) || text.toLowerCase().includes(form.toLowerCase())),
      )
      .map(([place]) => `${name} in ${place}`),
  );
}

const said = async (chat: Chat, conversation: string) => (await chat.messages.list(conversation)).length;

async function say(person: Person, conversation: string, content: string | Content): Promise<void> {
  await (await person.chat.messages.send(conversation, content)).sent;
}

test("R11 nothing that people say, no name of a file and no key is anywhere on the server", {
  timeout: 60_000,
}, async () => {
  const queued = sendsToQueue();
  const account = await makeAccountKey();
  const marker = (name: string) => bytesOf(`marker ${name} ${base64url(random(12))}`);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const secrets = new Map<string, Uint8Array>([
    ["a text", marker("text")],
    ["an offline text", marker("offline")],
    ["a group's text", marker("group")],
    ["an edit", marker("edit")],
    ["a poll's option", marker("option")],
    ["a file's name", marker("file")],
    ["a file's key", random(32)],
    ["an account key", account.seed],
  ]);
  const secret = (name: string) => secrets.get(name) ?? new Uint8Array();

  const [ada, grace] = [await enter(shown, { accountKey: account }), await enter(shown)];
  const conversation = ada.chat.conversations.direct(grace.account.user);
  await say(ada, conversation, text(secret("a text")));
  const [first] = (await ada.chat.messages.list(conversation)).filter(({ content }) => content.kind === "text");
  await say(ada, conversation, { kind: "edit", target: first?.id ?? "", text: text(secret("an edit")) });
  const options = [text(secret("a poll's option")), "no"];
  await say(grace, conversation, { kind: "poll", question: "Publish?", options, multiple: false });
  await say(grace, conversation, {
    kind: "document",
    file: {
      id: "01J0000000000000000000000F",
      key: base64url(secret("a file's key")),
      hash: base64url(random(32)),
      bytes: 1_000,
      type: "application/pdf",
      name: `${text(secret("a file's name"))}.pdf`,
    },
  });
  grace.chat.connection.close();
  await say(ada, conversation, text(secret("an offline text")));
  const group = await ada.chat.conversations.createGroup([grace.account.user]);
  await say(ada, group, text(secret("a group's text")));
  grace.chat.connection.open();
  await expect.poll(() => said(grace.chat, group), { timeout: 10_000 }).toBeGreaterThan(1);
  const code = await makeRecoveryCode();
  await ada.chat.backup.create({ code });
  secrets.set("a recovery code", bytesOf(code));
  for (const [name, key] of await privateKeysOf(ada)) secrets.set(name, key);

  const names = [ada.account.user, grace.account.user, conversation, group];
  const dump = new Map(await everythingStored(names));
  dump.set("the log", logged.join("\n"));
  dump.set("the console", JSON.stringify(shown));
  dump.set("the queue", JSON.stringify(queued.mock.calls));
  expect(findings(dump, secrets)).toEqual([]);
  expect(queued).toHaveBeenCalled();
  expect([...dump.keys()].some((place) => place.includes("/archive/"))).toBe(true);
  // The search finds what is there, in a body too.
  expect([...dump.values()].some((content) => content.includes(ada.account.user))).toBe(true);
  const sent = bytesOf(JSON.stringify({ body: base64(bytesOf(`ab${text(secret("a text"))}`)) }));
  expect(findings(new Map([["a body", text(sent)]]), secrets)).toEqual(["a text in a body"]);
});

/** Of its own, and of a key package that waits to be used. */
async function privateKeysOf({ store }: Person): Promise<[string, Uint8Array][]> {
  const own = await store.record("own-keys");
  const [waiting] = await store.records("key-package/");
  if (!own || !waiting) throw new Error("a device without keys");
  const [, , devicePrivate] = decodeRecord(v.unknown(), own).blobs;
  const [, packageSecret] = decodeRecord(v.unknown(), waiting[1]).blobs;
  if (!devicePrivate || !packageSecret) throw new Error("a device without keys");
  return [
    ["a device's key", devicePrivate],
    ["a key package's secret", packageSecret.slice(-40)],
  ];
}
