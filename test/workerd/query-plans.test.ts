import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import { removeRecords } from "../../durable-objects/runtime/removal.ts";
import { MAX_EXCEPTIONS_PER_AUDIENCE, MAX_HASHES_PER_DISCOVERY } from "../../shared/limits.ts";
import type { Database } from "../../workers/gateway/database/database.ts";
import { user } from "../../workers/gateway/database/schema.ts";

declare global {
  interface ImportMeta {
    /** Vite's: what the files that match export, by path. */
    glob<T>(patterns: string | string[], options: { eager: true; query?: string; import?: string }): Record<string, T>;
  }
}

/** D1 refuses a query with more. */
const MAX_BOUND_PARAMETERS = 100;

type Query = { sql: string; params: unknown[] };
type AskDatabase = (db: Database, ...args: unknown[]) => Promise<unknown>;

const gatewayFiles = import.meta.glob<string>("../../workers/gateway/**/*.ts", {
  eager: true,
  query: "?raw",
  import: "default",
});
/** Everything in the folder but what opens and describes the database. */
const modules = import.meta.glob<Record<string, AskDatabase>>(
  ["../../workers/gateway/database/*.ts", "!**/database.ts", "!**/schema.ts", "!**/listed.ts"],
  { eager: true },
);
const functions = Object.values(modules).flatMap((module) => Object.entries(module));

const [one, other] = [ulid(), ulid()];
const many = (count: number) => Array.from({ length: count }, () => ulid());
const named = { name: "name", nameHash: "hash", owner: one, now: 1 };
const audience = { audience: "except", except: many(MAX_EXCEPTIONS_PER_AUDIENCE) };

/** For each function that asks the database, what it is called with after it. */
const samples: Record<string, unknown[]> = {
  userByPhoneHash: ["hash"],
  userExists: [one],
  insertUser: [{ id: one, phoneHash: "hash", phoneEnd: "00", createdAt: 1 }],
  deleteUser: [one],
  ownProfile: [one],
  changeProfile: [one, { name: "name", about: "about", discoverable: false, link: "link" }],
  peopleById: [many(MAX_HASHES_PER_DISCOVERY)],
  personByUsername: ["name"],
  personByLink: ["link"],
  peopleByPhoneHash: [many(MAX_HASHES_PER_DISCOVERY)],
  contactsOf: [one],
  addContact: [{ owner: one, other, at: 1 }],
  removeContact: [one, other],
  reserveUsername: [named],
  confirmUsername: [named],
  releaseUsername: [one, 1],
  usernamesOf: [one],
  holdsFor: [one],
  privacyOf: [one],
  changePrivacy: [one, { seen: audience, picture: audience, about: audience, groups: audience }],
  viewOf: [one, other],
  insertReport: [
    { id: one, reporter: one, reported: other, reason: "spam", conversation: null, evidence: null, at: 1 },
  ],
  reportsBy: [one],
};

/** The database, which writes down every query that it is asked. */
function recording(queries: Query[]): D1Database {
  const prepare = (sql: string) => {
    const statement = env.DB.prepare(sql);
    const bind = statement.bind.bind(statement);
    statement.bind = (...params: unknown[]) => {
      queries.push({ sql, params });
      return bind(...params);
    };
    return statement;
  };
  return { prepare, batch: (statements: D1PreparedStatement[]) => env.DB.batch(statements) } as D1Database;
}

async function queriesOf(work: (database: D1Database) => Promise<unknown>): Promise<Query[]> {
  const queries: Query[] = [];
  await work(recording(queries));
  return queries;
}

