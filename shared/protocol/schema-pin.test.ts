import { createHash } from "node:crypto";
import { toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { expect, it } from "vitest";
import { closeCodes, ErrorCode } from "../errors.ts";
import { MAX_BODY_BYTES, MAX_FRAME_BYTES, MAX_HEADER_BYTES } from "../limits.ts";
import { PushJob } from "../push-job.ts";
import * as rpc from "../rpc.ts";
import { DownFrame } from "./down.ts";
import { UpFrame } from "./up.ts";
import { PING, PONG, SUBPROTOCOL, TICKET_PREFIX } from "./version.ts";

/** The version and what it stands for, changed together or not at all. */
const pinned = {
  subprotocol: "sandpiper.v1",
  wire: "ac56e93a972c988a15d78fd96c9c76105f199b473c342d89a27cf7a87d15c385",
  calls: "626165409907a5d81ed4594b9c037437d949d46d1f22bcff137e5d4990067fdb",
};

const wire = {
  up: canonical(UpFrame),
  down: canonical(DownFrame),
  sizes: { MAX_FRAME_BYTES, MAX_HEADER_BYTES, MAX_BODY_BYTES },
  words: { PING, PONG, TICKET_PREFIX },
  errorCodes: ErrorCode.options,
  closeCodes,
};

/** Everything that shared/rpc.ts and shared/push-job.ts export. */
const calls = Object.fromEntries(
  Object.entries({ ...rpc, PushJob }).map(([name, value]) => [
    name,
    typeof value === "string" ? value : canonical(value),
  ]),
);

it("the wire changes only together with its version", () => {
  expect(SUBPROTOCOL, "pin the new version here, and the hash that goes with it").toBe(pinned.subprotocol);
  const advice =
    "What goes over the wire has changed. Give SUBPROTOCOL a new version and let the gateway accept the old one for as " +
    "long as clients speak it; before the first release pin the new hash deliberately. Then npm run docs.";
  expect(hashOf(wire), advice).toBe(pinned.wire);
});

it("what objects ask of each other changes deliberately", () => {
  const advice =
    "What objects and Workers say to each other has changed. During a deployment old and new versions talk to each " +
    "other: a field may be added if it is optional, none may be removed or mean something else. Then pin the new hash.";
  expect(hashOf(calls), advice).toBe(pinned.calls);
});

it("the order of keys is no change, anything else is one", () => {
  expect(hashOf({ a: 1, b: { c: 2, d: [3] } })).toBe(hashOf({ b: { d: [3], c: 2 }, a: 1 }));
  expect(hashOf({ a: [1, 2] })).not.toBe(hashOf({ a: [2, 1] }));
});

/** JSON Schema has no word for a check of ours, nor for bytes: the codec's tests watch those. */
function canonical(schema: v.GenericSchema): unknown {
  return toJsonSchema(schema, {
    overrideAction: ({ valibotAction, jsonSchema }) => (valibotAction.type === "check" ? jsonSchema : undefined),
    overrideSchema: ({ valibotSchema: { type } }) =>
      type === "custom" || type === "instance" ? { description: "bytes" } : undefined,
  });
}

function hashOf(value: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(value)))
    .digest("hex");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}
