// `npm run docs`: writes docs/asyncapi.yaml, the wire protocol as an AsyncAPI 3.0 document, and docs/asyncapi.md, the same
// for reading. Both come from the schemas in shared/ and from the comments that stand there, and from nothing else.

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { toJsonSchema, toJsonSchemaDefs } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { closeCodes, defaultRetry, ErrorCode, Retry } from "../shared/errors.ts";
import { ConversationId, Cursor, Seq, Time, UserId } from "../shared/ids.ts";
import * as limits from "../shared/limits.ts";
import { encodeDown, encodeUp } from "../shared/protocol/codec.ts";
import { DownFrame } from "../shared/protocol/down.ts";
import { UpFrame } from "../shared/protocol/up.ts";
import { PING, PONG, SUBPROTOCOL, TICKET_PREFIX } from "../shared/protocol/version.ts";

const HELP = `usage: npm run docs [-- --check]

Writes docs/asyncapi.yaml and docs/asyncapi.md from the schemas in shared/.

  --check   writes nothing; ends with status 1 if a file is not up to date
  --help    this text`;

const root = new URL("../", import.meta.url);
const shared = new URL("shared/", root);

type Json = string | number | boolean | null | undefined | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

interface Frame {
  readonly name: string;
  readonly direction: "up" | "down";
  readonly about: string;
  readonly isBinary: boolean;
  readonly schema: JsonObject;
  /** Types of the frames that answer it. */
  readonly answers: readonly string[];
}

/** What the schemas cannot say. */
const answers: Partial<Record<string, readonly string[]>> = {
  hello: ["welcome", "error"],
  send: ["sent", "error"],
  sync: ["entries", "drained", "error"],
};

// ── schemas ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A person's, a device's and a message's id have one form, and so one schema. */
const named = { Ulid: UserId, ConversationId, Seq, Cursor, Time, ErrorCode, Retry };

const conversion = {
  overrideRef: ({ referenceId }: { referenceId: string }) => `#/components/schemas/${referenceId}`,
  // JSON Schema has no word for an order between the halves of an id; the description says it.
  overrideAction: ({ valibotAction, jsonSchema }: { valibotAction: { type: string }; jsonSchema: object }) =>
    valibotAction.type === "check" ? jsonSchema : undefined,
};

function jsonSchemaOf(schema: v.GenericSchema): JsonObject {
  const { $schema: _, $defs: __, ...rest } = toJsonSchema(schema, { ...conversion, definitions: named });
  return rest as JsonObject;
}

function namedSchemas(): Record<string, JsonObject> {
  const comments = { ...commentsOf("ids.ts"), ...commentsOf("errors.ts") };
  const schemas = Object.entries(toJsonSchemaDefs(named, conversion));
  const ulid = "A ULID: 26 characters of Crockford's base 32, upper case; the first ten are a time in ms.";
  return Object.fromEntries(
    schemas.map(([name, schema]) => {
      const description = name === "Ulid" ? ulid : comments[name];
      return [name, { ...(description && { description }), ...(schema as JsonObject) }];
    }),
  );
}

function framesOf(direction: "up" | "down", options: readonly FrameSchema[]): Frame[] {
  const comments = commentsOf(`protocol/${direction}.ts`);
  return options.map((option) => {
    const name = option.entries.type.literal;
    const constant = Object.keys(comments).find((key) => key.toLowerCase().replace("frame", "") === name) ?? "";
    const about = comments[constant];
    if (!about) throw new Error(`the ${direction} frame ${name} has no comment`);
    const schema = jsonSchemaOf(option);
    for (const [field, property] of Object.entries(schema.properties as JsonObject)) {
      // What is not a field of its own was spread in.
      const description = comments[`${constant}.${field}`] ?? comments[`.${field}`];
      if (description) (schema.properties as JsonObject)[field] = described(property as JsonObject, description);
    }
    const isBinary = typeof (direction === "up" ? encodeUp : encodeDown)({ type: name } as never) !== "string";
    return { name, direction, about, isBinary, schema, answers: direction === "up" ? (answers[name] ?? []) : [] };
  });
}

