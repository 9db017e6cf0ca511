// What can be asked over HTTP, for reading: the same as the OpenAPI document, and what each limit is.

import { defaultRetry, ErrorCode, httpStatus } from "../../shared/errors.ts";
import {
  additionBucket,
  type Bucket,
  claimBucket,
  MAX_FRAME_BYTES,
  personBuckets,
  publicBuckets,
} from "../../shared/limits.ts";
import { commentsOf } from "./comments.ts";
import type { JsonObject } from "./json.ts";
import { limitTables } from "./limits.ts";
import { duration, figures, formOf, table } from "./markdown.ts";
import { type BucketName, type Operation, operations, typesOfOperations } from "./operations.ts";

const buckets: Readonly<Record<BucketName, Bucket>> = { ...publicBuckets, ...personBuckets };

const callers = {
  anyone: "anyone",
  device: "a device, with its access token",
  link: "a device that is being linked, with the link's token",
} as const;

const headings: Record<Operation["endpoint"]["tag"], string> = {
  "sign-in": "Signing in",
  session: "The session",
  connection: "The connection",
  devices: "Devices",
  people: "People",
  encryption: "Encryption",
  archives: "Archives and backups",
  rights: "Export and removal",
  service: "The service",
};

export function httpPage(): string {
  const all = operations();
  const tags = [...new Set(all.map(({ endpoint }) => endpoint.tag))];
  return [
    "<!-- Written by `npm run docs` from the schemas in shared/; change those. -->\n",
    "# HTTP, endpoint by endpoint\n",
    "For tools the same is in [openapi.yaml](openapi.yaml). Bodies and answers are JSON where nothing else is said; a body",
    "is declared as `application/json`, or as `application/octet-stream`. Nothing is asked in a query, and a token in a URL",
    "is refused. The socket, opened with `GET /v1/connect`, is described in [protocol.md](protocol.md) and",
    "[asyncapi.md](asyncapi.md).",
    `A body has at most ${figures(MAX_FRAME_BYTES)} bytes, where nothing else is said.\n`,
    "Every answer names its request in `x-request-id`. An answer's `sandpiper-bookmark` may be sent with the next request:",
    "what answers it has then seen at least as much. Errors are problem documents (RFC 9457) with one of the",
    "[codes below](#errors).\n",
    ...tags.flatMap((tag) => [
      `## ${headings[tag]}\n`,
      ...all.filter(({ endpoint }) => endpoint.tag === tag).map(chapter),
    ]),
    ...types(),
    ...errors(),
    ...rateLimits(),
    "## Limits\n",
    ...limitTables("http"),
  ].join("\n");
}

function chapter(operation: Operation): string {
  const { endpoint, params, body } = operation;
  const asked = [...rowsOf({ properties: params, required: Object.keys(params) }), ...(body ? rowsOf(body) : [])];
  return [
    `### \`${endpoint.name}\`\n`,
    `\`${endpoint.method.toUpperCase()} ${endpoint.path}\`\n`,
    `${endpoint.summary}\n`,
    `Who may call: ${callers[endpoint.access]}. ${limitsOf(operation)}${sizeOf(endpoint)}\n`,
    ...(asked.length > 0 ? ["Asked:\n", fieldTable(asked)] : []),
    ...(endpoint.body && !body ? ["Body: `application/octet-stream`.\n"] : []),
    ...answerOf(operation),
    errorsOf(operation),
  ].join("\n");
}

function errorsOf({ errors: codes, aboutErrors }: Operation): string {
  const list = codes.map((code) => `\`${code}\` ${httpStatus[code]}`).join(", ");
  return `Errors: ${list}.${aboutErrors && ` ${aboutErrors}`}\n`;
}

function limitsOf({ buckets: names }: Operation): string {
  if (names.length === 0) return "No bucket.";
  return `Buckets: ${names.map((name) => `\`${name}\` (${figuresOf(buckets[name])})`).join(", ")}.`;
}

function sizeOf({ maxBytes }: Operation["endpoint"]): string {
  return maxBytes === undefined ? "" : ` Body: at most ${figures(maxBytes)} bytes.`;
}

function figuresOf({ capacity, refillMs }: Bucket): string {
  return `${figures(capacity)}, then one every ${duration(refillMs)}`;
}

function answerOf({ endpoint, answer, aboutAnswer }: Operation): string[] {
  if (endpoint.media) return [`Answer: 200, \`${endpoint.media}\`.\n`];
  if (!endpoint.answer) return ["Answer: 204.\n"];
  if (!answer) return ["Answer: 200, `application/octet-stream`.\n"];
  if (answer.$ref) return [`Answer: 200, ${formOf(answer)}.\n`];
  const [first = answer, ...others] = (answer.oneOf as JsonObject[] | undefined) ?? [];
  return [
    `Answer: 200${aboutAnswer && `; ${aboutAnswer.replace(/\.$/, "")}`}:\n`,
    fieldTable(rowsOf(first)),
    ...others.flatMap((other) => ["Or:\n", fieldTable(rowsOf(other))]),
  ];
}

