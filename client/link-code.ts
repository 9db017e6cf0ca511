import * as v from "valibot";
import { fromBase64url, toBase64url } from "../shared/base64url.ts";
import { DeviceLinkId } from "../shared/ids.ts";
import { ChatError } from "./chat-error.ts";

/** An uncompressed point of P-256 (SEC 1 §2.3.3). */
export const PUBLIC_KEY_BYTES = 65;
export const LINK_SECRET_BYTES = 32;

/** What a new device's QR code says. The secret reaches no server: who knows it has seen the new device's screen. */
export interface LinkCode {
  readonly link: DeviceLinkId;
  /** Of the new device, made for this link. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly secret: Uint8Array<ArrayBuffer>;
}

const LINK_CODE = /^sandpiper:link\?id=([^&]+)&key=([^&]+)&secret=([^&]+)$/;

/** A custom scheme and no web address: opened by mistake it leads nowhere, and its secret stands in nobody's log. */
export function writeLinkCode({ link, publicKey, secret }: LinkCode): string {
  return `sandpiper:link?id=${link}&key=${toBase64url(publicKey)}&secret=${toBase64url(secret)}`;
}

/** @param text as it was scanned. @throws ChatError link_invalid */
export function readLinkCode(text: string): LinkCode {
  const [, id = "", key = "", shared = ""] = LINK_CODE.exec(text) ?? [];
  const link = v.safeParse(DeviceLinkId, id);
  const publicKey = fromBase64url(key);
  const secret = fromBase64url(shared);
  if (!link.success || publicKey?.byteLength !== PUBLIC_KEY_BYTES || secret?.byteLength !== LINK_SECRET_BYTES) {
    throw new ChatError("link_invalid");
  }
  return { link: link.output, publicKey, secret };
}