type FrameSchema = v.GenericSchema & { readonly entries: { readonly type: { readonly literal: string } } };

/** Draft 7 heeds nothing that stands beside a `$ref`. */
function described(schema: JsonObject, description: string): JsonObject {
  return schema.$ref === undefined ? { description, ...schema } : { description, allOf: [schema] };
}

/**
 * The comments of a file in shared/, by the name of what follows: `Hello`, and for its fields `Hello.client`; fields of
 * what is there to be spread in: `.seq`. Empty for what has none. A comment with a blank line behind it is the file's own.
 */
function commentsOf(file: string): Record<string, string> {
  const comments: Record<string, string> = {};
  let owner = "";
  let pending = "";
  const source = readFileSync(new URL(file, shared), "utf8");
  for (const [, comment, blank, constant, field] of source.matchAll(
    /\/\*\*(.*?)\*\/(\n\n)?|^(?:export )?const (\w+)|\b(\w+): /gms,
  )) {
    if (comment !== undefined) {
      pending = blank ? "" : textOf(comment);
      continue;
    }
    if (constant !== undefined) owner = /^[A-Z]/.test(constant) ? constant : "";
    comments[constant ?? `${owner}.${field}`] ??= pending;
    pending = "";
  }
  return comments;
}

function textOf(comment: string): string {
  return comment
    .replace(/^\s*\* ?/gm, "")
    .replace(/\{@link (\w+)\}/g, "$1")
    .replace(/\s+/g, " ")
    .trim();
}

// ── the AsyncAPI document ───────────────────────────────────────────────────────────────────────────────────────────

const framing =
  "A control frame is JSON text. A frame that carries bytes is binary: u32 big-endian header length, JSON header, raw " +
  `bytes. A frame up has at most ${figures(limits.MAX_FRAME_BYTES)} bytes, a body ${figures(limits.MAX_BODY_BYTES)}.`;

function asyncApi(frames: readonly Frame[]): JsonObject {
  const key = ({ direction, name }: Frame) => `${direction}.${name}`;
  const byKey = (entry: (frame: Frame) => Json) =>
    Object.fromEntries(frames.map((frame) => [key(frame), entry(frame)]));
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Sandpiper",
      version: SUBPROTOCOL,
      description: `The socket between a device and its person's object. ${framing} docs/protocol.md has the rules.`,
      license: { name: "Apache-2.0" },
    },
    defaultContentType: "application/json",
    servers: {
      local: { host: "127.0.0.1:8787", protocol: "ws", description: "What `npm start` runs." },
    },
    channels: {
      connection: {
        address: "/v1/connect",
        description: `One WebSocket a device. The text "${PING}" is answered with "${PONG}" without waking the object.`,
        messages: byKey((frame) => ({ $ref: `#/components/messages/${key(frame)}` })),
        bindings: { ws: { method: "GET", headers: upgradeHeaders, bindingVersion: "0.1.0" } },
      },
    },
    operations: Object.fromEntries(frames.map((frame) => [operationName(frame), operation(frame, key(frame))])),
    components: { messages: byKey(message), schemas: namedSchemas() },
    "x-error-codes": Object.fromEntries(
      ErrorCode.options.map((code) => [code, { retry: defaultRetry[code], ...closeOf(code) }]),
    ),
  };
}

const upgradeHeaders: JsonObject = {
  type: "object",
  required: ["Sec-WebSocket-Protocol"],
  properties: {
    "Sec-WebSocket-Protocol": {
      type: "string",
      description: `\`${SUBPROTOCOL}\` and, as a second one, \`${TICKET_PREFIX}\` followed by the ticket. Only the first is selected.`,
    },
  },
};

