import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What the log provider delivered: as on a device's screen, one notification a conversation. Development only. */
export const pushDelivery = sqliteTable(
  "push_delivery",
  {
    user: text("user").notNull(),
    device: text("device").notNull(),
    /** Empty when the device only has to come and compare. */
    conversation: text("conversation").notNull(),
    /** ms since 1970 */
    at: integer("at").notNull(),
    requestId: text("request_id").notNull(),
    /** The second person of a 1:1 conversation. */
    second: text("second").generatedAlwaysAs(sql`substr(conversation, 28)`, { mode: "virtual" }),
  },
  (table) => [
    primaryKey({ columns: [table.device, table.conversation] }),
    // By these a person is found who is removed: the id of a 1:1 conversation names both.
    index("push_delivery_user").on(table.user),
    index("push_delivery_conversation").on(table.conversation),
    index("push_delivery_second").on(table.second),
  ],
);
