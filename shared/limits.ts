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

// Encryption
/** Commits, Welcomes and trees up to this size stand in the conversation's object, larger ones in the file store. */
export const MAX_INLINE_GROUP_BYTES = 64 * 1024;
/** A request that hands in a commit, with Welcome and group info, in base64url. */
export const MAX_COMMIT_REQUEST_BYTES = 4 * 1024 * 1024;
/** The parts of a commit that are read whole, of their own sizes: what they say costs many times the memory that it takes. */
export const MAX_GROUP_INFO_BYTES = 32 * 1024;
export const MAX_WELCOME_BYTES = 256 * 1024;
export const MAX_ADDS_PER_COMMIT = 64;
export const MAX_REMOVES_PER_COMMIT = 1_024;
export const MAX_LEAVES_PER_GROUP = 4_096;
/** Devices of one person in one group, for whoever joins without help: their lost ones stand there until they remove them. */
export const MAX_LEAVES_PER_USER = 2 * MAX_DEVICES_PER_USER;
/** People who were removed from a group and may still read their time in it; who left first is forgotten first. */
export const MAX_FORMER_MEMBERS = 2_048;
/** Devices that have left a group, and whose last message is known though it has left the log; the oldest goes first. */
export const MAX_FORMER_DEVICES = 256;
/** Of somebody who has come and gone more often, the last ones count. */
export const MAX_TIMES_AS_MEMBER = 8;
/** Up to so many leaves a new group takes the hybrid suite; its commits are eight times as large. */
export const MAX_HYBRID_LEAVES = 64;
export const MAX_KEY_PACKAGE_BYTES = 4 * 1024;
export const MAX_KEY_PACKAGES_PER_UPLOAD = 20;
/** A request that uploads key packages, in base64url. */
export const MAX_KEYS_REQUEST_BYTES = 128 * 1024;
/** Of a commit, with as many adds and removes as it may have. */
export const MAX_PROPOSALS_BYTES =
  MAX_ADDS_PER_COMMIT * (MAX_KEY_PACKAGE_BYTES + 8) + MAX_REMOVES_PER_COMMIT * 8 + 2_048;
/** One-time key packages that a device has waiting, of each suite. */
export const MAX_KEY_PACKAGES_PER_DEVICE = 100;
/** A device with fewer of a suite is asked for more. */
export const KEY_PACKAGES_LOW = 10;
export const KEY_PACKAGE_LIFETIME_MS = 90 * 24 * 3_600_000;
/** A key package may not be good for longer, and may have begun before the server's clock says so. */
export const MAX_KEY_PACKAGE_LIFETIME_MS = 100 * 24 * 3_600_000;
export const KEY_PACKAGE_CLOCK_SKEW_MS = 24 * 3_600_000;
/**
 * Messages of one sender in one epoch that a device did not get before one that it opens, being hidden from it or never
 * placed. Each costs a hash, so this is also what a member can make others compute; the next epoch counts anew.
 */
export const MAX_MISSED_MESSAGES = 4_096;
/** Keys that are kept for messages that were overtaken: no more can be than a device has in flight. */
export const MAX_KEPT_MESSAGE_KEYS = 32;
/** People whose claims on somebody's key packages are remembered, and as many who add them to groups; the quietest go first. */
export const MAX_REQUESTERS_PER_USER = 1_000;

// Backups
/** Of records, before they are encrypted; a record is never cut in two. */
export const ARCHIVE_CHUNK_BYTES = 256 * 1024;
export const MAX_ARCHIVE_CHUNKS = 16_384;
/** What encryption adds to a chunk. */
export const ARCHIVE_TAG_BYTES = 16;
/** Argon2id over a passphrase, on one lane; memory and passes as in RFC 9106 §4, second recommended option. */
export const PASSPHRASE_MEMORY_KIB = 64 * 1024;
export const PASSPHRASE_PASSES = 3;
/** A backup may ask for no more than this: the server could have made it up. */
export const MAX_PASSPHRASE_MEMORY_KIB = 256 * 1024;
export const MAX_PASSPHRASE_PASSES = 10;
/** Whoever keeps a backup may guess for as long as they like. */
export const MIN_PASSPHRASE_CHARS = 8;

