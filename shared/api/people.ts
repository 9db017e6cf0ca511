import * as v from "valibot";
import { ConversationId, Time, UserId } from "../ids.ts";
import {
  MAX_ABOUT_CHARS,
  MAX_CONTACTS_PER_USER,
  MAX_EXCEPTIONS_PER_AUDIENCE,
  MAX_HASHES_PER_DISCOVERY,
  MAX_PROFILE_NAME_CHARS,
  MAX_REPORT_EVIDENCE_CHARS,
  MAX_USERNAME_CHARS,
  MIN_USERNAME_CHARS,
} from "../limits.ts";
import { endpoint } from "./endpoint.ts";
import { Pin } from "./sign-in.ts";

const onePerson = v.object({ user: UserId });
const ProfileName = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(MAX_PROFILE_NAME_CHARS));
const About = v.pipe(v.string(), v.trim(), v.maxLength(MAX_ABOUT_CHARS));
/** Letters, digits and underscores, beginning with a letter; upper and lower case are the same name. */
export const Username = v.pipe(
  v.string(),
  v.toLowerCase(),
  v.regex(new RegExp(`^[a-z][a-z0-9_]{${MIN_USERNAME_CHARS - 1},${MAX_USERNAME_CHARS - 1}}$`)),
);
/** 256 random bits, base64url. */
const UserLink = v.pipe(v.string(), v.regex(/^[\w-]{43}$/));

// ── oneself ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const getMe = endpoint({
  name: "getMe",
  tag: "people",
  method: "get",
  path: "/v1/me",
  summary: "The caller's own account.",
  access: "device",
  bucket: "account",
  answer: v.object({
    user: UserId,
    name: v.string(),
    about: v.string(),
    username: v.optional(v.string()),
    /** Whoever has it can write to the caller, until it is rotated. */
    link: v.optional(UserLink),
    /** The last digits of the phone number: all of it that is kept. */
    phoneEnd: v.string(),
    /** Whether those who know the number may find the caller by it. */
    discoverable: v.boolean(),
    hasPin: v.boolean(),
    createdAt: Time,
  }),
  errors: [],
});

export const updateMe = endpoint({
  name: "updateMe",
  tag: "people",
  method: "patch",
  path: "/v1/me",
  summary: "Changes the caller's name, about text, or whether their number finds them.",
  access: "device",
  bucket: "account",
  body: v.object({
    name: v.optional(ProfileName),
    about: v.optional(About),
    discoverable: v.optional(v.boolean()),
  }),
  errors: [],
});

export const setPin = endpoint({
  name: "setPin",
  tag: "people",
  method: "put",
  path: "/v1/me/pin",
  summary: "Sets or changes the PIN that signing in with the caller's number asks for.",
  access: "device",
  bucket: "account",
  body: v.object({
    pin: Pin,
    /** The one that is to be replaced, if the account has one. */
    current: v.optional(Pin),
  }),
  errors: ["pin_required", "pin_wrong", "rate_limited"],
});

export const removePin = endpoint({
  name: "removePin",
  tag: "people",
  method: "post",
  path: "/v1/me/pin/removal",
  summary: "Signing in asks for no PIN any more.",
  access: "device",
  bucket: "account",
  body: v.object({
    /** The one that is to go, if the account has one. */
    current: v.optional(Pin),
  }),
  errors: ["pin_required", "pin_wrong", "rate_limited"],
});

export const rotateLink = endpoint({
  name: "rotateLink",
  tag: "people",
  method: "post",
  path: "/v1/me/link",
  summary: "Gives the caller a new link; the one before leads nowhere from now on.",
  access: "device",
  bucket: "account",
  answer: v.object({ link: UserLink }),
  errors: [],
});

export const removeLink = endpoint({
  name: "removeLink",
  tag: "people",
  method: "delete",
  path: "/v1/me/link",
  summary: "The caller has no link any more.",
  access: "device",
  bucket: "account",
  errors: [],
});

// ── usernames ───────────────────────────────────────────────────────────────────────────────────────────────────────

