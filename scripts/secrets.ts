import { randomBytes } from "node:crypto";
import { appendFileSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";

/**
 * Writes what a local system needs and nobody else may have: files that git ignores and no deployment reads.
 * What stands is kept, so that tokens outlive a restart; what a newer version needs beside it is added.
 */
export async function makeLocalSecrets(root: string): Promise<void> {
  addMissing(join(root, ".dev.vars"), {
    ENVIRONMENT: "development",
    SMS_PROVIDER: "console",
    TOKEN_KEYS: `'${await makeTokenKeys()}'`,
    PEPPER: makePepper(),
  });
  addMissing(join(root, "workers/push/.dev.vars"), { ENVIRONMENT: "development" });
}

/** A value for the secret PEPPER: 256 random bits. Changing it makes every phone number unknown. */
export function makePepper(): string {
  return randomBytes(32).toString("base64url");
}

/** A value for the secret TOKEN_KEYS: a JSON Web Key Set with one new private key. */
export async function makeTokenKeys(): Promise<string> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const key = await exportJWK(privateKey);
  return JSON.stringify({ keys: [{ kid: await calculateJwkThumbprint(key), ...key }] });
}

function addMissing(path: string, wanted: Record<string, string>): void {
  const linesOf = (names: string[]) => names.map((name) => `${name}=${wanted[name]}\n`).join("");
  writeOnce(path, linesOf(Object.keys(wanted)));
  const standing = readFileSync(path, "utf8");
  const missing = Object.keys(wanted).filter((name) => !standing.includes(`${name}=`));
  if (missing.length > 0) appendFileSync(path, linesOf(missing));
}

/** Linking fails if the file stands, and shows it complete: of two first starts at once, both use the winner's keys. */
function writeOnce(path: string, text: string): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft);
  }
}
