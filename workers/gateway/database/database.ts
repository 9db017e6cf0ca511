import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { Context } from "hono";
import type { GatewayTypes } from "../context.ts";

export type Database = DrizzleD1Database;

/** What a client was given with an earlier answer: its reads see at least what that answer saw. */
export const BOOKMARK_HEADER = "sandpiper-bookmark";
/** As D1 makes them: nothing else is passed on to it. */
const BOOKMARK = /^[\da-f]{8}-[\da-f]{8}-[\da-f]{8}-[\da-f]{32}$/;

export interface OpenDatabase {
  readonly db: Database;
  /** How far this request has got; undefined if it never asked. */
  bookmark(): string | undefined;
}

/**
 * The database through D1's Sessions API: reads may be served by a replica near by, never by one that is older than what
 * this client has seen. Writes always go to the primary.
 */
export function openDatabase(c: Context<GatewayTypes>): OpenDatabase {
  const given = c.req.header(BOOKMARK_HEADER);
  return openSession(c, given && BOOKMARK.test(given) ? given : "first-unconstrained");
}

/** The same from the primary: for what must not miss a write of a moment ago, such as whose a phone number is. */
export function openPrimary(c: Context<GatewayTypes>): OpenDatabase {
  return openSession(c, "first-primary");
}

function openSession(c: Context<GatewayTypes>, from: string): OpenDatabase {
  const session = c.env.DB.withSession(from);
  return {
    db: drizzle(session as unknown as D1Database),
    bookmark: () => session.getBookmark() ?? undefined,
  };
}
