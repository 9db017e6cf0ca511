import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { log } from "./log.ts";
import type { Provider } from "./provider.ts";
import { pushDelivery } from "./schema.ts";

/** Reaches every device through the log, for development: the newest notification of each is kept to be looked at. */
export function logProvider(database: D1Database): Provider {
  const db = drizzle(database);
  return {
    name: "log",
    async deliver({ user, device, conversation = "", at, requestId }) {
      await db
        .insert(pushDelivery)
        .values({ user, device, conversation, at, requestId })
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