// Archives on the server
/** The backup, the next one under way, and those that linked devices are still to read. */
export const MAX_ARCHIVES_PER_USER = 4;
/** Of the room that was made, used or not; a backup of the largest size and the next one have room beside each other. */
export const MAX_ARCHIVE_BYTES_PER_USER = 8 * 1024 * 1024 * 1024;
/** Requests that change a person's archives at the same moment come one after the other; so often one tries. */
export const MAX_DIRECTORY_TRIES = 8;
export const MAX_ARCHIVE_MANIFEST_BYTES = 1_024;
export const MAX_BACKUP_ENVELOPE_BYTES = 16 * 1024;
/** An archive that no backup names goes after this; when it was begun counts. */
export const TEMPORARY_ARCHIVE_TTL_MS = 7 * 24 * 3_600_000;

// What a message says
/** Of a kind's name, known or not. */
export const MAX_KIND_CHARS = 64;
/** In UTF-16 code units, as all characters here; three bytes each at most, so that the longest text fits a message. */
export const MAX_TEXT_CHARS = 16_384;
export const MAX_CAPTION_CHARS = 4_096;
export const MAX_MENTIONS_PER_MESSAGE = 100;
export const MAX_EXCERPT_CHARS = 200;
/** What has been passed on so often, or more often, counts as forwarded many times. */
export const MAX_FORWARD_HOPS = 5;
/** The longest emoji of Unicode 16 has 15. */
export const MAX_EMOJI_CHARS = 32;
export const MAX_POLL_QUESTION_CHARS = 300;
export const MIN_POLL_OPTIONS = 2;
export const MAX_POLL_OPTIONS = 12;
export const MAX_POLL_OPTION_CHARS = 100;
export const MAX_LOCATION_TEXT_CHARS = 200;
export const MAX_ACCURACY_METRES = 100_000;
export const MAX_CARD_NAME_CHARS = 128;
export const MAX_CARD_PHONES = 10;
export const MAX_URL_CHARS = 2_048;
export const MAX_PREVIEW_TITLE_CHARS = 300;
export const MAX_PREVIEW_DESCRIPTION_CHARS = 1_000;
export const MAX_FILE_BYTES = 100 * 1024 * 1024;
export const MAX_FILE_ID_CHARS = 64;
export const MAX_FILE_NAME_CHARS = 255;
export const MAX_MEDIA_TYPE_CHARS = 127;
export const MAX_PICTURE_SIDE_PX = 65_535;
export const MAX_MEDIA_DURATION_MS = 7 * 24 * 3_600_000;
export const MAX_THUMBNAIL_BYTES = 16 * 1024;
/** Nine by nine components, as many as the format has. */
export const MAX_BLUR_HASH_CHARS = 166;
/** One byte a sample. */
export const MAX_WAVEFORM_BYTES = 128;
/** How long messages of a conversation may stay, if they do not stay for good: 24 hours, 7 days, 90 days. */
export const DISAPPEARING_SECONDS = [86_400, 604_800, 7_776_000] as const;
export const EDIT_WINDOW_MS = 15 * 60_000;
export const MAX_EDITS_PER_MESSAGE = 10;
export const DELETION_WINDOW_MS = 48 * 3_600_000;
/** What is sealed has one of these sizes: few, so that the size tells little; the smallest holds most texts. */
export const ENVELOPE_SIZES_BYTES = [256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 57_344] as const;
/** A transcript's digests begin anew after so many places, so that whoever lacks an entry knows them again soon. */
export const TRANSCRIPT_BLOCK_PLACES = 64;
/** How often a device that is there writes down that it is. */
export const PRESENCE_NOTED_MS = 24 * 3_600_000;

// Search on the device
export const MAX_SEARCH_HITS = 100;
export const MAX_QUERY_CHARS = 200;
/** A longer word is cut: what is so long is no word. */
export const MAX_TERM_CHARS = 64;
export const MAX_SNIPPET_CHARS = 160;
/** Indexing lets others have a turn after this. */
export const INDEX_SLICE_MS = 8;
/** The index is written down so long after it has changed; what came since is read again at the next start. */
export const SEARCH_SAVE_MS = 30_000;

// Retention
export const RETENTION_MS = 30 * 24 * 3_600_000;
/** What every device has acknowledged stays this long, for a device that restores an older copy of itself. */
export const ACKED_GRACE_MS = 24 * 3_600_000;
export const SEGMENT_AGE_MS = 24 * 3_600_000;
export const SEGMENT_ENTRIES = 4_096;

