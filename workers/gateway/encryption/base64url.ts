import { Refusal } from "../../../shared/errors.ts";

/** RFC 4648 §5, without padding. The engine's own: a tree has megabytes. */
export function toBase64url(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** @throws Refusal bad_frame */
export function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch {
    throw new Refusal("bad_frame");
  }
}
