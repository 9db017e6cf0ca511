import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * The gateway's tables in D1; `drizzle-kit generate` turns them into migrations/. Times are ms since 1970. Removing a
 * person's row removes everything here that is about them: each table that names people cascades.
 */

const audience = (name: string) => text(name, { enum: ["everyone", "contacts", "except", "nobody"] }).notNull();

const person = (name: string) =>
  text(name)
    .notNull()
    .references(() => user.id, { onDelete: "cascade" });

export const user = sqliteTable("user", {
  id: text("id").primaryKey(),
  /** Keyed hash; the number itself is stored nowhere. */
  phoneHash: text("phone_hash").notNull().unique(),
  /** Its last digits, for its owner to recognise it. */
  phoneEnd: text("phone_end").notNull(),
  name: text("name").notNull().default(""),
  about: text("about").notNull().default(""),
  /** Whoever has it can write to this person. */
  link: text("link").unique(),
  discoverable: integer("discoverable", { mode: "boolean" }).notNull().default(true),
  seenAudience: audience("seen_audience").default("contacts"),
  pictureAudience: audience("picture_audience").default("contacts"),
  aboutAudience: audience("about_audience").default("contacts"),
  groupsAudience: audience("groups_audience").default("contacts"),
  createdAt: integer("created_at").notNull(),
});

/** Contacts who are left out of an audience that is "except". */
export const audienceException = sqliteTable(
  "audience_exception",
  {
    owner: person("owner"),
    subject: text("subject", { enum: ["seen", "picture", "about", "groups"] }).notNull(),
    other: person("other"),
  },
  (table) => [
    primaryKey({ columns: [table.owner, table.other, table.subject] }),
    index("audience_exception_other").on(table.other),
  ],
);

/** In lower case. A person has at most one that is confirmed (`reservedUntil` null) and one that is reserved. */
export const username = sqliteTable(
  "username",
  {
    name: text("name").primaryKey(),
    /** What a hold knows it by: the name can then be held in the same statement that takes it from its owner. */
    nameHash: text("name_hash").notNull(),
    owner: person("owner"),
    reservedUntil: integer("reserved_until"),
  },
  (table) => [index("username_owner").on(table.owner), index("username_reserved_until").on(table.reservedUntil)],
);

/** Names that were given up, as keyed hashes: out of reach for a while, but for who had them. */
export const usernameHold = sqliteTable(
  "username_hold",
  {
    nameHash: text("name_hash").primaryKey(),
    formerOwner: text("former_owner").references(() => user.id, { onDelete: "set null" }),
    until: integer("until").notNull(),
  },
  (table) => [index("username_hold_former_owner").on(table.formerOwner), index("username_hold_until").on(table.until)],
);

export const contact = sqliteTable(
  "contact",
  { owner: person("owner"), other: person("other"), addedAt: integer("added_at").notNull() },
  (table) => [primaryKey({ columns: [table.owner, table.other] }), index("contact_other").on(table.other)],
);

export const report = sqliteTable(
  "report",
  {
    id: text("id").primaryKey(),
    reporter: person("reporter"),
    reported: person("reported"),
    reason: text("reason").notNull(),
    conversation: text("conversation"),
    /** Sealed for those who run the service. */
    evidence: text("evidence"),
    at: integer("at").notNull(),
  },
  (table) => [index("report_reporter").on(table.reporter), index("report_reported").on(table.reported)],
);
