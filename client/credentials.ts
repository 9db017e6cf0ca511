import type { DeviceId, UserId } from "../shared/ids.ts";
import type { Contacts } from "./account/contacts.ts";
import type { Devices, LinkOptions } from "./account/devices.ts";
import type { ArchiveService } from "./backup/archive-service.ts";
import type { DeliveryService } from "./encryption/delivery-service.ts";
import type { Channel } from "./history/handover.ts";

export interface TicketOptions {
  /** The ticket before opened no socket. A socket does not say why, so the session is renewed: the server says it then. */
  readonly renew?: boolean;
}

/** A channel to a device that is being linked carries messages both ways. */
export interface OwnDevices extends Pick<Devices, "list" | "rename" | "revoke" | "view"> {
  link(qr: string, options: LinkOptions): Promise<Channel>;
}

/** Who a chat speaks for, where, and how it proves that at each connection. An `Account` is one. */
export interface Credentials {
  /** The server, as in "https://chat.example". */
  readonly url: string;
  readonly user: UserId;
  readonly device: DeviceId;
  /** Key packages, commits, and what is needed to join. */
  readonly delivery: DeliveryService;
  /** Backups, and histories on their way to a new device. */
  readonly archives: ArchiveService;
  readonly contacts: Contacts;
  /** The person's devices, as the server has them. */
  readonly devices: OwnDevices;
  /** A fresh ticket, good for one connection. @throws ChatError */
  ticket(options?: TicketOptions): Promise<string>;
}
