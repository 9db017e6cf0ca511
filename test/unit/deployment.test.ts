import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

describe.each(["wrangler.toml", "workers/push/wrangler.toml"])("%s", (path) => {
  const config = readFileSync(path, "utf8");

  it("switches nothing of development on", () => {
    expect(config.match(/^ENVIRONMENT = .*$/gm)).toEqual(['ENVIRONMENT = "production"', 'ENVIRONMENT = "staging"']);
    expect(config).not.toMatch(/FAILPOINT|SENDS_PER_MINUTE|SIGN_IN_LIMIT_FACTOR/);
    expect(config).not.toMatch(/SMS_PROVIDER\s*=\s*["']console/);
  });

  it("holds no secret", () => {
    expect(config).not.toMatch(/(TOKEN_KEYS|PEPPER|TWILIO_AUTH_TOKEN|SMS_WEBHOOK_SECRET)["']?\s*=/);
  });
});