/** The document describes the server: it receives what goes up. */
function operationName({ direction, name }: Frame): string {
  return `${direction === "up" ? "receive" : "send"}.${name}`;
}

function operation(frame: Frame, key: string): JsonObject {
  const channel = { $ref: "#/channels/connection" };
  const messageRef = (message: string) => ({ $ref: `#/channels/connection/messages/${message}` });
  const reply = frame.answers.length > 0 && {
    reply: { channel, messages: frame.answers.map((answer) => messageRef(`down.${answer}`)) },
  };
  return { action: frame.direction === "up" ? "receive" : "send", channel, messages: [messageRef(key)], ...reply };
}

/** Of a binary frame the payload described is the header; the bytes behind it are what they are. */
function message({ name, about, isBinary, schema }: Frame): JsonObject {
  const contentType = isBinary ? "application/octet-stream" : "application/json";
  const body = isBinary && { "x-body": "raw bytes behind the header" };
  return { name, summary: about, contentType, ...body, payload: schema };
}

function closeOf(code: ErrorCode): { closeCode?: number } {
  const closeCode = (closeCodes as Partial<Record<ErrorCode, number>>)[code];
  return closeCode === undefined ? {} : { closeCode };
}

// ── YAML ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const WORD = /^(?!(?:true|false|null|yes|no|on|off)$)[A-Za-z$][\w./$-]*$/i;

/** As much of YAML as the document needs: a string that is not one plain word is quoted as JSON would quote it. */
function toYaml(value: Json, indent = ""): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return " []";
    return value.map((item) => `\n${indent}-${toYaml(item, `${indent}  `).replace(/^\n\s+/, " ")}`).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    if (entries.length === 0) return " {}";
    return entries.map(([key, item]) => `\n${indent}${scalar(key)}:${toYaml(item, `${indent}  `)}`).join("");
  }
  return ` ${scalar(value)}`;
}

function scalar(value: string | number | boolean | null | undefined): string {
  return typeof value === "string" && WORD.test(value) ? value : JSON.stringify(value);
}

// ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────

function page(frames: readonly Frame[]): string {
  const section = (direction: Frame["direction"]) =>
    frames.filter((frame) => frame.direction === direction).map(chapter);
  return [
    "<!-- Written by `npm run docs` from the schemas in shared/; change those. -->\n",
    "# The wire, frame by frame\n",
    `Subprotocol \`${SUBPROTOCOL}\`. The rules behind it are in [protocol.md](protocol.md); for tools the same is in`,
    "[asyncapi.yaml](asyncapi.yaml).\n",
    `${framing}\n`,
    "## Up: from a device\n",
    ...section("up"),
    "## Down: to a device\n",
    ...section("down"),
    "## Named types\n",
    table(
      ["type", "form", "meaning"],
      Object.entries(namedSchemas()).map(([name, schema]) => namedRow(name, schema)),
    ),
    "## Error codes\n",
    table(["code", "retry", "closes with"], ErrorCode.options.map(errorRow)),
    "## Limits\n",
    ...limitTables(),
  ].join("\n");
}

function chapter({ name, about, isBinary, schema }: Frame): string {
  const required = new Set(schema.required as string[]);
  const fields = Object.entries(schema.properties as Record<string, JsonObject>).filter(([field]) => field !== "type");
  const rows = fields.map(([field, property]) => [
    `\`${field}\`${required.has(field) ? "" : ", optional"}`,
    formOf(property),
    (property.description as string | undefined) ?? "",
  ]);
  const kind = isBinary ? "binary" : "text";
  return `### \`${name}\` (${kind})\n\n${about}\n\n${rows.length ? table(["field", "form", "meaning"], rows) : ""}`;
}

function namedRow(name: string, schema: JsonObject): string[] {
  const form = name === "ErrorCode" ? "one of the codes below" : formOf(schema);
  return [name, form, (schema.description as string | undefined) ?? ""];
}

