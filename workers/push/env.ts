/** What the push Worker is bound to (workers/push/wrangler.toml). */
export interface PushEnv {
  readonly DB: D1Database;
  readonly ENVIRONMENT: string;
}
