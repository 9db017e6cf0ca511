import * as v from "valibot";
import { MAX_CONTENT_BYTES, MAX_KIND_CHARS } from "../shared/limits.ts";
import { ContentError } from "./content/content-error.ts";
import { type ContentOf, isKnownContent, isKnownKind, type KnownContent } from "./content/kinds.ts";
import { isLocalKind } from "./content/local.ts";
import { parseStrictJson } from "./content/strict-json.ts";

/**
 * What a message says: a JSON object with a `kind`, bytes in base64url. A field that a kind does not know is kept and
 * ignored; a change that must not be ignored raises `version`, which is 1 where it is not given.
 */
export type Content = KnownContent | UnknownContent;

export type TextContent = ContentOf<"text">;

/** Of a kind or a version that this client does not know: kept as it came, for a later one. */
export interface UnknownContent {
  readonly kind: "unknown";
  readonly original: Original;
}

const VERSION = 1;
const Original = v.looseObject({
  kind: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_KIND_CHARS)),
  version: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(VERSION))),
});
type Original = v.InferOutput<typeof Original>;

export function isText(content: { readonly kind: string }): content is TextContent {
  return content.kind === "text";
}

const encoder = new TextEncoder();

/** @throws ContentError malformed | too_large: nothing is written that others would refuse */
export function encodeContent(content: Content): Uint8Array<ArrayBuffer> {
  const bytes = encoder.encode(stringify(content.kind === "unknown" ? content.original : content));
  decodeContent(bytes);
  return bytes;
}

/** Of what others sent, or of what was kept of it. @throws ContentError malformed | too_large */
export function decodeContent(bytes: Uint8Array): Content {
  if (bytes.byteLength > MAX_CONTENT_BYTES) throw new ContentError("too_large");
  const value = parseStrictJson(bytes);
  if (!v.is(Original, value) || isLocalKind(value.kind)) throw new ContentError("malformed");
  if (!isKnownKind(value.kind) || (value.version ?? VERSION) > VERSION) return { kind: "unknown", original: value };
  if (!isKnownContent(value)) throw new ContentError("malformed");
  return value;
}

/** What is no JSON, such as a cycle, throws. */
function stringify(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new ContentError("malformed", { cause });
  }
}