// Calls between objects
/** The file store deletes no more at once. */
export const MAX_FILES_PER_DELETE = 1_000;
/** Files that could not be deleted are tried again after this, then more and more seldom. */
export const FILE_RETRY_MS = 30_000;
export const FILE_RETRY_MAX_MS = 6 * 3_600_000;
/** Files of a commit that was not handed in by then are nobody's: no request lasts that long. */
export const UNCLAIMED_FILES_MS = 3_600_000;
/** A call that has no answer by then counts as failed: what waits for it must not wait for ever. */
export const CALL_TIMEOUT_MS = 15_000;
/** A push that could not be handed to the queue is tried again after this. */
export const PUSH_RETRY_MS = 30_000;
export const MAX_CACHED_STUBS = 1_000;
export const CALL_RETRY_MS = [50, 250, 1_000] as const;

// HTTP
/** A JSON body nests no deeper than this; ours have three levels. */
export const MAX_JSON_DEPTH_LEVELS = 16;
/** And has no more values: some take a hundred times the memory that they take as text. */
export const MAX_JSON_VALUES = 10_000;

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
  keys: { capacity: 60, refillMs: 60_000, whenStoreFails: "refuse" },
  /** Key packages asked for: a large group takes one a member at once. */
  key_packages: { capacity: 1_200, refillMs: 30_000, whenStoreFails: "refuse" },
  commit: { capacity: 120, refillMs: 5_000, whenStoreFails: "refuse" },
  /** A chunk each: some 300 MiB at once, then 1 MiB a second. */
  archive: { capacity: 1_200, refillMs: 250, whenStoreFails: "refuse" },
  export: { capacity: 3, refillMs: 8 * 3_600_000, whenStoreFails: "refuse" },
  /** In memory: what it keeps from is a loop, not a thief. */
  refresh: { capacity: 60, refillMs: 10_000, whenStoreFails: "refuse" },
  pin: { capacity: 5, refillMs: 6 * 3_600_000, whenStoreFails: "refuse" },
} as const satisfies Record<string, Bucket>;
export type PersonBucket = keyof typeof personBuckets;

/** Of one person's key packages, for each other person who asks. */
export const claimBucket = { capacity: 50, refillMs: 1_800_000, whenStoreFails: "refuse" } as const satisfies Bucket;
/** Of groups that one person is brought into, for each other person who does it: no fewer than they may claim key packages for. */
export const additionBucket = { capacity: 50, refillMs: 1_800_000, whenStoreFails: "refuse" } as const satisfies Bucket;

// Reading on the device
/** Messages that are read from a store at once. */
export const SCAN_PAGE_MESSAGES = 500;
/** Conversations of which a device keeps in memory what changes their messages; the others are read again. */
export const MAX_FOLDED_CONVERSATIONS = 256;
/** Messages read in search of a conversation's timer, after which the device writes down how far it has got. */
export const TIMER_SAVE_MESSAGES = 500;
/** What is not to be kept is erased so long after it has come, so that a lot goes at once; so many messages are read for it. */
export const ERASE_AFTER_MS = 1_000;
export const ERASE_SLICE_MESSAGES = 128;
/** What expires is waited for so long at most: a device that sleeps does not count the time. */
export const MAX_ERASE_WAIT_MS = 3_600_000;
/** Text for a cursor over everything that has come: some 40 characters a conversation. */
export const MAX_CURSOR_CHARS = 4 * 1024 * 1024;
/** Messages of one conversation that could not be opened yet, and that a cursor still waits for. */
export const MAX_AWAITED_MESSAGES = 32;

