import type { Context } from "hono";
import { Refusal } from "../../shared/errors.ts";
import type { GatewayTypes } from "./context.ts";

/**
 * The request's body as it came. Only what is declared as bytes is read: no page of another origin can send that without
 * asking first, and no answer of ours permits it. @throws Refusal bad_frame
 */
export async function readBytes(c: Context<GatewayTypes>): Promise<Uint8Array<ArrayBuffer>> {
  if (c.req.header("content-type")?.toLowerCase() !== BYTES) throw new Refusal("bad_frame");
  const body = new Uint8Array(await c.req.arrayBuffer());
  if (body.byteLength === 0) throw new Refusal("bad_frame");
  return body;
}

export const BYTES = "application/octet-stream";
