import type { ConversationId, Cursor, DeviceId, Seq } from "../../shared/ids.ts";
import { MAX_TRACKED_PER_SOCKET, MAX_UNACKED_PER_CONVERSATION } from "../../shared/limits.ts";

import type { Budget } from "./store.ts";

/** A socket is named by the epoch that its connection began. */
export type SocketId = number;

/** What was sent to a device over this connection in one conversation, and how much of it the device has acked. */
export interface Track {
  /** Everything sent over this connection up to here is acked: what a reconnecting device is sent again lies above. */
  low: Cursor;
  /** The device's own watermark: it has everything up to here. 0 until it says so in this connection. */
  acked: Cursor;
  /** Highest sent; 0 for none. */
  high: Cursor;
  /** Highest sent that somebody else wrote: only these are worth a receipt. */
  foreign: Cursor;
  /** Highest of the device's own messages that it was told the place of. */
  own: Cursor;
  read: Cursor;
  /** Messages sent and not acked. */
  unacked: number;
}

/** A connection's state. It lives in the socket's attachment, and so outlives hibernation but not a crash. */
export interface Socket extends Budget {
  readonly id: SocketId;
  readonly device: DeviceId;
  readonly requestId: string;
  /** Last frame from the device; answered pings are known to the platform. */
  heardAt: number;
  greeted: boolean;
  /** Reads for this device are under way; if memory is lost meanwhile, the device has to begin anew. */
  catchingUp: boolean;
  /** Least recently used first. */
  tracks: Map<ConversationId, Track>;
}

export function isUnacked(track: Track): boolean {
  return track.acked < track.high;
}

/** The track of a conversation, made most recently used. */
export function touch(socket: Socket, conversation: ConversationId): Track {
  const track = socket.tracks.get(conversation) ?? {
    low: 0,
    acked: 0,
    high: 0,
    foreign: 0,
    own: 0,
    read: 0,
    unacked: 0,
  };
  socket.tracks.delete(conversation);
  socket.tracks.set(conversation, track);
  return track;
}

/** Remembers that (after, through] goes out now. @param count messages in it */
export function trackSent(track: Track, after: Cursor, through: Seq, count: number): void {
  track.low = isUnacked(track) ? Math.min(track.low, after) : Math.max(after, Math.min(track.acked, through));
  track.high = Math.max(track.high, through);
  track.unacked += count;
}

/** Remembers the device's watermark. */
export function trackAcked(track: Track, seq: Seq): void {
  const advance = Math.max(0, seq - Math.max(track.acked, track.low));
  track.unacked = seq >= track.high ? 0 : Math.max(0, track.unacked - advance);
  track.acked = Math.max(track.acked, seq);
  track.low = Math.max(track.low, seq);
}

/** Remembers that the device was told the place of a message of its own. */
export function trackOwn(track: Track, seq: Seq): void {
  track.own = Math.max(track.own, seq);
  if (track.acked === seq - 1 && track.acked > 0) trackAcked(track, seq);
}

/** Forgets conversations that need no remembering, the longest unused first. False: there is too much unacked. */
export function prune(socket: Socket): boolean {
  for (const [conversation, track] of socket.tracks) {
    if (socket.tracks.size <= MAX_TRACKED_PER_SOCKET) break;
    if (!isUnacked(track)) socket.tracks.delete(conversation);
  }
  const isSlow = [...socket.tracks.values()].some((track) => track.unacked > MAX_UNACKED_PER_CONVERSATION);
  return !isSlow && socket.tracks.size <= MAX_TRACKED_PER_SOCKET;
}
