import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { directMembers } from "../../shared/ids.ts";
import { log } from "./log.ts";
import type { Provider } from "./provider.ts";
import { pushDelivery } from "./schema.ts";

/**
 * Reaches every device through the log, for development: the newest notification of each is kept to be looked at.
 * A job may outlive whom it is for or about: nobody is written down again who was removed (docs/protocol.md R14).
 */
export function logProvider(database: D1Database): Provider {
  const db = drizzle(database);
  return {
    name: "log",
    async deliver({ user, device, conversation = "", at, requestId }) {
      const people = [...new Set([user, ...directMembers(conversation)])];
      const here = sql`(SELECT count(*) FROM user WHERE id IN (SELECT value FROM json_each(${JSON.stringify(people)})))`;
      await db
        .insert(pushDelivery)
        .select(sql`SELECT ${user}, ${device}, ${conversation}, ${at}, ${requestId} WHERE ${here} = ${people.length}`)
        .onConflictDoUpdate({
          target: [pushDelivery.device, pushDelivery.conversation],
          set: { at, requestId },
          // A job that was retried late does not hide a newer one.
          setWhere: sql`excluded.at > ${pushDelivery.at}`,
        });
      log("info", "push.delivered", { requestId, user, device, conversation, provider: "log" });
      return true;
    },
  };
}
