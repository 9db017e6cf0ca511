/** The WebSocket subprotocol; a change of any frame's schema needs a new one (a test pins the schemas' hash to it). */
export const SUBPROTOCOL = "sandpiper.v1";

/** The connect ticket travels as a second offered subprotocol: browsers can set no header, and URLs end up in logs. */
export const TICKET_PREFIX = "ticket.";

/** Text that the platform answers by itself, without waking the object. */
export const PING = "ping";
export const PONG = "pong";
