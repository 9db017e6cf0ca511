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
export const MAX_PLACE_CHARS = 64;

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

// HTTP
/** A JSON body nests no deeper than this; ours have three levels. */
export const MAX_JSON_DEPTH_LEVELS = 16;

// Tokens
export const ACCESS_TOKEN_TTL_MS = 15 * 60_000;
export const CONNECT_TICKET_TTL_MS = 30_000;
/** A device that was not seen for so long has to sign in anew. */
export const REFRESH_TOKEN_TTL_MS = 90 * 24 * 3_600_000;
/** A refresh token that was used a moment ago gets the same answer again: the first one may have been lost. */
export const REFRESH_GRACE_MS = 30_000;
export const MAX_TOKEN_CHARS = 4_096;

// Signing in
export const CODE_DIGITS = 6;
export const CODE_TTL_MS = 10 * 60_000;
export const MAX_CODE_TRIES = 5;
/** Pauses between one code and the next; the last one repeats. */
export const CODE_RESEND_MS = [60_000, 120_000, 300_000, 600_000] as const;
export const MAX_CODES_PER_NUMBER_PER_DAY = 10;
/** A number's attempts are forgotten when nothing has happened for so long. */
export const VERIFICATION_WIPE_MS = 24 * 3_600_000;
/** A right code stays good for so long while its bearer looks for the PIN. */
export const PROOF_TTL_MS = 10 * 60_000;
export const MAX_PHONE_CHARS = 32;
export const MIN_PIN_DIGITS = 4;
export const MAX_PIN_DIGITS = 20;
/** The PIN of somebody who was not seen for so long can be given up, and the account with it. */
export const PIN_DECAY_MS = 7 * 24 * 3_600_000;
/** For both tries together. */
export const SMS_TIMEOUT_MS = 10_000;
/** Between a try that failed in passing and the only other one. */
export const SMS_RETRY_MS = 500;

// Linking a device
export const DEVICE_LINK_TTL_MS = 10 * 60_000;
export const MAX_LINK_MESSAGES = 16;
export const MAX_LINK_MESSAGE_BYTES = 32 * 1024;
export const LINK_POLL_INTERVAL_MS = 1_000;
/** Told to come back later than this, a device that links another says so instead of waiting. */
export const MAX_LINK_RETRY_MS = 10_000;

// People
export const MAX_PROFILE_NAME_CHARS = 64;
export const MAX_ABOUT_CHARS = 140;
export const MIN_USERNAME_CHARS = 3;
export const MAX_USERNAME_CHARS = 32;
/** A name that was reserved and not confirmed is free again after this. */
export const USERNAME_RESERVATION_MS = 5 * 60_000;
/** A name that was given up stays out of others' reach for so long. */
export const USERNAME_HOLD_MS = 30 * 24 * 3_600_000;
/** Reservations and holds that have run out, removed whenever somebody reserves a name; of each so many. */
export const MAX_NAMES_SWEPT = 100;
export const MAX_CONTACTS_PER_USER = 5_000;
export const MAX_BLOCKED_PER_USER = 5_000;
export const MAX_EXCEPTIONS_PER_AUDIENCE = 500;
export const MAX_HASHES_PER_DISCOVERY = 500;
export const MAX_REPORT_EVIDENCE_CHARS = 32 * 1024;
export const MAX_ALERTS_PER_DEVICE = 20;
/** Nobody was seen on any of the person's devices: they are warned, and then removed. */
export const IDLE_WARNING_MS = 335 * 24 * 3_600_000;
export const IDLE_REMOVAL_MS = 365 * 24 * 3_600_000;
/** Work of a removal that is under way at a time, and when what failed is tried again. */
export const MAX_PARALLEL_REMOVALS = 16;
export const REMOVAL_RETRY_MS = 30_000;
/** What is being sent to somebody is waited for in steps of this, before their conversation is removed. */
export const REMOVAL_SETTLE_MS = 50;
/** What the other side of a block or an acceptance has not confirmed is told again after this. */
export const PEER_RETRY_MS = 30_000;
export const MAX_PARALLEL_TELLINGS = 16;
/** An answer waits so long for a removal to be complete; it goes on without being waited for. */
export const REMOVAL_ANSWER_MS = 10_000;

/** PBKDF2 over a PIN: as many rounds as the platform allows. */
export const PIN_ITERATIONS = 100_000;
/** How long a page may rely on the answer to a preflight. */
export const PREFLIGHT_TTL_SECONDS = 3_600;

// Rate limits
export interface Bucket {
  /** What may be spent at once. */
  readonly capacity: number;
  /** The time in which one comes back. */
  readonly refillMs: number;
  /** What is answered when nobody knows how full it is: where abuse costs money, privacy or an account, no. */
  readonly whenStoreFails: "allow" | "refuse";
}

/** A limiter that is full again within this time writes nothing: so long it does not fall asleep. */
export const LIMITER_MEMORY_MS = 10_000;

/** By who or what is limited: an address, a range of phone numbers, the whole system. */
export const publicBuckets = {
  code_ip: { capacity: 20, refillMs: 180_000, whenStoreFails: "refuse" },
  code_prefix: { capacity: 500, refillMs: 7_200, whenStoreFails: "refuse" },
  code_global: { capacity: 50_000, refillMs: 72, whenStoreFails: "refuse" },
  guess_ip: { capacity: 60, refillMs: 60_000, whenStoreFails: "refuse" },
  device_link_ip: { capacity: 60, refillMs: 60_000, whenStoreFails: "allow" },
} as const satisfies Record<string, Bucket>;
export type PublicBucket = keyof typeof publicBuckets;

/** Of one person; they stand in the person's own object. */
export const personBuckets = {
  account: { capacity: 120, refillMs: 1_000, whenStoreFails: "refuse" },
  /** Counted in numbers asked about: some 5,000 a day. */
  discovery: { capacity: 5_000, refillMs: 17_280, whenStoreFails: "refuse" },
  lookup: { capacity: 200, refillMs: 30_000, whenStoreFails: "refuse" },
  username: { capacity: 10, refillMs: 3_600_000, whenStoreFails: "refuse" },
  report: { capacity: 20, refillMs: 3_600_000, whenStoreFails: "refuse" },
  device_link: { capacity: 10, refillMs: 600_000, whenStoreFails: "refuse" },
  /** People written to for the first time: nobody has so many new friends, but who sends unwanted messages has. */
  first_contact: { capacity: 200, refillMs: 432_000, whenStoreFails: "refuse" },
  export: { capacity: 3, refillMs: 8 * 3_600_000, whenStoreFails: "refuse" },
  /** In memory: what it keeps from is a loop, not a thief. */
  refresh: { capacity: 60, refillMs: 10_000, whenStoreFails: "refuse" },
  pin: { capacity: 5, refillMs: 6 * 3_600_000, whenStoreFails: "refuse" },
} as const satisfies Record<string, Bucket>;
export type PersonBucket = keyof typeof personBuckets;

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
