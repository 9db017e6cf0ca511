import * as nodeCrypto from "node:crypto";
import { describe, expect, it } from "vitest";
import { MAX_PASSPHRASE_MEMORY_KIB, MAX_PASSPHRASE_PASSES } from "../../shared/limits.ts";
import { checkPassphrase, passphraseCost, stretchPassphrase } from "./passphrase.ts";

const salt = Uint8Array.from({ length: 16 }, (_, index) => index);
const cheap = { memoryKib: 64, passes: 1 };

describe("a passphrase becomes a key", () => {
  it("by Argon2id as Node has it", async () => {
    const byNode = nodeCrypto.argon2Sync("argon2id", {
      message: "correct horse battery staple",
      nonce: salt,
      parallelism: 1,
      tagLength: 32,
      memory: passphraseCost.memoryKib,
      passes: passphraseCost.passes,
    });
    const key = await stretchPassphrase("correct horse battery staple", salt, passphraseCost);
    expect(Buffer.from(key).toString("hex")).toBe(byNode.toString("hex"));
  });

  it("that depends on the text, the salt and the cost", async () => {
    const keys = [
      await stretchPassphrase("correct horse", salt, cheap),
      await stretchPassphrase("correct horsf", salt, cheap),
      await stretchPassphrase(
        "correct horse",
        salt.map((byte) => byte + 1),
        cheap,
      ),
      await stretchPassphrase("correct horse", salt, { ...cheap, memoryKib: 65 }),
      await stretchPassphrase("correct horse", salt, { ...cheap, passes: 2 }),
    ];
    expect(new Set(keys.map((key) => key.join())).size).toBe(5);
  });

  it("that is the same however the text is composed", async () => {
    const composed = await stretchPassphrase("caf\u00e9 cr\u00e8me", salt, cheap);
    expect(await stretchPassphrase("cafe\u0301 cre\u0300me", salt, cheap)).toEqual(composed);
  });
});

describe("the cost of a made-up backup", () => {
  it.each([
    { memoryKib: MAX_PASSPHRASE_MEMORY_KIB + 1, passes: 1 },
    { memoryKib: 2 ** 32 - 1, passes: 1 },
    { memoryKib: 64, passes: MAX_PASSPHRASE_PASSES + 1 },
    { memoryKib: 64, passes: 2 ** 32 - 1 },
    { memoryKib: 7, passes: 1 },
    { memoryKib: 64, passes: 0 },
    { memoryKib: 0, passes: 0 },
  ])("is not paid: $memoryKib KiB, $passes times", async (cost) => {
    await expect(stretchPassphrase("correct horse", salt, cost)).rejects.toMatchObject({ code: "tampered" });
  });

  it("may be as high as the bounds", async () => {
    const cost = { memoryKib: 64, passes: MAX_PASSPHRASE_PASSES };
    expect((await stretchPassphrase("correct horse", salt, cost)).byteLength).toBe(32);
  });
});

describe("a passphrase that is chosen", () => {
  it("is long enough", () => {
    expect(() => checkPassphrase("eight ch")).not.toThrow();
    expect(() => checkPassphrase("seven c")).toThrow("code_malformed");
    expect(() => checkPassphrase("👍👍👍👍")).toThrow("code_malformed");
    expect(() => checkPassphrase("")).toThrow("code_malformed");
  });

  it("is wrong, and no failure, if nothing was typed", async () => {
    await expect(stretchPassphrase("", salt, cheap)).rejects.toMatchObject({ code: "wrong_code" });
  });
});
