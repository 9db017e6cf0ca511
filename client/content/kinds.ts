import * as v from "valibot";
import { MessageId, UserId } from "../../shared/ids.ts";
import {
  MAX_ACCURACY_METRES,
  MAX_BLUR_HASH_CHARS,
  MAX_CARD_NAME_CHARS,
  MAX_CARD_PHONES,
  MAX_LOCATION_TEXT_CHARS,
  MAX_MESSAGES_PER_ASK,
  MAX_PHONE_CHARS,
  MAX_POLL_OPTION_CHARS,
  MAX_POLL_OPTIONS,
  MAX_POLL_QUESTION_CHARS,
  MAX_SAID_AGAIN_BYTES,
  MAX_THUMBNAIL_BYTES,
  MAX_WAVEFORM_BYTES,
  MIN_POLL_OPTIONS,
} from "../../shared/limits.ts";
import {
  audioType,
  bytesUpTo,
  caption,
  DurationMs,
  Emoji,
  ExpiresAfter,
  fileOf,
  imageType,
  integer,
  isCoherent,
  NamedFile,
  shown,
  size,
  someUpTo,
  upTo,
  videoType,
  viewOnce,
  within,
  wording,
} from "./fields.ts";

// ── what is there to be seen ────────────────────────────────────────────────────────────────────────────────────────

const Text = v.pipe(
  v.object({ kind: v.literal("text"), ...wording, ...shown }),
  v.check(({ text }) => text !== ""),
  v.check((content) => isCoherent(content)),
);

/** What is shown while the file itself is not there. */
const placeholder = {
  thumbnail: v.optional(bytesUpTo(MAX_THUMBNAIL_BYTES)),
  blurHash: v.optional(upTo(MAX_BLUR_HASH_CHARS)),
};

const Image = v.pipe(
  v.object({
    kind: v.literal("image"),
    file: fileOf(imageType),
    ...size,
    ...placeholder,
    ...caption,
    viewOnce,
    ...shown,
  }),
  v.check((content) => isCoherent(content)),
);

const Video = v.pipe(
  v.object({
    kind: v.literal("video"),
    file: fileOf(videoType),
    durationMs: DurationMs,
    ...size,
    ...placeholder,
    ...caption,
    viewOnce,
    ...shown,
  }),
  v.check((content) => isCoherent(content)),
);

const Audio = v.object({ kind: v.literal("audio"), file: fileOf(audioType), durationMs: DurationMs, ...shown });

const Voice = v.object({
  kind: v.literal("voice"),
  file: fileOf(audioType),
  durationMs: DurationMs,
  /** Loudness over time, evenly spaced, a byte each. */
  waveform: bytesUpTo(MAX_WAVEFORM_BYTES),
  viewOnce,
  ...shown,
});

const Document = v.pipe(
  v.object({ kind: v.literal("document"), file: NamedFile, ...placeholder, ...caption, ...shown }),
  v.check((content) => isCoherent(content)),
);

const Sticker = v.object({
  kind: v.literal("sticker"),
  file: fileOf(imageType),
  ...size,
  emoji: v.optional(Emoji),
  ...shown,
});

const Location = v.object({
  kind: v.literal("location"),
  /** Degrees (WGS 84). */
  latitude: within(-90, 90),
  longitude: within(-180, 180),
  accuracyMetres: v.optional(within(0, MAX_ACCURACY_METRES)),
  name: v.optional(upTo(MAX_LOCATION_TEXT_CHARS)),
  address: v.optional(upTo(MAX_LOCATION_TEXT_CHARS)),
  ...shown,
});

/** Somebody's card. */
const Contact = v.object({
  kind: v.literal("contact"),
  name: someUpTo(MAX_CARD_NAME_CHARS),
  phones: v.pipe(v.array(someUpTo(MAX_PHONE_CHARS)), v.maxLength(MAX_CARD_PHONES)),
  user: v.optional(UserId),
  ...shown,
});

const Poll = v.object({
  kind: v.literal("poll"),
  question: someUpTo(MAX_POLL_QUESTION_CHARS),
  options: v.pipe(
    v.array(someUpTo(MAX_POLL_OPTION_CHARS)),
    v.minLength(MIN_POLL_OPTIONS),
    v.maxLength(MAX_POLL_OPTIONS),
    v.check((items) => areDistinct(items)),
  ),
  /** Whether one may vote for several. */
  multiple: v.boolean(),
  ...shown,
});

// ── what changes a message that is there: `target` is its id ────────────────────────────────────────────────────────

/** One a person and message; an empty text takes it back. */
const Reaction = v.object({
  kind: v.literal("reaction"),
  target: MessageId,
  emoji: v.union([v.literal(""), Emoji]),
});

/** Other words for one's own text, or for the caption of one's own picture, film or document. */
const Edit = v.pipe(
  v.object({ kind: v.literal("edit"), target: MessageId, ...wording }),
  v.check((content) => isCoherent(content)),
);

/** For everyone. */
const Deletion = v.object({ kind: v.literal("deletion"), target: MessageId });

/** All that one votes for, by the place among the options, from 0; none takes the vote back. */
const Vote = v.object({
  kind: v.literal("vote"),
  target: MessageId,
  options: v.pipe(
    v.array(integer(0, MAX_POLL_OPTIONS - 1)),
    v.maxLength(MAX_POLL_OPTIONS),
    v.check((items) => areDistinct(items)),
  ),
});

const Pin = v.object({ kind: v.literal("pin"), target: MessageId, pinned: v.boolean() });

// ── what changes the conversation ───────────────────────────────────────────────────────────────────────────────────

/** How long messages stay from here on; 0: for good. */
const Timer = v.object({ kind: v.literal("timer"), seconds: v.union([v.literal(0), ExpiresAfter]) });

// ── what devices say to each other, and nobody sees ─────────────────────────────────────────────────────────────────

/** These messages could not be opened here: a device of whoever wrote them may say them again. */
const Ask = v.object({
  kind: v.literal("ask"),
  targets: v.pipe(v.array(MessageId), v.minLength(1), v.maxLength(MAX_MESSAGES_PER_ASK)),
});

/** What a message of one's own says, for those who could not open it. */
const Again = v.object({ kind: v.literal("again"), target: MessageId, content: bytesUpTo(MAX_SAID_AGAIN_BYTES) });

function areDistinct(items: readonly (string | number)[]): boolean {
  return new Set(items).size === items.length;
}

const schemas = [
  Text,
  Image,
  Video,
  Audio,
  Voice,
  Document,
  Sticker,
  Location,
  Contact,
  Poll,
  Reaction,
  Edit,
  Deletion,
  Vote,
  Pin,
  Timer,
  Ask,
  Again,
] as const;

export type KnownContent = Immutable<v.InferOutput<(typeof schemas)[number]>>;
export type KnownKind = KnownContent["kind"];
export type ContentOf<K extends KnownKind> = Extract<KnownContent, { kind: K }>;

type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

const byKind: ReadonlyMap<string, v.GenericSchema<unknown, KnownContent>> = new Map(
  schemas.map((schema) => [schema.entries.kind.literal, schema]),
);

export function isKnownKind(kind: string): kind is KnownKind {
  return byKind.has(kind);
}

/** Whether it is a content of the kind that it names. */
export function isKnownContent(value: { readonly kind: string }): value is KnownContent {
  const schema = byKind.get(value.kind);
  return schema !== undefined && v.is(schema, value);
}
