import type { Context, Handler, Hono } from "hono";
import * as v from "valibot";
import { type AnswerOf, type BodyOf, bytes, type Endpoint, type ParamsOf } from "../../shared/api/endpoint.ts";
import { Refusal } from "../../shared/errors.ts";
import { admit } from "./auth/admission.ts";
import { authenticate, authenticateLink } from "./auth/bearer.ts";
import type { Caller, LinkCaller } from "./auth/tokens.ts";
import type { GatewayTypes } from "./context.ts";
import { type Database, openDatabase } from "./database/database.ts";
import { limitBody } from "./limit-body.ts";
import { BYTES, readBytes } from "./read-bytes.ts";
import { readJson } from "./read-json.ts";

/** A request that was authenticated, admitted and decoded as its endpoint says. */
export interface Call<E extends Endpoint = Endpoint> {
  readonly c: Context<GatewayTypes>;
  readonly requestId: string;
  readonly params: ParamsOf<E>;
  readonly body: BodyOf<E>;
  readonly caller: E["access"] extends "device" ? Caller : E["access"] extends "link" ? LinkCaller : undefined;
  /** Reads may come from a replica that is as new as the last answer this client had (docs/architecture.md). */
  readonly db: Database;
}

/** Answers what the endpoint's schema says: JSON, bytes, nothing (204), or a response of its own. */
export type Serve<E extends Endpoint> = (call: Call<E>) => Promise<AnswerOf<E> | Response>;

/** Mounts an endpoint: nothing reaches its handler that the endpoint does not describe. */
export function serve<const E extends Endpoint>(gateway: Hono<GatewayTypes>, endpoint: E, handle: Serve<E>): void {
  gateway.on(endpoint.method, endpoint.path, limitBody(endpoint), handlerOf(endpoint, handle));
}

function handlerOf<E extends Endpoint>(endpoint: E, handle: Serve<E>): Handler<GatewayTypes> {
  return async (c) => {
    const caller = await callerOf(endpoint, c);
    const params = endpoint.params ? decodeParams(endpoint.params, c.req.param()) : undefined;
    const body = endpoint.body && (await (endpoint.body === bytes ? readBytes(c) : readJson(c, endpoint.body)));
    const { db, bookmark } = openDatabase(c);
    const call = { c, requestId: c.var.requestId, params, body, caller, db };
    const handled = handle(call as Call<E>);
    // The platform would stop in the middle when whoever asks goes away: what was stored would be left behind, named by nothing.
    if (endpoint.method !== "get") c.executionCtx.waitUntil(handled.catch(() => {}));
    const answer = await handled;
    const reached = bookmark();
    if (reached !== undefined) c.header("sandpiper-bookmark", reached);
    if (answer instanceof Response) return answer;
    if (endpoint.answer === bytes) return c.body(answer as Uint8Array<ArrayBuffer>, 200, { "content-type": BYTES });
    return answer === undefined ? c.body(null, 204) : c.json(answer as object);
  };
}

async function callerOf(endpoint: Endpoint, c: Context<GatewayTypes>): Promise<Caller | LinkCaller | undefined> {
  if (endpoint.access === "anyone") return undefined;
  if (endpoint.access === "link") return authenticateLink(c);
  const caller = await authenticate(c);
  if (endpoint.bucket) await admit(c.env, caller, endpoint.bucket);
  return caller;
}

/** A parameter that no id can be names nothing. @throws Refusal not_found */
function decodeParams(schema: v.GenericSchema, params: Record<string, string>): unknown {
  const parsed = v.safeParse(schema, params);
  if (!parsed.success) throw new Refusal("not_found");
  return parsed.output;
}
