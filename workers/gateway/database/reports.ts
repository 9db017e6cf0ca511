import { asc, eq, sql } from "drizzle-orm";
import type { UserId } from "../../../shared/ids.ts";
import type { Database } from "./database.ts";
import { report, user } from "./schema.ts";

export interface Report {
  readonly id: string;
  readonly reporter: UserId;
  readonly reported: UserId;
  readonly reason: string;
  readonly conversation: string | null;
  /** Sealed (JWE). */
  readonly evidence: string | null;
  readonly at: number;
}

/** @returns false if there is no such person to report */
export async function insertReport(db: Database, fields: Report): Promise<boolean> {
  const { id, reporter, reported, reason, conversation, evidence, at } = fields;
  const inserted = await db
    .insert(report)
    .select(
      sql`select ${id}, ${reporter}, ${user.id}, ${reason}, ${conversation}, ${evidence}, ${at}
          from ${user} where ${user.id} = ${reported}`,
    )
    .returning({ id: report.id });
  return inserted.length > 0;
}

/** What somebody has reported, the oldest first; of sealed evidence only how long it is. */
export function reportsBy(db: Database, reporter: UserId) {
  const { reported, reason, conversation, at } = report;
  return db
    .select({ reported, reason, conversation, evidenceChars: sql<number | null>`length(${report.evidence})`, at })
    .from(report)
    .where(eq(report.reporter, reporter))
    .orderBy(asc(report.at));
}
