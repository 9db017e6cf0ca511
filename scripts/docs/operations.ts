import type * as v from "valibot";
import * as archives from "../../shared/api/archives.ts";
import * as devices from "../../shared/api/devices.ts";
import * as encryption from "../../shared/api/encryption.ts";
import { bytes, commonErrors, type Endpoint } from "../../shared/api/endpoint.ts";
import * as people from "../../shared/api/people.ts";
import * as rights from "../../shared/api/rights.ts";
import * as service from "../../shared/api/service.ts";
import * as session from "../../shared/api/session.ts";
import * as signIn from "../../shared/api/sign-in.ts";
import { type ErrorCode, Problem } from "../../shared/errors.ts";
import type { PersonBucket, PublicBucket } from "../../shared/limits.ts";
import { commentsOf } from "./comments.ts";
import type { JsonObject } from "./json.ts";
import { basicComments, basicTypes, type Dialect, jsonSchemaOf, namedSchemas } from "./schemas.ts";

/** An endpoint of shared/api/ in the words of JSON Schema, with what its comments say. */
export interface Operation {
  readonly endpoint: Endpoint;
  /** Each with its description, by name. */
  readonly params: Readonly<Record<string, JsonObject>>;
  /** Absent where there is none, or where it is bytes. */
  readonly body?: JsonObject;
  /** As the body. */
  readonly answer?: JsonObject;
  /** What its comment says of the whole answer. */
  readonly aboutAnswer: string;
  readonly errors: readonly ErrorCode[];
  /** What its comment says of them. */
  readonly aboutErrors: string;
  readonly buckets: readonly BucketName[];
}
export type BucketName = PublicBucket | PersonBucket;

type Module = Readonly<Record<string, unknown>>;
const files: Readonly<Record<string, Module>> = {
  "sign-in.ts": signIn,
  "session.ts": session,
  "devices.ts": devices,
  "people.ts": people,
  "encryption.ts": encryption,
  "archives.ts": archives,
  "rights.ts": rights,
  "service.ts": service,
};

/** What the schemas cannot say: buckets beside the caller's own one. They depend on what the request turns out to be. */
const furtherBuckets: Partial<Record<string, readonly BucketName[]>> = {
  requestCode: ["code_ip", "code_prefix", "code_global"],
  signIn: ["guess_ip", "pin"],
  completeSignIn: ["guess_ip", "pin"],
  refreshSession: ["refresh"],
  openDeviceLink: ["device_link_ip"],
  discoverContacts: ["discovery"],
  setPin: ["pin"],
  removePin: ["pin"],
  deleteAccount: ["pin"],
};

/** Everything exported that has a name in capitals is referred to by it. */
const named = Object.keys(files).flatMap((file) => exportsOf(file).filter(isNamedSchema));
const { Ulid, ConversationId, Time, ErrorCode: Code } = basicTypes;
const dialect: Dialect = {
  target: "draft-2020-12",
  typeMode: "input",
  definitions: { Ulid, ConversationId, Time, ErrorCode: Code, ...Object.fromEntries(named), Problem },
};

export function operations(): Operation[] {
  return Object.keys(files).flatMap((file) => {
    const comments = commentsOf(`api/${file}`);
    return exportsOf(file)
      .map(([, value]) => value)
      .filter(isEndpoint)
      .map((endpoint) => operationOf(endpoint, comments));
  });
}

/** In the order of the source, which the comments have and a module has not. */
function exportsOf(file: string): [string, unknown][] {
  const module = files[file] ?? {};
  const names = Object.keys(commentsOf(`api/${file}`)).filter((name) => name in module);
  return names.map((name) => [name, module[name]]);
}

/** Of all operations, by name. */
export function typesOfOperations(): Record<string, JsonObject> {
  const comments = Object.assign(basicComments(), ...Object.keys(files).map((file) => commentsOf(`api/${file}`)));
  const schemas = Object.entries(namedSchemas(dialect, comments));
  return Object.fromEntries(schemas.map(([name, schema]) => [name, annotated(schema, name, comments)]));
}

function operationOf(endpoint: Endpoint, comments: Record<string, string>): Operation {
  const { name, params, body, answer, access, bucket } = endpoint;
  const schemaOf = (schema: v.GenericSchema, typeMode: "input" | "output") =>
    annotated(jsonSchemaOf(schema, { ...dialect, typeMode }), name, comments);
  const buckets = [...(bucket ? [bucket] : []), ...(furtherBuckets[name] ?? [])];
  const errors: ErrorCode[] = [
    // A wrong method is a matter of the path: no operation answers so.
    ...commonErrors.filter((code) => code !== "method_not_allowed"),
    ...(access === "anyone" ? [] : (["unauthenticated"] as const)),
    ...(buckets.length > 0 ? (["rate_limited"] as const) : []),
    ...endpoint.errors,
  ];
  return {
    endpoint,
    params: params ? (schemaOf(params, "input").properties as Record<string, JsonObject>) : {},
    ...(body && body !== bytes && { body: schemaOf(body, "input") }),
    ...(answer && answer !== bytes && { answer: schemaOf(answer, "output") }),
    aboutAnswer: comments[`${name}.answer`] ?? "",
    errors: [...new Set(errors)].toSorted(),
    aboutErrors: comments[`${name}.errors`] ?? "",
    buckets,
  };
}

/** With what the comments say of each field, at any depth; what is not a field of its own was spread in. */
function annotated(schema: JsonObject, owner: string, comments: Record<string, string>): JsonObject {
  const { properties, items, oneOf } = schema;
  if (oneOf) return { ...schema, oneOf: (oneOf as JsonObject[]).map((one) => annotated(one, owner, comments)) };
  if (isObject(items)) return { ...schema, items: annotated(items, owner, comments) };
  if (!isObject(properties)) return schema;
  const fields = Object.entries(properties).map(([field, property]) => {
    const description = comments[`${owner}.${field}`] ?? comments[`.${field}`];
    return [field, { ...(description && { description }), ...annotated(property as JsonObject, owner, comments) }];
  });
  return { ...schema, properties: Object.fromEntries(fields) as JsonObject };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEndpoint(value: unknown): value is Endpoint {
  return isRecord(value) && "method" in value && "path" in value;
}

function isNamedSchema(entry: [string, unknown]): entry is [string, v.GenericSchema] {
  const [name, value] = entry;
  return /^[A-Z]/.test(name) && isRecord(value) && value.kind === "schema";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