export const reserveUsername = endpoint({
  name: "reserveUsername",
  tag: "people",
  method: "post",
  path: "/v1/usernames/reservations",
  summary: "Keeps a free username for the caller for five minutes.",
  access: "device",
  bucket: "username",
  body: v.object({ username: Username }),
  answer: v.object({ username: v.string(), until: Time }),
  errors: ["taken"],
});

export const confirmUsername = endpoint({
  name: "confirmUsername",
  tag: "people",
  method: "put",
  path: "/v1/me/username",
  summary: "The reserved username becomes the caller's; the one before is held for 30 days, for them alone.",
  access: "device",
  bucket: "username",
  body: v.object({ username: Username }),
  errors: ["taken"],
});

export const releaseUsername = endpoint({
  name: "releaseUsername",
  tag: "people",
  method: "delete",
  path: "/v1/me/username",
  summary: "Gives the username up; it is held for 30 days, for the caller alone.",
  access: "device",
  bucket: "username",
  errors: [],
});

// ── finding people ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Somebody who was found. */
const Found = v.object({ user: UserId, name: v.string() });

export const findUsername = endpoint({
  name: "findUsername",
  tag: "people",
  method: "post",
  path: "/v1/usernames/find",
  summary: "Who has this username.",
  access: "device",
  bucket: "lookup",
  body: v.object({ username: Username }),
  answer: Found,
  errors: ["not_found"],
});

export const openUserLink = endpoint({
  name: "openUserLink",
  tag: "people",
  method: "post",
  path: "/v1/user-links/open",
  summary: "Whose link this is.",
  access: "device",
  bucket: "lookup",
  body: v.object({ link: UserLink }),
  answer: Found,
  errors: ["not_found"],
});

/** SHA-256 of a phone number in international format ("+" and digits, nothing else), base64url. */
export const PhoneDigest = v.pipe(v.string(), v.regex(/^[\w-]{43}$/));

export const discoverContacts = endpoint({
  name: "discoverContacts",
  tag: "people",
  method: "post",
  path: "/v1/contacts/discover",
  summary: "Who of these numbers is here and may be found by number. Each number counts against the caller's quota.",
  access: "device",
  bucket: "account",
  body: v.object({ digests: v.pipe(v.array(PhoneDigest), v.minLength(1), v.maxLength(MAX_HASHES_PER_DISCOVERY)) }),
  answer: v.object({ found: v.array(v.object({ digest: PhoneDigest, user: UserId, name: v.string() })) }),
  errors: ["rate_limited"],
});

/** What the caller may see of somebody: each part only if its audience includes the caller. */
export const Profile = v.object({
  user: UserId,
  name: v.string(),
  username: v.optional(v.string()),
  about: v.optional(v.string()),
  isOnline: v.optional(v.boolean()),
  lastSeenAt: v.optional(Time),
});
export type Profile = v.InferOutput<typeof Profile>;

export const viewPerson = endpoint({
  name: "viewPerson",
  tag: "people",
  method: "get",
  path: "/v1/users/:user",
  summary: "Somebody's profile, as far as the caller may see it.",
  access: "device",
  bucket: "lookup",
  params: onePerson,
  answer: Profile,
  errors: ["not_found"],
});

// ── contacts, requests, blocks ──────────────────────────────────────────────────────────────────────────────────────

export const listContacts = endpoint({
  name: "listContacts",
  tag: "people",
  method: "get",
  path: "/v1/contacts",
  summary: "The caller's contacts.",
  access: "device",
  bucket: "account",
  answer: v.object({
    contacts: v.pipe(
      v.array(v.object({ user: UserId, name: v.string(), username: v.optional(v.string()), addedAt: Time })),
      v.maxLength(MAX_CONTACTS_PER_USER),
    ),
  }),
  errors: [],
});

export const addContact = endpoint({
  name: "addContact",
  tag: "people",
  method: "put",
  path: "/v1/contacts/:user",
  summary: "Somebody becomes a contact; what they write is no request any more.",
  access: "device",
  bucket: "account",
  params: onePerson,
  errors: ["not_found", "too_many"],
});

