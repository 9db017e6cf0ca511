import { createHmac, timingSafeEqual } from "node:crypto";
import type { Answered, Asked, Provider } from "./provider-server.ts";

export const WEBHOOK_SECRET = `whsec_${Buffer.from("a secret of thirty-two bytes, yes").toString("base64")}`;
const TOLERANCE_SECONDS = 5 * 60;

/**
 * A receiver that verifies as Standard Webhooks 1.0.0 demands. An id that was seen before is acknowledged and nothing
 * is sent for it.
 * @param sent collects the bodies of what would reach a phone
 */
export function webhookReceiver(sent: unknown[]): Provider {
  const seen = new Set<string>();
  return (asked): Answered => {
    const id = verify(asked);
    if (id === undefined) return { status: 401 };
    if (!seen.has(id)) sent.push(JSON.parse(asked.body));
    seen.add(id);
    return { status: 204 };
  };
}

/** The id of a request that is genuine and recent. */
function verify({ method, headers, body }: Asked): string | undefined {
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((name) => headers[`webhook-${name}`]);
  if (method !== "POST" || headers["content-type"] !== "application/json") return undefined;
  if (typeof id !== "string" || !/^[\w-]+$/.test(id)) return undefined;
  if (typeof timestamp !== "string" || !/^\d{10}$/.test(timestamp)) return undefined;
  if (Math.abs(Date.now() / 1_000 - Number(timestamp)) > TOLERANCE_SECONDS) return undefined;
  const key = Buffer.from(WEBHOOK_SECRET.replace("whsec_", ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest();
  return String(signatures)
    .split(" ")
    .some((signature) => isSigned(signature, expected))
    ? id
    : undefined;
}

function isSigned(signature: string, expected: Buffer): boolean {
  const [version, value = ""] = signature.split(",");
  const given = Buffer.from(value, "base64");
  return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
}
