import { parseStrictly } from "../../shared/strict-json.ts";
import { ContentError } from "./content-error.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws ContentError malformed, unless this is UTF-8 and {@link parseStrictly} takes it */
export function parseStrictJson(bytes: Uint8Array): unknown {
  try {
    return parseStrictly(decoder.decode(bytes));
  } catch {
    // What was wrong with it would quote it.
    throw new ContentError("malformed");
  }
}
