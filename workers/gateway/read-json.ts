import type { Context } from "hono";
import * as v from "valibot";
import { Refusal } from "../../shared/errors.ts";
import { MAX_JSON_DEPTH_LEVELS, MAX_JSON_VALUES } from "../../shared/limits.ts";
import { parseStrictly } from "../../shared/strict-json.ts";
import type { GatewayTypes } from "./context.ts";

/**
 * The request's body, decoded by its schema. Only a declared JSON body is read: no page of another origin can send one
 * without asking first, and no answer of ours permits it. @throws Refusal bad_frame
 */
export async function readJson<Schema extends v.GenericSchema>(
  c: Context<GatewayTypes>,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  if (!/^application\/json\s*(?:;|$)/i.test(c.req.header("content-type") ?? "")) throw new Refusal("bad_frame");
  const parsed = v.safeParse(schema, parseJson(await c.req.arrayBuffer()));
  if (!parsed.success) throw new Refusal("bad_frame");
  return parsed.output;
}

function parseJson(bytes: ArrayBuffer): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
    refuseLarge(text);
    const value = parseStrictly(text);
    // Where every field may be left out, a list would pass for an object.
    if (Array.isArray(value)) throw new Refusal("bad_frame");
    return value;
  } catch {
    throw new Refusal("bad_frame");
  }
}

/**
 * What would become much larger when it is parsed: a body of empty lists can take all of the memory that there is, of all who
 * ask at that moment. What is no JSON is for the parser to refuse. @throws Refusal bad_frame
 */
function refuseLarge(json: string): void {
  let depth = 0;
  let values = 1;
  let isText = false;
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === '"') isText = !isText;
    else if (isText) at += character === "\\" ? 1 : 0;
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") depth--;
    else if (character === ",") values++;
    if (depth > MAX_JSON_DEPTH_LEVELS || values > MAX_JSON_VALUES) throw new Refusal("bad_frame");
  }
}
