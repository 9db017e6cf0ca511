import { type SQL, sql } from "drizzle-orm";

/** The values as a subquery: one bound parameter however many there are, where D1 takes no more than 100. */
export function listed(values: readonly string[]): SQL {
  return sql`(select value from json_each(${JSON.stringify(values)}))`;
}
