import { defineConfig } from "drizzle-kit";

/** `drizzle-kit generate` compares the schemas with migrations/meta and writes the next migration. */
export default defineConfig({
  dialect: "sqlite",
  driver: "d1-http",
  schema: ["./workers/gateway/database/schema.ts", "./workers/push/schema.ts"],
  out: "./migrations",
});