// ── fields ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Row = readonly [name: string, form: string, meaning: string];

function fieldTable(rows: readonly Row[]): string {
  return table(
    ["field", "form", "meaning"],
    rows.map((row) => [...row]),
  );
}

/** One a field, at any depth. */
function rowsOf(schema: JsonObject, prefix = ""): Row[] {
  const required = new Set(schema.required as string[] | undefined);
  return Object.entries(schema.properties as Record<string, JsonObject>).flatMap(([field, property]) => {
    const name = `${prefix}${field}`;
    const otherwise = property.default === undefined ? "" : `, otherwise \`${JSON.stringify(property.default)}\``;
    const optional = required.has(field) ? "" : `, optional${otherwise}`;
    const row: Row = [`\`${name}\`${optional}`, briefly(property), String(property.description ?? "")];
    return [row, ...rowsWithin(property, name)];
  });
}

function rowsWithin(property: JsonObject, name: string): Row[] {
  const items = property.items as JsonObject | undefined;
  if (items?.properties) return rowsOf(items, `${name}[].`);
  return property.properties ? rowsOf(property, `${name}.`) : [];
}

/** The parts of what has some follow in rows of their own. */
function briefly(schema: JsonObject): string {
  const items = schema.items as JsonObject | undefined;
  if (items?.properties) return formOf({ ...schema, items: { type: "object" } });
  return schema.properties ? "object" : formOf(schema);
}

function types(): string[] {
  const all = Object.entries(typesOfOperations());
  const simple = all.filter(([, schema]) => !schema.properties);
  const rows = simple.map(([name, schema]) => [
    name,
    name === "ErrorCode" ? "one of the codes below" : formOf(schema),
    String(schema.description ?? ""),
  ]);
  const composed = all.filter(([, schema]) => schema.properties);
  return [
    "## Types\n",
    table(["type", "form", "meaning"], rows),
    ...composed.flatMap(([name, schema]) => [
      `### ${name}\n`,
      ...(schema.description ? [`${schema.description}\n`] : []),
      fieldTable(rowsOf(schema)),
    ]),
  ];
}

// ── errors and limits ───────────────────────────────────────────────────────────────────────────────────────────────

function errors(): string[] {
  const retryOf = (code: ErrorCode) => {
    const retry = defaultRetry[code];
    return typeof retry === "number" ? `after ${duration(retry)}` : retry;
  };
  return [
    "## Errors\n",
    "A status of 429 or 503 comes with `retry-after`, in seconds, which counts if it says something else than this table.\n",
    table(
      ["code", "status", "retry"],
      ErrorCode.options.map((code) => [`\`${code}\``, String(httpStatus[code]), retryOf(code)]),
    ),
  ];
}

function rateLimits(): string[] {
  const comments = commentsOf("limits.ts");
  const rows = (names: readonly string[], constant: string) =>
    names.map((name) => [
      `\`${name}\``,
      figuresOf(buckets[name as BucketName]),
      whenStoreFails(buckets[name as BucketName]),
      comments[`${constant}.${name}`] ?? "",
    ]);
  const head = ["bucket", "figures", "when its store fails", "meaning"];
  return [
    "## Rate limits\n",
    "A bucket holds so many requests and fills again one at a time; what finds it empty is answered 429 (`rate_limited`).\n",
    `### Public\n\n${comments.publicBuckets}\n`,
    table(head, rows(Object.keys(publicBuckets), "publicBuckets")),
    `### A person's\n\n${comments.personBuckets}\n`,
    table(head, rows(Object.keys(personBuckets), "personBuckets")),
    `### A claimant's\n\n${comments.claimBucket} ${figuresOf(claimBucket)}.\n`,
    `### Of who adds somebody\n\n${comments.additionBucket} ${figuresOf(additionBucket)}.\n`,
  ];
}

function whenStoreFails({ whenStoreFails: answer }: Bucket): string {
  return answer === "allow" ? "allowed" : `refused: 503 (\`unavailable\`)`;
}
