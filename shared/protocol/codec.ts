import * as v from "valibot";
import { Refusal } from "../errors.ts";
import { MAX_FRAME_BYTES, MAX_HEADER_BYTES } from "../limits.ts";
import { DownFrame, type DownType } from "./down.ts";
import { UpFrame, type UpType } from "./up.ts";

/**
 * How frames become bytes (docs/protocol.md §2). A control frame is JSON text. A frame that carries sealed bytes is
 * binary: u32 big-endian header length | JSON header | raw bytes. The raw bytes are never copied into JSON.
 */
export type Wire = string | Uint8Array;

/** A decoded frame with the raw bytes behind its header (empty for a control frame). */
export interface Framed<F> {
  readonly frame: F;
  readonly body: Uint8Array;
}

const binaryUp: ReadonlySet<UpType> = new Set(["send", "sends"]);
const binaryDown: ReadonlySet<DownType> = new Set(["message", "entries"]);
const nothing = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encodeUp(frame: UpFrame, body: Uint8Array = nothing): Wire {
  return binaryUp.has(frame.type) ? join(frame, [body]) : JSON.stringify(frame);
}

/** @param bodies for `message` one, for `entries` one an entry, in order */
export function encodeDown(frame: DownFrame, bodies: readonly Uint8Array[] = []): Wire {
  return binaryDown.has(frame.type) ? join(frame, bodies) : JSON.stringify(frame);
}

/** @throws Refusal too_large | bad_frame | unknown_type */
export function decodeUp(wire: Wire): Framed<UpFrame> {
  if (sizeOf(wire) > MAX_FRAME_BYTES) throw new Refusal("too_large");
  return decode(wire, upSchemas, binaryUp);
}

/** @throws Refusal bad_frame | unknown_type */
export function decodeDown(wire: Wire): Framed<DownFrame> {
  return decode(wire, downSchemas, binaryDown);
}

/** The bodies of a frame that has several, one behind the other. */
export function joinBodies(bodies: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(bodies.reduce((sum, body) => sum + body.byteLength, 0));
  let offset = 0;
  for (const body of bodies) {
    joined.set(body, offset);
    offset += body.byteLength;
  }
  return joined;
}

/** The bodies of an `entries` or `sends` frame, views into its raw bytes. @throws Refusal bad_frame where the lengths do not fit */
export function splitBodies(lengths: readonly number[], body: Uint8Array): Uint8Array[] {
  let offset = 0;
  const bodies: Uint8Array[] = [];
  for (const length of lengths) {
    bodies.push(body.subarray(offset, offset + length));
    offset += length;
  }
  if (offset !== body.byteLength) throw new Refusal("bad_frame");
  return bodies;
}

/** Characters are counted as a byte each before decoding: enough to refuse a giant before it is parsed. */
function sizeOf(wire: Wire): number {
  return typeof wire === "string" ? wire.length : wire.byteLength;
}

/** Frames' schemas by their type: looking one up is quicker than letting a variant try. */
type Schemas<F> = ReadonlyMap<string, v.GenericSchema<unknown, F>>;
const upSchemas: Schemas<UpFrame> = new Map(UpFrame.options.map((schema) => [schema.entries.type.literal, schema]));
const downSchemas: Schemas<DownFrame> = new Map(
  DownFrame.options.map((schema) => [schema.entries.type.literal, schema]),
);

function decode<F extends { type: string }>(wire: Wire, schemas: Schemas<F>, binary: ReadonlySet<string>): Framed<F> {
  const { header, body } = typeof wire === "string" ? { header: wire, body: nothing } : split(wire);
  const value = parseJson(header);
  const type = typeOf(value);
  const schema = schemas.get(type);
  if (!schema) throw new Refusal("unknown_type");
  const parsed = v.safeParse(schema, value);
  if (!parsed.success || binary.has(type) !== (typeof wire !== "string")) throw new Refusal("bad_frame");
  return { frame: parsed.output, body };
}

/** @throws Refusal bad_frame for what is no frame at all */
function typeOf(value: unknown): string {
  if (typeof value !== "object" || value === null || !("type" in value)) throw new Refusal("bad_frame");
  if (typeof value.type !== "string") throw new Refusal("bad_frame");
  return value.type;
}

function split(wire: Uint8Array): { header: string; body: Uint8Array } {
  if (wire.byteLength < 4) throw new Refusal("bad_frame");
  const length = new DataView(wire.buffer, wire.byteOffset, wire.byteLength).getUint32(0);
  if (length > MAX_HEADER_BYTES || 4 + length > wire.byteLength) throw new Refusal("bad_frame");
  try {
    return { header: decoder.decode(wire.subarray(4, 4 + length)), body: wire.subarray(4 + length) };
  } catch {
    throw new Refusal("bad_frame");
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal("bad_frame");
  }
}

function join(header: object, bodies: readonly Uint8Array[]): Uint8Array {
  const head = encoder.encode(JSON.stringify(header));
  const size = bodies.reduce((sum, body) => sum + body.byteLength, 4 + head.byteLength);
  const wire = new Uint8Array(size);
  new DataView(wire.buffer).setUint32(0, head.byteLength);
  wire.set(head, 4);
  let offset = 4 + head.byteLength;
  for (const body of bodies) {
    wire.set(body, offset);
    offset += body.byteLength;
  }
  return wire;
}
