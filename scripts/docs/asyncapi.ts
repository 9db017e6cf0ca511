// The wire protocol as an AsyncAPI 3.0 document, and the same for reading.

import type * as v from "valibot";
import { closeCodes, defaultRetry, ErrorCode } from "../../shared/errors.ts";
import * as limits from "../../shared/limits.ts";
import { encodeDown, encodeUp } from "../../shared/protocol/codec.ts";
import { DownFrame } from "../../shared/protocol/down.ts";
import { UpFrame } from "../../shared/protocol/up.ts";
import { PING, PONG, SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { commentsOf } from "./comments.ts";
import type { Json, JsonObject } from "./json.ts";
import { limitTables } from "./limits.ts";
import { figures, formOf, table } from "./markdown.ts";
import { basicComments, basicTypes, type Dialect, jsonSchemaOf, namedSchemas } from "./schemas.ts";

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

const dialect: Dialect = { target: "draft-07", definitions: basicTypes };

function framesOf(direction: "up" | "down", options: readonly FrameSchema[]): Frame[] {
  const comments = commentsOf(`protocol/${direction}.ts`);
  return options.map((option) => {
    const name = option.entries.type.literal;
    const constant = Object.keys(comments).find((key) => key.toLowerCase().replace("frame", "") === name) ?? "";
    const about = comments[constant];
    if (!about) throw new Error(`the ${direction} frame ${name} has no comment`);
    const schema = jsonSchemaOf(option, dialect);
    for (const [field, property] of Object.entries(schema.properties as JsonObject)) {
      // What is not a field of its own was spread in.
      const description = comments[`${constant}.${field}`] ?? comments[`.${field}`];
      if (description) (schema.properties as JsonObject)[field] = described(property as JsonObject, description);
    }
    const isBinary = typeof (direction === "up" ? encodeUp : encodeDown)({ type: name } as never) !== "string";
    return { name, direction, about, isBinary, schema, answers: direction === "up" ? (answers[name] ?? []) : [] };
  });
}

function allFrames(): Frame[] {
  return [...framesOf("up", UpFrame.options), ...framesOf("down", DownFrame.options)];
}

type FrameSchema = v.GenericSchema & { readonly entries: { readonly type: { readonly literal: string } } };

/** Draft 7 heeds nothing that stands beside a `$ref`. */
function described(schema: JsonObject, description: string): JsonObject {
  return schema.$ref === undefined ? { description, ...schema } : { description, allOf: [schema] };
}

// ── the AsyncAPI document ───────────────────────────────────────────────────────────────────────────────────────────

const framing =
  "A control frame is JSON text. A frame that carries bytes is binary: u32 big-endian header length, JSON header, raw " +
  `bytes. A frame up has at most ${figures(limits.MAX_FRAME_BYTES)} bytes, a body ${figures(limits.MAX_BODY_BYTES)}.`;

export function asyncApi(): JsonObject {
  const frames = allFrames();
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
    components: { messages: byKey(message), schemas: namedSchemas(dialect, basicComments()) },
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

// ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────

export function asyncApiPage(): string {
  const frames = allFrames();
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
      Object.entries(namedSchemas(dialect, basicComments())).map(([name, schema]) => namedRow(name, schema)),
    ),
    "## Error codes\n",
    table(["code", "retry", "closes with"], ErrorCode.options.map(errorRow)),
    "## Limits\n",
    "Those of HTTP are in [http.md](http.md).\n",
    ...limitTables("socket"),
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
