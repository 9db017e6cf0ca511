import { toBase64url } from "../../shared/base64url.ts";
import { ChatError } from "../chat-error.ts";

/** E.164: at most 15 digits, of which the first is not 0. */
const INTERNATIONAL = /^\+[1-9]\d{3,14}$/;

/** SHA-256 of the number in international format, base64url. @throws ChatError phone_invalid */
export async function digestOf(phone: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(normalized(phone)));
  return toBase64url(new Uint8Array(digest));
}

/** People write blanks, dots, hyphens and brackets for the eye. */
function normalized(phone: string): string {
  const bare = phone.replace(/[\s.\-()]/g, "");
  if (!INTERNATIONAL.test(bare)) throw new ChatError("phone_invalid");
  return bare;
}