/** The steps of a query that go through a whole table or a whole index. */
async function scansOf({ sql, params }: Query): Promise<string[]> {
  const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${sql}`)
    .bind(...params)
    .all<{ detail: string }>();
  return results.map(({ detail }) => detail).filter(isScan);
}

function isScan(detail: string): boolean {
  const isWhole = /^SCAN /.test(detail) && !/^SCAN (?:CONSTANT ROW|json_each VIRTUAL TABLE)/.test(detail);
  // An index that is made for one query goes through the table to be made.
  return isWhole || /AUTOMATIC/.test(detail);
}

async function expectSearches(queries: Query[]): Promise<void> {
  expect(queries).not.toEqual([]);
  for (const query of queries) {
    expect(query.params.length).toBeLessThanOrEqual(MAX_BOUND_PARAMETERS);
    expect({ sql: query.sql, scans: await scansOf(query) }).toEqual({ sql: query.sql, scans: [] });
  }
}

beforeEach(async () => {
  const people = [one, other].map((id) => ({ id, phoneHash: id, phoneEnd: "00", createdAt: 1 }));
  await drizzle(env.DB).insert(user).values(people).onConflictDoNothing();
});

describe("the queries to the database", () => {
  it("are all known here", () => {
    expect(functions.map(([name]) => name).sort()).toEqual(Object.keys(samples).sort());
  });

  it("are made in one folder", () => {
    // The health check asks whether the database answers, and reads nothing.
    const elsewhere = Object.entries(gatewayFiles).filter(
      ([path, text]) => !/\/database\/|\/health\.ts$/.test(path) && /drizzle-orm|\.prepare\(|\bDB\b/.test(text),
    );
    expect(Object.keys(gatewayFiles).length).toBeGreaterThan(30);
    expect(elsewhere.map(([path]) => path)).toEqual([]);
  });

  it.each(functions)("search and never scan: %s", async (name, ask) => {
    await expectSearches(await queriesOf((database) => ask(drizzle(database), ...(samples[name] ?? []))));
  });

  it("search and never scan: removing a person's records", async () => {
    await expectSearches(await queriesOf((DB) => removeRecords({ DB, MEDIA: env.MEDIA }, one)));
  });

  it("would be seen to scan", async () => {
    expect(await scansOf({ sql: "SELECT name FROM user WHERE about = ?", params: ["x"] })).toEqual(["SCAN user"]);
    expect(await scansOf({ sql: "SELECT phone_hash FROM user", params: [] })).toHaveLength(1);
  });
});

async function rowsOf<Row>(sql: string): Promise<Row[]> {
  return (await env.DB.prepare(sql).all<Row>()).results;
}

async function foreignKeys(table: string): Promise<string[]> {
  return (await rowsOf<{ from: string }>(`PRAGMA foreign_key_list(${table})`)).map(({ from }) => from);
}

/** The columns that a table's indexes begin with, but for those that leave rows out. */
async function firstColumns(table: string): Promise<string[]> {
  const indexes = await rowsOf<{ name: string; partial: number }>(`PRAGMA index_list(${table})`);
  const columns = indexes
    .filter(({ partial }) => partial === 0)
    .map(({ name }) => rowsOf<{ seqno: number; name: string }>(`PRAGMA index_info(${name})`));
  return (await Promise.all(columns)).flatMap((found) =>
    found.filter(({ seqno }) => seqno === 0).map(({ name }) => name),
  );
}

describe("the tables of the database", () => {
  it("keep their foreign keys", async () => {
    expect(await env.DB.prepare("PRAGMA foreign_keys").first()).toEqual({ foreign_keys: 1 });
  });

  it("have an index for each foreign key, by which what cascades is found", async () => {
    const tables = await rowsOf<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'");
    const named = tables.map(({ name }) => name).filter((name) => !name.startsWith("_cf"));
    const keys = await Promise.all(named.map(async (table) => (await foreignKeys(table)).map((key) => [table, key])));
    const indexes = await Promise.all(
      named.map(async (table) => (await firstColumns(table)).map((key) => [table, key])),
    );
    expect(keys.flat().length).toBeGreaterThanOrEqual(8);
    expect(indexes.flat()).toEqual(expect.arrayContaining(keys.flat()));
  });
});