function errorRow(code: ErrorCode): string[] {
  const retry = defaultRetry[code];
  return [
    `\`${code}\``,
    typeof retry === "number" ? `after ${retry} ms` : retry,
    String(closeOf(code).closeCode ?? ""),
  ];
}

/** In the order and under the headings of the source. */
function limitTables(): string[] {
  const comments = commentsOf("limits.ts");
  const values = new Map<string, number | readonly number[]>(Object.entries(limits));
  const sections = readFileSync(new URL("limits.ts", shared), "utf8")
    .split(/^\/\/ (?=.*$)/m)
    .slice(1);
  return sections.flatMap((section) => {
    const [heading] = section.split("\n", 1);
    const names = [...section.matchAll(/^export const (\w+)/gm)].map(([, name = ""]) => name);
    const rows = names.map((name) => [`\`${name}\``, figures(values.get(name)), comments[name] ?? ""]);
    return [`### ${heading}\n`, table(["limit", "value", "meaning"], rows)];
  });
}

function figures(value: number | readonly number[] = []): string {
  return [value]
    .flat()
    .map((figure) => figure.toLocaleString("en"))
    .join("; ");
}

/** A schema in words. */
function formOf(schema: JsonObject): string {
  const { $ref, type, allOf, anyOf, items, pattern, minimum, maximum, maxLength, maxItems, properties } = schema;
  const enumeration = schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  if (typeof $ref === "string") return $ref.split("/").at(-1) ?? "";
  if (allOf) return (allOf as JsonObject[]).map(formOf).join(" and ");
  if (anyOf) return (anyOf as JsonObject[]).map(formOf).join(" or ");
  if (enumeration) return (enumeration as Json[]).map((value) => `\`${JSON.stringify(value)}\``).join(" or ");
  if (Array.isArray(items)) return `[${(items as JsonObject[]).map(formOf).join(", ")}]`;
  if (type === "array")
    return `list of ${formOf(items as JsonObject)}${maxItems === undefined ? "" : `, at most ${maxItems}`}`;
  if (properties)
    return `{ ${Object.entries(properties)
      .map(([name, property]) => `${name}: ${formOf(property as JsonObject)}`)
      .join("; ")} }`;
  if (pattern) return `\`${String(pattern).replaceAll("|", "\\|")}\``;
  if (type === "integer") return `integer from ${minimum}${maximum === Number.MAX_SAFE_INTEGER ? " to 2^53 - 1" : ""}`;
  return `${type}${maxLength === undefined ? "" : `, at most ${maxLength} characters`}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return `${[line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n")}\n`;
}

// ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Every generated file with what should be in it. */
export function generateDocs(): Record<string, string> {
  const frames = [...framesOf("up", UpFrame.options), ...framesOf("down", DownFrame.options)];
  return {
    "docs/asyncapi.yaml": `# Written by \`npm run docs\` from the schemas in shared/; change those.${toYaml(asyncApi(frames))}\n`,
    "docs/asyncapi.md": page(frames),
  };
}

/** Those of the generated files that are not up to date. */
export function staleDocs(): string[] {
  return Object.entries(generateDocs())
    .filter(([path, text]) => readIfThere(path) !== text)
    .map(([path]) => path);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(new URL(path, root), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}

function main(): void {
  const options = { check: { type: "boolean" }, help: { type: "boolean" } } as const;
  const { values } = parseArgs({ options });
  if (values.help) return console.log(HELP);
  const stale = staleDocs();
  if (values.check) {
    for (const path of stale) console.error(`${path} is not up to date: npm run docs`);
    process.exitCode = stale.length > 0 ? 1 : 0;
    return;
  }
  const files = generateDocs();
  for (const path of stale) writeFileSync(new URL(path, root), files[path] ?? "");
  console.log(stale.length > 0 ? `Written: ${stale.join(", ")}` : "Everything is up to date.");
}

if (import.meta.main) main();