// Devices' side
export const RECONNECT_MIN_MS = 500;
export const RECONNECT_MAX_MS = 30_000;
/** A connection that has lasted this long sets the reconnect back-off back to its start. */
export const RECONNECT_STABLE_MS = 10_000;
export const PING_INTERVAL_MS = 30_000;
/** A device that sees a gap waits this long for the missing entry before it fetches it. */
export const GAP_WAIT_MS = 400;
export const MAX_IN_FLIGHT_SENDS = 32;
/** Groups whose state a device keeps in memory; the others are read from its store. */
export const MAX_CACHED_GROUPS = 256;
/** Certificates that a device has verified and remembers. */
export const MAX_VERIFIED_CERTIFICATES = 8_192;
/** One-time key packages that a device keeps on the server, of each suite. */
export const KEY_PACKAGES_KEPT = 25;
/** Welcomes and large commits fetched and waiting for their place in the log. */
export const MAX_INVITATIONS = 128;
/** After somebody's account key has changed, devices under the one before may still be in groups for so long. */
export const FORMER_KEY_MS = 7 * 24 * 3_600_000;
export const MAX_FORMER_KEYS = 4;
/** Messages that could not be opened and are asked for at once. */
export const MAX_MESSAGES_PER_ASK = 32;
/** What a device asks for in one conversation in a day, and how often it asks for the same message. */
export const MAX_ASKED_PER_DAY = 320;
export const MAX_ASKS_PER_MESSAGE = 3;
/** What a device says again in one conversation in a day, to everybody together and to one person. */
export const MAX_SAID_AGAIN_PER_DAY = 1_280;
export const MAX_SAID_AGAIN_TO_ONE_PER_DAY = 320;
/** What a device says again at most: with its base64url it has to fit into one content. */
export const MAX_SAID_AGAIN_BYTES = 38 * 1024;
/** Between finding that a message cannot be opened and asking for it; between being asked and answering, at most. */
export const ASK_AFTER_MS = 1_000;
export const ANSWER_WITHIN_MS = 3_000;
/** A commit that was taken comes back through the log; this long it is waited for. */
export const ADOPTION_WAIT_MS = 5_000;
/** Between one try to become a member, or to change a group, and the next; each pause is twice the one before. */
export const MEMBERSHIP_RETRY_MS = 500;
export const MEMBERSHIP_RETRY_MAX_MS = 60_000;
/** What a message says, before it is padded and sealed. */
export const MAX_CONTENT_BYTES = 52 * 1024;
/** A device whose epoch is over waits this long for the next one, and twice as long each time. */
export const EPOCH_WAIT_MS = 100;
export const MAX_OUTBOX_MESSAGES = 10_000;
/** Of so many writes a device remembers who asked for the messages that they have put into the outbox. */
export const REMEMBERED_REQUEST_WRITES = 256;
/** From asking for a ticket to the server's welcome. */
export const CONNECT_TIMEOUT_MS = 15_000;
export const HTTP_TIMEOUT_MS = 10_000;
/** A chunk of an archive takes no longer, on whatever network. */
export const TRANSFER_TIMEOUT_MS = 60_000;
/** What fails in passing while an archive is transferred is tried again so often, each pause twice the one before. */
export const MAX_TRANSFER_TRIES = 8;
export const TRANSFER_RETRY_MS = 500;
export const TRANSFER_RETRY_MAX_MS = 30_000;
/** Room for so many chunks at first, then twice as much each time. */
export const FIRST_ARCHIVE_ROOM_CHUNKS = 64;
/** Messages in one record of an archive, and what they may say together; one alone may say more. */
export const MAX_HISTORY_PAGE_MESSAGES = 64;
export const MAX_HISTORY_PAGE_BYTES = 64 * 1024;
/** Account keys of other people in one record of an archive. */
export const MAX_HISTORY_PAGE_PINS = 256;
/** Between one look at whether an archive is complete and the next; each pause is twice the one before. */
export const HISTORY_POLL_MS = 2_000;
export const HISTORY_POLL_MAX_MS = 30_000;
/** A linked device waits no longer for the history that it was promised. */
export const HISTORY_WAIT_MS = 24 * 3_600_000;
/** Conversations whose groups a device puts in order at a time, and how long it gives each before it turns to the next. */
export const PARALLEL_RECONCILIATIONS = 3;
export const RECONCILIATION_TIMEOUT_MS = 60_000;
/** Devices that hear of another one at the same moment begin at different ones, between these. */
export const MIN_RECONCILIATION_DELAY_MS = 2_000;
export const MAX_RECONCILIATION_DELAY_MS = 10_000;
/** Messages held back in one conversation while an earlier one is missing; what is dropped is fetched with the gap. */
export const MAX_HELD_MESSAGES = 256;
/** Who has not said so again for so long is not typing any more. */
export const TYPING_SHOWN_MS = 5_000;
export const MAX_TYPISTS = 64;
/** What a transport may hold that the network has not taken. */
export const MAX_BUFFERED_BYTES = 8 * 1024 * 1024;
