import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { isKnownKind } from "../../client/content/kinds.ts";
import { sdkReference, unexportedNames } from "../../scripts/sdk/reference.ts";

/** Types that say something only to the compiler, or to those who write a transport or a delivery service of their own. */
const unnamed = [
  ...["Alert", "AnswerOf", "ArchiveId", "BodyInputOf", "Change", "Channel", "DownFrame", "Framed", "Handover", "Http"],
  ...["HttpArchiveService", "HttpDeliveryService", "KeyPair", "OpenedLink", "Person", "Removal", "Seq", "Session"],
  ...["SessionErrorCode", "Settings", "Suite", "UpFrame", "getMe", "listContacts", "report", "reserveUsername"],
  ...["setPrivacy", "updateMe", "viewDeviceLink"],
];

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

describe("the reference of the SDK", { timeout: 60_000 }, () => {
  let reference: string;
  beforeAll(() => {
    reference = sdkReference();
  }, 60_000);

  test("says what the types and their comments say: otherwise `npm run docs`", () => {
    expect(read("docs/sdk-reference.md") === reference, "docs/sdk-reference.md is not up to date: npm run docs").toBe(
      true,
    );
  });

  test("has every namespace of a chat", () => {
    for (const name of ["Connection", "Conversations", "Messages", "Devices", "Identity", "Contacts", "Backup"]) {
      expect(reference).toContain(`#### \`${name}\`\n`);
      expect(reference).toContain(`class ${name} {`);
    }
  });

  test("whatever it names can be imported, but for these", () => {
    expect(unexportedNames()).toEqual(unnamed);
  });
});

describe("the guide", () => {
  test("names every kind of content that an app sends, and no other", () => {
    const rows =
      read("docs/sdk.md")
        .match(/^\| kind \|.*?\n\n/ms)?.[0]
        .split("\n")
        .slice(2) ?? [];
    const named = rows.flatMap((row) =>
      [...(row.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, kind = ""]) => kind),
    );
    const source = read("client/content/kinds.ts");
    const kinds = [...source.matchAll(/kind: v\.literal\("(\w+)"\)/g)].map(([, kind = ""]) => kind);
    expect(kinds.every(isKnownKind)).toBe(true);
    const betweenDevices = ["ask", "again"];
    expect([...named, ...betweenDevices].sort()).toEqual(kinds.sort());
  });

  test("names every namespace of a chat", () => {
    const guide = read("docs/sdk.md");
    const [, fields = ""] = /^export class Chat .*?\{(.*?)private constructor/ms.exec(read("client/chat.ts")) ?? [];
    const namespaces = [...fields.matchAll(/readonly (\w+): [A-Z]\w+;/g)].map(([, name]) => name);
    const things = namespaces.filter((name) => name !== "user" && name !== "device");
    expect(things.length).toBeGreaterThanOrEqual(7);
    for (const name of things) expect(guide).toContain(`| \`chat.${name}\` |`);
  });

  test("the bot of the README is the one that is run", () => {
    expect(read("README.md")).toContain(`\`\`\`ts\n${read("examples/echo-bot.ts")}\`\`\`\n`);
  });
});
