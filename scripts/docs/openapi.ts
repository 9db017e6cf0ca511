// What can be asked over HTTP as an OpenAPI 3.1 document, from the endpoints in shared/api/.

import { defaultRetry, ErrorCode, httpStatus } from "../../shared/errors.ts";
import { personBuckets, publicBuckets } from "../../shared/limits.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import type { Json, JsonObject } from "./json.ts";
import { type Operation, operations, typesOfOperations } from "./operations.ts";

const about =
  "Everything is asked with JSON bodies, or bytes where an operation says so: no URL ever carries a secret or what somebody " +
  "looks for. Every refusal is a problem document (RFC 9457) with a stable `code`. A path that exists is answered with 405 " +
  "(`method_not_allowed`) under another method. docs/http.md is the same for reading; the socket is described in " +
  "docs/asyncapi.yaml.";

export function openApi(): JsonObject {
  const all = operations();
  return {
    openapi: "3.1.1",
    info: {
      title: "Sandpiper",
      version: "1",
      description: about,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "http://127.0.0.1:8787", description: "What `npm start` runs." }],
    tags: [...new Set(all.map(({ endpoint }) => endpoint.tag))].map((name) => ({ name })),
    paths: pathsOf(all),
    components: {
      schemas: typesOfOperations(),
      responses: refusalsOf(all),
      parameters,
      headers,
      securitySchemes,
    },
    "x-error-codes": byName(ErrorCode.options, (code) => ({ status: httpStatus[code], retry: defaultRetry[code] })),
    "x-rate-limits": { ...personBuckets, ...publicBuckets },
  };
}

// ── operations ──────────────────────────────────────────────────────────────────────────────────────────────────────

function pathsOf(all: readonly Operation[]): JsonObject {
  const paths: Record<string, JsonObject> = {};
  for (const operation of all) {
    const path = operation.endpoint.path.replace(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [operation.endpoint.method]: operationOf(operation) };
  }
  return { ...paths, "/v1/connect": { get: upgrade() } };
}

function operationOf(operation: Operation): JsonObject {
  const { endpoint, body, buckets, aboutErrors } = operation;
  return {
    operationId: endpoint.name,
    tags: [endpoint.tag],
    summary: endpoint.summary,
    ...(aboutErrors && { description: aboutErrors }),
    security: securityOf(operation),
    parameters: parametersOf(operation),
    ...(endpoint.body && { requestBody: { required: true, content: contentOf(body) } }),
    responses: { ...successOf(operation), ...refusalRefs(operation.errors) },
    ...(buckets.length > 0 && { "x-buckets": [...buckets] }),
  };
}

function securityOf({ endpoint: { access, name } }: Operation): Json[] {
  if (access !== "anyone") return [{ [`${access}Token`]: [] }];
  // The token stands in the body where there is no cookie.
  return name === "refreshSession" ? [{ refreshCookie: [] }, {}] : [];
}

function parametersOf({ endpoint, params }: Operation): Json[] {
  const inPath = Object.entries(params).map(([name, schema]) => ({ name, in: "path", required: true, schema }));
  const bookmark = readsDatabase(endpoint.tag) ? [{ $ref: "#/components/parameters/Bookmark" }] : [];
  return [...inPath, ...bookmark];
}

function readsDatabase(tag: string): boolean {
  return tag !== "service" && tag !== "connection";
}

function successOf({ endpoint, answer, aboutAnswer }: Operation): JsonObject {
  const headerNames = [
    "x-request-id",
    ...(readsDatabase(endpoint.tag) ? ["sandpiper-bookmark"] : []),
    ...(setsCookie.has(endpoint.name) ? ["set-cookie"] : []),
  ];
  const headers = byName(headerNames, (name) => ({ $ref: `#/components/headers/${name}` }));
  if (endpoint.media) return { "200": { description: "The file.", headers, content: { [endpoint.media]: {} } } };
  if (!endpoint.answer) return { "204": { description: "Done.", headers } };
  const description = aboutAnswer || "The answer.";
  return { "200": { description, headers, content: contentOf(answer) } };
}

/** What has no schema is bytes. */
function contentOf(schema: JsonObject | undefined): JsonObject {
  return schema ? { "application/json": { schema } } : { "application/octet-stream": {} };
}

/** For pages: the refresh token, or that it is to be forgotten. */
const setsCookie: ReadonlySet<string> = new Set([
  "signIn",
  "completeSignIn",
  "completeDeviceLink",
  "refreshSession",
  "signOut",
]);

/** `revoked`, `signed_out`: the ticket is good, and the device is not any more. */
const upgradeErrors = [
  "bad_frame",
  "forbidden_origin",
  "revoked",
  "signed_out",
  "unauthenticated",
  "unavailable",
] as const;

