import type { ConversationId, DeviceId, UserId } from "../shared/ids.ts";
import type { Content } from "./content.ts";
import { decodeContent, encodeContent } from "./content.ts";

/**
 * The one place where what people write becomes what is transmitted, and back. `seal` is called in the order of sending,
 * `open` once a message, in the order of the conversation. What `seal` returned is stored and transmitted again as it is.
 */
export interface Sealer {
  seal(conversation: ConversationId, content: Content): Promise<Uint8Array> | Uint8Array;
  /** @throws if it cannot be opened; the message is then kept as unreadable */
  open(conversation: ConversationId, body: Uint8Array, sender: Sender): Promise<Content> | Content;
}

export interface Sender {
  readonly user: UserId;
  readonly device: DeviceId;
}

/** No encryption: whoever runs the server can read along. */
export const plainSealer: Sealer = {
  seal: (_, content) => encodeContent(content),
  open: (_, body) => decodeContent(body),
};
