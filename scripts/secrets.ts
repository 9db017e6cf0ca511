import { linkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";

/**
 * Writes what a local system needs and nobody else may have: files that git ignores and no deployment reads.
 * Files that stand are kept, so that tokens outlive a restart.
 */
export async function makeLocalSecrets(root: string): Promise<void> {
  const development = ["ENVIRONMENT=development", "DEV_SIGN_IN=enabled"];
  writeOnce(join(root, ".dev.vars"), [...development, `TOKEN_KEYS='${await makeTokenKeys()}'`]);
  writeOnce(join(root, "workers/push/.dev.vars"), ["ENVIRONMENT=development"]);
}

/** A value for the secret TOKEN_KEYS: a JSON Web Key Set with one new private key. */
export async function makeTokenKeys(): Promise<string> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const key = await exportJWK(privateKey);
  return JSON.stringify({ keys: [{ kid: await calculateJwkThumbprint(key), ...key }] });
}

/** Linking fails if the file stands, and shows it complete: of two first starts at once, both use the winner's key. */
function writeOnce(path: string, lines: string[]): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${lines.join("\n")}\n`, { mode: 0o600 });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft);
  }
}
