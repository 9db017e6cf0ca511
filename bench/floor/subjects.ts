import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Miniflare } from "miniflare";
import { makePepper, makeTokenKeys } from "../../scripts/secrets.ts";
import type { Subject } from "./engine.ts";

export type SubjectName = "floor" | "product";

/** In the order in which each point measures them. */
export const subjects: Partial<Record<SubjectName, Subject>> = {
  floor: {
    entry: fileURLToPath(import.meta.resolve("./naive-worker.ts")),
    options: {
      compatibilityDate: "2026-08-15",
      durableObjects: {
        USERS: { className: "User", useSQLite: true },
        CONVERSATIONS: { className: "Conversation", useSQLite: true },
      },
    },
    adapterUrl: import.meta.resolve("./naive-adapter.ts"),
  },
  product: {
    entry: fileURLToPath(import.meta.resolve("../../workers/gateway/worker.ts")),
    options: {
      compatibilityDate: "2026-08-15",
      durableObjects: {
        USER: { className: "UserObject", useSQLite: true },
        CONVERSATION: { className: "ConversationObject", useSQLite: true },
        VERIFICATION: { className: "VerificationObject", useSQLite: true },
        RENDEZVOUS: { className: "RendezvousObject", useSQLite: true },
        LIMITER: { className: "LimiterObject", useSQLite: true },
      },
      d1Databases: ["DB"],
      r2Buckets: ["MEDIA"],
      queueProducers: { PUSH_QUEUE: "sandpiper-push" },
      bindings: {
        ENVIRONMENT: "development",
        SMS_PROVIDER: "console",
        TOKEN_KEYS: await makeTokenKeys(),
        PEPPER: makePepper(),
        // Everybody signs in from the same address.
        SIGN_IN_LIMIT_FACTOR: "1000000",
        // The limit for people would be the only thing measured.
        SENDS_PER_MINUTE: "1000000000",
      },
    },
    adapterUrl: import.meta.resolve("./product-adapter.ts"),
    prepare: applyMigrations,
  },
};

async function applyMigrations(engine: Miniflare): Promise<void> {
  const folder = new URL("../../migrations/", import.meta.url);
  const database = await engine.getD1Database("DB");
  for (const file of (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort()) {
    const statements = (await readFile(new URL(file, folder), "utf8")).split("--> statement-breakpoint");
    await database.batch(statements.map((statement) => database.prepare(statement)));
  }
}
