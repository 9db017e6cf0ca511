import * as v from "valibot";
import { MessageId, UserId } from "../../shared/ids.ts";
import {
  DISAPPEARING_SECONDS,
  MAX_CAPTION_CHARS,
  MAX_EMOJI_CHARS,
  MAX_EXCERPT_CHARS,
  MAX_FILE_BYTES,
  MAX_FILE_ID_CHARS,
  MAX_FILE_NAME_CHARS,
  MAX_FORWARD_HOPS,
  MAX_MEDIA_DURATION_MS,
  MAX_MEDIA_TYPE_CHARS,
  MAX_MENTIONS_PER_MESSAGE,
  MAX_PICTURE_SIDE_PX,
  MAX_PREVIEW_DESCRIPTION_CHARS,
  MAX_PREVIEW_TITLE_CHARS,
  MAX_TEXT_CHARS,
  MAX_THUMBNAIL_BYTES,
  MAX_URL_CHARS,
} from "../../shared/limits.ts";

/** Of what the kinds of content are made. Nothing here transforms: a content is the JSON value that was sent. */

export const upTo = (maxChars: number) => v.pipe(v.string(), v.maxLength(maxChars));
export const someUpTo = (maxChars: number) => v.pipe(v.string(), v.minLength(1), v.maxLength(maxChars));
export const integer = (min: number, max: number) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(min), v.maxValue(max));
export const within = (min: number, max: number) => v.pipe(v.number(), v.minValue(min), v.maxValue(max));

/** Base64url without padding (RFC 4648 §5). */
export const bytesUpTo = (maxBytes: number) =>
  v.pipe(
    v.string(),
    v.maxLength(Math.ceil((maxBytes * 4) / 3)),
    v.regex(/^[\w-]+$/),
    v.check((text) => text.length % 4 !== 1),
  );

/** 32 bytes in base64url. */
const Bytes32 = v.pipe(v.string(), v.regex(/^[\w-]{43}$/));

/** A person named in the text: `length` UTF-16 code units from `start` stand for them. */
const Mention = v.object({
  start: integer(0, MAX_TEXT_CHARS),
  length: integer(1, MAX_TEXT_CHARS),
  user: UserId,
});
/** In the order of the text; they do not overlap. */
const Mentions = v.pipe(v.array(Mention), v.maxLength(MAX_MENTIONS_PER_MESSAGE));

const WebAddress = v.pipe(v.string(), v.maxLength(MAX_URL_CHARS), v.regex(/^https?:\/\/[^\s\p{Cc}]+$/iu));

/** Made by the sender, so that readers tell no web site that they read. */
const LinkPreview = v.object({
  /** Stands in the text: nobody is shown another page than the one they are led to. */
  url: WebAddress,
  title: someUpTo(MAX_PREVIEW_TITLE_CHARS),
  description: v.optional(upTo(MAX_PREVIEW_DESCRIPTION_CHARS)),
  thumbnail: v.optional(bytesUpTo(MAX_THUMBNAIL_BYTES)),
});

export const wording = { text: upTo(MAX_TEXT_CHARS), mentions: v.optional(Mentions), preview: v.optional(LinkPreview) };
export const caption = { text: v.optional(upTo(MAX_CAPTION_CHARS)), mentions: v.optional(Mentions) };

interface Worded {
  readonly text?: string | undefined;
  readonly mentions?: readonly v.InferOutput<typeof Mention>[] | undefined;
  readonly preview?: v.InferOutput<typeof LinkPreview> | undefined;
}

/** Whether mentions and preview belong to this text. */
export function isCoherent({ text = "", mentions = [], preview }: Worded): boolean {
  let end = 0;
  for (const { start, length } of mentions) {
    if (start < end) return false;
    end = start + length;
  }
  return end <= text.length && (preview === undefined || text.includes(preview.url));
}

/** What is quoted. Who has the message itself shows that; the excerpt is what the sender says it was. */
const Quote = v.object({ id: MessageId, author: UserId, excerpt: upTo(MAX_EXCERPT_CHARS) });

/** How long something stays, in seconds from the time at which the server stored it. */
export const ExpiresAfter = v.picklist(DISAPPEARING_SECONDS);

/** What every message that is there to be seen may have. */
export const shown = {
  reply: v.optional(Quote),
  /** How often it has been passed on; counted no further than MAX_FORWARD_HOPS. */
  forwarded: v.optional(integer(1, MAX_FORWARD_HOPS)),
  expiresAfter: v.optional(ExpiresAfter),
};

/** To be shown once, and then forgotten; what a client shows cannot be taken back for certain. */
export const viewOnce = v.optional(v.literal(true));

/** A type of medium without parameters (RFC 6838 §4.2). */
const mediaType = (pattern: RegExp) => v.pipe(v.string(), v.maxLength(MAX_MEDIA_TYPE_CHARS), v.regex(pattern));
const anyType = mediaType(/^[a-z]+\/[a-z\d][a-z\d!#$&^_.+-]*$/);
export const audioType = mediaType(/^audio\/[a-z\d][a-z\d.+-]*$/);
export const videoType = mediaType(/^video\/[a-z\d][a-z\d.+-]*$/);
/** An SVG is a program rather than a picture; it goes as a document. */
export const imageType = mediaType(/^image\/(?!svg)[a-z\d][a-z\d.+-]*$/);

/** No path, nothing that breaks a header's line, nothing that makes “exe.jpg” of “gpj.exe”. */
const FileName = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(MAX_FILE_NAME_CHARS),
  v.regex(/^[^\p{Cc}\u2028-\u202e\u2066-\u2069/\\]+$/u),
);

/** An encrypted file on the server, and what opens it. */
const file = {
  id: v.pipe(v.string(), v.maxLength(MAX_FILE_ID_CHARS), v.regex(/^[\w-]+$/)),
  key: Bytes32,
  /** SHA-256 of the file as it lies on the server. */
  hash: Bytes32,
  /** Before encryption. */
  bytes: integer(0, MAX_FILE_BYTES),
};
export const fileOf = (type: typeof anyType) => v.object({ ...file, type, name: v.optional(FileName) });
export const NamedFile = v.object({ ...file, type: anyType, name: FileName });

export const size = { width: integer(1, MAX_PICTURE_SIDE_PX), height: integer(1, MAX_PICTURE_SIDE_PX) };
export const DurationMs = integer(0, MAX_MEDIA_DURATION_MS);

/** One emoji, also one that this device's Unicode does not know yet. */
export const Emoji = v.pipe(
  v.string(),
  v.maxLength(MAX_EMOJI_CHARS),
  v.regex(/^[\p{Extended_Pictographic}\p{Emoji_Component}]+$/u),
  v.regex(/[\p{Extended_Pictographic}\p{Regional_Indicator}]|\u20e3/u),
  v.check((text) => [...new Intl.Segmenter().segment(text)].length === 1),
);
