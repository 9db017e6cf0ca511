import { ulid } from "ulid";
import { CODE_TTL_MS } from "../../../shared/limits.ts";
import { post } from "./post.ts";
import { CodeNotSent, type CodeSender } from "./provider.ts";
import { type CodeSettings, required, requiredUrl } from "./settings.ts";

const SECRET_PREFIX = "whsec_";

/**
 * Asks a service of the operator's to send the code. Requests are signed by Standard Webhooks 1.0.0
 * (https://www.standardwebhooks.com); a second try has the same id, by which the receiver knows it.
 */
export function webhookSender(settings: CodeSettings): CodeSender {
  return {
    async send(phone, code) {
      const url = requiredUrl(settings, "SMS_WEBHOOK_URL");
      const key = await signingKey(required(settings, "SMS_WEBHOOK_SECRET"));
      const body = JSON.stringify({ type: "code", phone, code, expiresInMinutes: CODE_TTL_MS / 60_000 });
      const id = `msg_${ulid()}`;
      const timestamp = String(Math.floor(Date.now() / 1_000));
      const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
      const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, signed));
      const headers = {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": `v1,${btoa(String.fromCharCode(...mac))}`,
      };
      await post(url, { headers, body });
    },
  };
}

/** @param secret "whsec_" and base64 @throws CodeNotSent */
async function signingKey(secret: string): Promise<CryptoKey> {
  try {
    if (!secret.startsWith(SECRET_PREFIX)) throw new Error("another kind of secret");
    const bytes = Uint8Array.from(atob(secret.slice(SECRET_PREFIX.length)), (char) => char.charCodeAt(0));
    return await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  } catch {
    throw new CodeNotSent(`SMS_WEBHOOK_SECRET is not "${SECRET_PREFIX}" and base64`);
  }
}
