import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

describe.each(["wrangler.toml", "workers/push/wrangler.toml"])("%s", (path) => {
  const config = readFileSync(path, "utf8");

  it("switches nothing of development on", () => {
    expect(config.match(/^ENVIRONMENT = .*$/gm)).toEqual(['ENVIRONMENT = "production"', 'ENVIRONMENT = "staging"']);
    expect(config).not.toMatch(/DEV_SIGN_IN|FAILPOINT|SENDS_PER_MINUTE/);
  });

  it("holds no secret", () => {
    expect(config).not.toMatch(/^TOKEN_KEYS/m);
  });
});
