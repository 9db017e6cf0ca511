import type { Context } from "hono";
import * as v from "valibot";
import { Refusal } from "../../shared/errors.ts";
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
  const parsed = v.safeParse(schema, parseJson(await c.req.text()));
  if (!parsed.success) throw new Refusal("bad_frame");
  return parsed.output;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal("bad_frame");
  }
}
