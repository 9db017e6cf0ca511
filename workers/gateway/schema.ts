import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** The gateway's tables in D1; `drizzle-kit generate` turns them into migrations/. Times are ms since 1970. */

export const user = sqliteTable("user", {
  id: text("id").primaryKey(),
  name: text("name").notNull().unique(),
  createdAt: integer("created_at").notNull(),
});

export const device = sqliteTable(
  "device",
  {
    id: text("id").primaryKey(),
    user: text("user")
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => [index("device_user").on(table.user)],
);