function upgrade(): JsonObject {
  return {
    operationId: "connect",
    tags: ["connection"],
    summary: "Opens the device's socket (RFC 6455). What is said there is described in docs/asyncapi.yaml.",
    security: [{ ticket: [] }],
    parameters: [
      { name: "Upgrade", in: "header", required: true, schema: { type: "string", const: "websocket" } },
      {
        name: "Sec-WebSocket-Protocol",
        in: "header",
        required: true,
        description: `\`${SUBPROTOCOL}\` and, as a second one, \`${TICKET_PREFIX}\` followed by the ticket. Only the first is selected.`,
        schema: { type: "string" },
      },
      {
        name: "Origin",
        in: "header",
        description: "Browsers send it: one of those that are allowed. A request without it must carry no cookie.",
        schema: { type: "string" },
      },
    ],
    responses: {
      "101": { description: "The socket is open." },
      ...refusalRefs(upgradeErrors),
      // Not an upgrade at all.
      "426": refusal(426, ["bad_frame"]),
    },
  };
}

// ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Those of the same status are one answer; it is named after the codes that it can carry. */
function refusalRefs(codes: readonly ErrorCode[]): JsonObject {
  return Object.fromEntries(
    byStatus(codes).map(([status, group]) => [
      String(status),
      { $ref: `#/components/responses/${refusalName(status, group)}` },
    ]),
  );
}

function refusalsOf(all: readonly Operation[]): JsonObject {
  const sets: readonly (readonly ErrorCode[])[] = [...all.map(({ errors }) => errors), upgradeErrors];
  const groups = sets.flatMap(byStatus).toSorted(([a], [b]) => a - b);
  return Object.fromEntries(groups.map(([status, codes]) => [refusalName(status, codes), refusal(status, codes)]));
}

function byStatus(codes: readonly ErrorCode[]): [number, ErrorCode[]][] {
  const groups = Map.groupBy(codes.toSorted(), (code): number => httpStatus[code]);
  return [...groups].toSorted(([a], [b]) => a - b);
}

function refusalName(status: number, codes: readonly ErrorCode[]): string {
  return [status, ...codes].join(".");
}

function refusal(status: number, codes: readonly ErrorCode[]): JsonObject {
  return {
    description: codes.map((code) => `\`${code}\``).join(" or "),
    headers: byName(["x-request-id", ...(headersOf[status] ?? [])], (name) => ({
      $ref: `#/components/headers/${name}`,
    })),
    content: problemContent(codes),
  };
}

const headersOf: Partial<Record<number, readonly string[]>> = {
  401: ["www-authenticate"],
  429: ["retry-after"],
  503: ["retry-after"],
};

function problemContent(codes: readonly ErrorCode[]): JsonObject {
  const schema = { $ref: "#/components/schemas/Problem", properties: { code: { enum: [...codes] } } };
  return { "application/problem+json": { schema } };
}

// ── components ──────────────────────────────────────────────────────────────────────────────────────────────────────

const bookmark =
  "How far the client has seen the database. An answer's is sent with the next request, so that a replica that answers " +
  "it is at least as new.";

const parameters: JsonObject = {
  Bookmark: { name: "sandpiper-bookmark", in: "header", description: bookmark, schema: { type: "string" } },
};

const headers: JsonObject = {
  "x-request-id": {
    description: "Names the request in the logs; a problem's `requestId` is the same.",
    schema: { type: "string" },
  },
  "sandpiper-bookmark": { description: bookmark, schema: { type: "string" } },
  "set-cookie": {
    description: "Where the session is a page's: the refresh token in a cookie, or that it is to be forgotten.",
    schema: { type: "string" },
  },
  "retry-after": { description: "Seconds.", schema: { type: "integer", minimum: 0 } },
  "www-authenticate": { description: "Always `Bearer`.", schema: { type: "string" } },
};

const securitySchemes: JsonObject = {
  deviceToken: { type: "http", scheme: "bearer", bearerFormat: "JWT", description: "A device's access token." },
  linkToken: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "The token that `openDeviceLink` answered.",
  },
  refreshCookie: {
    type: "apiKey",
    in: "cookie",
    name: "__Secure-sandpiper-refresh",
    description:
      "Set at sign-in if `cookie` is asked for; no script can read it, and it goes to /v1/session alone. A developer's " +
      "machine, which answers without TLS, leaves the prefix out.",
  },
  ticket: {
    type: "apiKey",
    in: "header",
    name: "Sec-WebSocket-Protocol",
    description: "Offered as a second subprotocol: browsers can set no other header with an upgrade.",
  },
};

function byName<Name extends string>(names: readonly Name[], entry: (name: Name) => Json): JsonObject {
  return Object.fromEntries(names.map((name) => [name, entry(name)]));
}
