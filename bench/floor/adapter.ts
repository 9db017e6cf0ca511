// What the load generator has to know of a protocol. A module that speaks one exports it as `adapter`.

/** A text frame is a string, a binary frame is bytes. */
type Frame = string | Uint8Array;

/** What happened to message number `id` of the pair: the server took it, or it reached its recipient. */
export interface MessageEvent {
  kind: "sent" | "delivered";
  id: number;
}

/** The server has answered the greeting, and the socket may be used. */
interface ReadyEvent {
  kind: "ready";
}

interface Reading {
  events: (MessageEvent | ReadyEvent)[];
  /** Frames to send back on the same socket, such as acknowledgements. */
  answers?: Frame[];
}

/** One of a pair's two sockets. */
export interface Seat {
  url: string;
  protocols?: string[];
  headers?: Record<string, string>;
  /** Sent when the socket opens; load begins after the seat has read `ready`. */
  greeting?: Frame;
  /** Throws at a frame that has no place in the run, such as an error: the measure is void then. */
  read(frame: Frame): Reading;
}

/** Two people with a conversation of their own. */
export interface Pair {
  sender: Seat;
  recipient: Seat;
  /** The frames that send the pair's messages of these numbers, which count from 0; all fell due in one tick. */
  encodeSends(ids: readonly number[]): Frame[];
}

/** The system under load. */
export interface Target {
  origin: URL;
  /** What it has logged. */
  logFile: string;
}

export interface Adapter {
  /** Called once for each pair, before any load. Everything slow belongs here, such as signing two people in. */
  openPair(target: Target, pair: number, body: Uint8Array): Promise<Pair>;
}
