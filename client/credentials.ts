import type { DeviceId, UserId } from "../shared/ids.ts";

export interface TicketOptions {
  /** The ticket before opened no socket. A socket does not say why, so the session is renewed: the server says it then. */
  readonly renew?: boolean;
}

/** Who a chat speaks for, where, and how it proves that at each connection. An `Account` is one. */
export interface Credentials {
  /** The server, as in "https://chat.example". */
  readonly url: string;
  readonly user: UserId;
  readonly device: DeviceId;
  /** A fresh ticket, good for one connection. @throws ChatError */
  ticket(options?: TicketOptions): Promise<string>;
}
