import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

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
  },
  (table) => [primaryKey({ columns: [table.device, table.conversation] })],
);
