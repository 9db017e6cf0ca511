import * as v from "valibot";
import { Refusal } from "../../shared/errors.ts";

/**
 * A call's arguments, decoded by their schema. What was wrong with them is not said: the platform records what a call is
 * rejected with, and a schema's own error quotes what it was given (docs/protocol.md R11). @throws Refusal bad_frame
 */
export function decodeArgs<T>(schema: v.GenericSchema<unknown, T>, args: unknown): T {
  const parsed = v.safeParse(schema, args);
  if (!parsed.success) throw new Refusal("bad_frame");
  return parsed.output;
}