export const removeContact = endpoint({
  name: "removeContact",
  tag: "people",
  method: "delete",
  path: "/v1/contacts/:user",
  summary: "Somebody is no contact any more. The conversation with them stays.",
  access: "device",
  bucket: "account",
  params: onePerson,
  errors: [],
});

export const listRequests = endpoint({
  name: "listRequests",
  tag: "people",
  method: "get",
  path: "/v1/requests",
  summary: "Strangers who have written to the caller: they see no receipts and no presence until they are accepted.",
  access: "device",
  bucket: "account",
  answer: v.object({ requests: v.array(v.object({ user: UserId, name: v.string() })) }),
  errors: [],
});

export const acceptRequest = endpoint({
  name: "acceptRequest",
  tag: "people",
  method: "put",
  path: "/v1/requests/:user",
  summary: "Accepts what somebody writes. Answering them, or adding them to the contacts, does the same.",
  access: "device",
  bucket: "account",
  params: onePerson,
  errors: ["not_found"],
});

export const listBlocked = endpoint({
  name: "listBlocked",
  tag: "people",
  method: "get",
  path: "/v1/blocks",
  summary: "Whom the caller has blocked.",
  access: "device",
  bucket: "account",
  answer: v.object({ blocked: v.array(v.object({ user: UserId, name: v.string() })) }),
  errors: [],
});

export const block = endpoint({
  name: "block",
  tag: "people",
  method: "put",
  path: "/v1/blocks/:user",
  summary: "Nothing of what somebody writes to the caller arrives from now on. They are not told.",
  access: "device",
  bucket: "account",
  params: onePerson,
  errors: ["not_found", "too_many"],
});

export const unblock = endpoint({
  name: "unblock",
  tag: "people",
  method: "delete",
  path: "/v1/blocks/:user",
  summary: "What somebody writes arrives again; what they wrote meanwhile never does.",
  access: "device",
  bucket: "account",
  params: onePerson,
  errors: [],
});

export const report = endpoint({
  name: "report",
  tag: "people",
  method: "post",
  path: "/v1/reports",
  summary: "Reports somebody to those who run the service, with chosen messages sealed for them alone.",
  access: "device",
  bucket: "report",
  body: v.object({
    user: UserId,
    reason: v.picklist(["spam", "abuse", "impersonation", "illegal", "other"]),
    conversation: v.optional(ConversationId),
    /** The chosen messages as a JWE (RFC 7516, compact) for the key with `use: "enc"` of the published key set. */
    evidence: v.optional(
      v.pipe(v.string(), v.regex(/^[\w-]+(?:\.[\w-]*){4}$/), v.maxLength(MAX_REPORT_EVIDENCE_CHARS)),
    ),
    /** Also blocks the person. */
    block: v.optional(v.boolean(), false),
  }),
  answer: v.object({ report: v.string() }),
  errors: ["not_found", "too_many"],
});

// ── privacy ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Who may see something. `except`: contacts without those named. */
export const Audience = v.object({
  audience: v.picklist(["everyone", "contacts", "except", "nobody"]),
  except: v.optional(v.pipe(v.array(UserId), v.maxLength(MAX_EXCEPTIONS_PER_AUDIENCE)), []),
});
export type Audience = v.InferOutput<typeof Audience>;

/** `seen`: online and last seen; reciprocal — who shows it to nobody sees nobody's. `groups`: who may add the caller. */
export const Privacy = v.object({ seen: Audience, picture: Audience, about: Audience, groups: Audience });
export type Privacy = v.InferOutput<typeof Privacy>;

export const getPrivacy = endpoint({
  name: "getPrivacy",
  tag: "people",
  method: "get",
  path: "/v1/me/privacy",
  summary: "Who may see what of the caller.",
  access: "device",
  bucket: "account",
  answer: Privacy,
  errors: [],
});

export const setPrivacy = endpoint({
  name: "setPrivacy",
  tag: "people",
  method: "patch",
  path: "/v1/me/privacy",
  summary: "Sets who may see what of the caller; what is not named stays.",
  access: "device",
  bucket: "account",
  body: v.partial(Privacy),
  errors: ["not_found"],
});
