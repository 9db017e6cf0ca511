import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";
import { makePepper, makeTokenKeys } from "./scripts/secrets.ts";

/** Set here whatever .dev.vars says, so that tests do not depend on what was started on this machine before. */
const bindings = {
  ENVIRONMENT: "development",
  SMS_PROVIDER: "console",
  ALLOWED_ORIGINS: "https://app.example https://beta.example",
  TOKEN_KEYS: await makeTokenKeys(),
  PEPPER: makePepper(),
  TEST_MIGRATIONS: await readD1Migrations("migrations"),
};

/** A test that hangs ends; one on a machine that does other things too does not. */
const BUSY_MACHINE_MS = 30_000;

export default defineConfig({
  test: {
    // The log lines of what works are no news.
    silent: "passed-only",
    projects: [
      {
        test: {
          name: "node",
          testTimeout: BUSY_MACHINE_MS,
          include: ["test/{unit,mls}/**/*.test.ts", "{shared,client}/**/*.test.ts"],
        },
      },
      {
        // ts-mls names source maps that it does not bring along, and each of its files would be a warning.
        logLevel: "error",
        plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" }, miniflare: { bindings } })],
        test: {
          name: "workerd",
          testTimeout: BUSY_MACHINE_MS,
          include: ["test/workerd/**/*.test.ts"],
          setupFiles: ["test/workerd/apply-migrations.ts"],
        },
      },
      {
        logLevel: "error",
        plugins: [cloudflareTest({ wrangler: { configPath: "./bench/cost/wrangler.toml" }, miniflare: { bindings } })],
        test: {
          name: "cost",
          include: ["bench/cost/ledger/*.test.ts"],
          setupFiles: ["test/workerd/apply-migrations.ts"],
        },
      },
      {
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          globalSetup: ["test/browser/chromium.ts"],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
    ],
  },
});
