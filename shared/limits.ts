/** Every bound of the system, each with its unit in its name. A bound that is not here does not exist. */

// The wire
export const MAX_FRAME_BYTES = 64 * 1024;
/** Leaves room in a frame for the header, on the way up and on the way down. */
export const MAX_BODY_BYTES = 60 * 1024;
export const MAX_HEADER_BYTES = 63 * 1024;
export const MAX_CLIENT_NAME_CHARS = 64;
export const MAX_MESSAGES_PER_FRAME = 64;
export const MAX_CURSORS_PER_FRAME = 500;

// Identifiers
/** A message id may be this far ahead of the server's clock; devices' clocks are seldom right. */
export const MAX_ID_AHEAD_MS = 30_000;

// One person
export const MAX_DEVICES_PER_USER = 5;
export const SENDS_PER_MINUTE = 100;
/** Frames of any kind that a socket may send for each message its person may: acks, reads, requests to catch up. */
export const FRAMES_PER_SEND = 60;
/** Refused frames a socket may cause in a minute before it is closed. */
export const MAX_OFFENCES_PER_MINUTE = 60;
/** So many frames that only came too soon count as one of these. */
export const HASTY_FRAMES_PER_OFFENCE = 50;
export const MAX_CONVERSATIONS_PER_USER = 10_000;
/** Above this many dirty conversations a device compares everything instead; its row stays small. */
export const MAX_DIRTY_PER_DEVICE = 1_000;
/** Conversations remembered with one socket; a socket's attachment holds at most 16,384 bytes. */
export const MAX_TRACKED_PER_SOCKET = 80;
export const MAX_WAITING_SENDS_PER_USER = 256;
export const MAX_WAITING_SEND_BYTES_PER_USER = 4 * 1024 * 1024;
/** Catch-up requests worked off for one socket at a time. */
export const MAX_SYNCS_PER_SOCKET = 16;
/** Conversations read or sent to one device and not acked; well below what a socket can remember. */
export const MAX_UNACKED_READS = 50;
/** A device that leaves more than this unacked in a conversation is too slow for its socket. */
export const MAX_UNACKED_PER_CONVERSATION = 1_000;
/** How long what follows a refused message waits for it to come again. */
export const SEND_STALL_MS = 10_000;
/** Conversations that are read at the same time for one connecting device. */
export const MAX_PARALLEL_READS = 8;
/** A socket that has been silent longer than two pings is taken for dead. */
export const SOCKET_SILENCE_MS = 75_000;
/** Receipts of one conversation go out at once, but no more often than this. */
export const RECEIPT_INTERVAL_MS = 50;
export const MAX_DEVICE_NAME_CHARS = 64;

// One conversation
export const MAX_MEMBERS_PER_CONVERSATION = 1_024;
export const MAX_APPEND_MESSAGES = 64;
export const MAX_APPEND_BYTES = 1024 * 1024;
export const MAX_PAGE_ENTRIES = 64;
export const MAX_PAGE_BYTES = 256 * 1024;
export const MAX_PARALLEL_DELIVERIES = 32;
/** Of the log's end, kept in memory while it is being delivered. */
export const MAX_RECENT_ENTRIES = 256;
/** Forgetting that a member sleeps costs a call a message (0.15 a million), remembering it a row (1.00). */
export const DORMANT_WORTH_A_ROW = 6;
/** Packed state up to this size rides in the log's rows, at no row of its own. */
export const MAX_CARRIED_STATE_BYTES = 1_024;
/** A conversation whose state is larger writes it with every so many messages. */
export const STATE_EVERY_MESSAGES = 64;
/** The sender's ✓ waits this long for the fan-out; after that an alarm stands in for it. */
export const FAN_OUT_HOLD_MS = 50;
/** Up to this many recipients the ✓ waits for the fan-out; above, the alarm is set at once. */
export const FAN_OUT_HOLD_MEMBERS = 8;
/** Work left over is taken up again after this time. */
export const FAN_OUT_RETRY_MS = 5_000;
/** A watermark that nothing carried is written this long after it rose, before the object may fall asleep. */
export const STATE_FLUSH_MS = 5_000;
export const TYPING_INTERVAL_MS = 2_500;

// Retention
export const RETENTION_MS = 30 * 24 * 3_600_000;
/** What every device has acknowledged stays this long, for a device that restores an older copy of itself. */
export const ACKED_GRACE_MS = 24 * 3_600_000;
export const SEGMENT_AGE_MS = 24 * 3_600_000;
export const SEGMENT_ENTRIES = 4_096;

// Calls between objects
/** A call that has no answer by then counts as failed: what waits for it must not wait for ever. */
export const CALL_TIMEOUT_MS = 15_000;
/** A push that could not be handed to the queue is tried again after this. */
export const PUSH_RETRY_MS = 30_000;
export const MAX_CACHED_STUBS = 1_000;
export const CALL_RETRY_MS = [50, 250, 1_000] as const;

// Tokens
export const ACCESS_TOKEN_TTL_MS = 15 * 60_000;
export const CONNECT_TICKET_TTL_MS = 30_000;
export const MAX_TOKEN_CHARS = 4_096;

// Devices' side
export const RECONNECT_MIN_MS = 500;
export const RECONNECT_MAX_MS = 30_000;
/** A connection that has lasted this long sets the reconnect back-off back to its start. */
export const RECONNECT_STABLE_MS = 10_000;
export const PING_INTERVAL_MS = 30_000;
/** A device that sees a gap waits this long for the missing entry before it fetches it. */
export const GAP_WAIT_MS = 400;
export const MAX_IN_FLIGHT_SENDS = 32;
export const MAX_OUTBOX_MESSAGES = 10_000;
/** From asking for a ticket to the server's welcome. */
export const CONNECT_TIMEOUT_MS = 15_000;
export const HTTP_TIMEOUT_MS = 10_000;
/** Messages held back in one conversation while an earlier one is missing; what is dropped is fetched with the gap. */
export const MAX_HELD_MESSAGES = 256;
/** Who has not said so again for so long is not typing any more. */
export const TYPING_SHOWN_MS = 5_000;
export const MAX_TYPISTS = 64;
/** What a transport may hold that the network has not taken. */
export const MAX_BUFFERED_BYTES = 8 * 1024 * 1024;
