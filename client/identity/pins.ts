import * as v from "valibot";
import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import type { Certificate } from "../../shared/certificate.ts";
import { type DeviceId, Time, type UserId } from "../../shared/ids.ts";
import { FORMER_KEY_MS, MAX_FORMER_KEYS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import { isSameKey } from "./ed25519.ts";

/**
 * What the authentication service (RFC 9750 §6) of this device decides by: the account key that a person had when this
 * device met them first is theirs until a change of it has been shown. So the server cannot add a device to somebody
 * unseen. Signatures are not looked at here: a certificate that comes here has been verified.
 */
export interface Pins {
  readonly own: Identity;
  readonly others: { get(user: UserId): Pin | undefined };
}

export interface Identity {
  readonly user: UserId;
  readonly accountKey: Uint8Array;
}

export interface Pin {
  readonly accountKey: Uint8Array;
  /** Since when it is this key, ms since 1970. */
  readonly since: number;
  /** When the two people compared safety numbers; absent if they never did for this key. */
  readonly verifiedAt?: number;
  /** An earlier key was compared, and this one was neither compared nor accepted. */
  readonly isUnconfirmed?: true;
  /** Keys before this one, whose change has been shown: devices that they certified may stay in groups for a while. */
  readonly former?: readonly FormerKey[];
}

interface FormerKey {
  readonly accountKey: Uint8Array;
  /** The two people had compared it. */
  readonly wasVerified?: true;
  /** Ms since 1970; after that it is a stranger's. */
  readonly until: number;
}

export interface Expectation {
  /** Whose device it has to be, and which; absent if it may be anybody's, or any. */
  readonly user?: UserId;
  readonly device?: DeviceId;
  readonly now: number;
}

export interface Judgement {
  readonly ok: boolean;
  /** To be kept as the person's from now on; absent if everything stays as it is. */
  readonly pin?: Pin;
  readonly change?: KeyChange;
}

/** For the person at this device to see. */
export interface KeyChange {
  readonly user: UserId;
  readonly oldKey: Uint8Array;
  readonly newKey: Uint8Array;
  /** When this device noticed, ms since 1970. */
  readonly at: number;
  /** The old key was compared by safety number; the new one was not. */
  readonly wasVerified: boolean;
}

/**
 * A changed key is taken for theirs at once, and shown; {@link maySealFor} says what may be said to it. One's own account key
 * never changes by what others say: whoever shows another one is no device of this account.
 */
export function judge({ own, others }: Pins, certificate: Certificate, expected: Expectation): Judgement {
  const { user, device, accountKey } = certificate;
  const { now } = expected;
  if (user !== (expected.user ?? user) || device !== (expected.device ?? device)) return { ok: false };
  const pin = { accountKey, since: now };
  const pinned: Pin | undefined = user === own.user ? { ...own, since: now } : others.get(user);
  if (!pinned) return { ok: true, pin };
  if (isSameKey(pinned.accountKey, accountKey) || isFormer(pinned, accountKey, now)) return { ok: true };
  const wasVerified = pinned.verifiedAt !== undefined;
  const change = { user, oldKey: pinned.accountKey, newKey: accountKey, at: now, wasVerified };
  if (user === own.user) return { ok: false, change };
  const isUnconfirmed = wasVerified || pinned.isUnconfirmed;
  const following = { ...pin, ...(isUnconfirmed && { isUnconfirmed }), former: withFormer(pinned, now) };
  return { ok: true, pin: following, change };
}

function isFormer({ former = [] }: Pin, accountKey: Uint8Array, now: number): boolean {
  return former.some((key) => now < key.until && isSameKey(key.accountKey, accountKey));
}

/** The keys before one that takes this pin's place. */
export function withFormer({ accountKey, verifiedAt, former = [] }: Pin, now: number): FormerKey[] {
  const wasVerified = verifiedAt === undefined ? {} : { wasVerified: true as const };
  const last = { accountKey, until: now + FORMER_KEY_MS, ...wasVerified };
  return [last, ...former.filter((key) => now < key.until)].slice(0, MAX_FORMER_KEYS);
}

/**
 * Whether something may be said to a device of theirs. Of people with whom a safety number was compared, only to devices under
 * a key that was. Under one that was compared before it they may be as well: for a while, and once the newer one was compared
 * until a device of theirs takes them out, for nobody else can, and none comes where nothing is said.
 */
export function maySealFor(pin: Pin, accountKey: Uint8Array, now: number): boolean {
  const { verifiedAt, isUnconfirmed, former = [] } = pin;
  if (verifiedAt === undefined && !isUnconfirmed) return true;
  if (verifiedAt !== undefined && isSameKey(pin.accountKey, accountKey)) return true;
  return former.some(
    (key) => key.wasVerified && (verifiedAt !== undefined || now < key.until) && isSameKey(key.accountKey, accountKey),
  );
}

/** As if the two had never compared a key: what is theirs is taken for theirs, as with anybody. */
export function acceptKey({ verifiedAt: _, isUnconfirmed: __, ...pin }: Pin): Pin {
  return pin;
}

/**
 * The safety number was compared and is the same.
 * @param compared the identity that it was computed over
 * @returns the pin to be kept; undefined if the key has changed since
 */
export function markVerified({ others }: Pins, compared: Identity, now: number): Pin | undefined {
  const pinned = others.get(compared.user);
  if (!pinned || !isSameKey(pinned.accountKey, compared.accountKey)) return undefined;
  return { ...acceptKey(pinned), verifiedAt: now };
}

const StoredFormerKey = v.object({
  accountKey: v.string(),
  until: Time,
  wasVerified: v.optional(v.literal(true)),
});
const StoredPin = v.object({
  accountKey: v.string(),
  since: Time,
  verifiedAt: v.optional(Time),
  isUnconfirmed: v.optional(v.literal(true)),
  former: v.optional(v.array(StoredFormerKey)),
});

/** For one record of a store. */
export function encodePin({ accountKey, former, ...rest }: Pin): Uint8Array {
  const keys = former?.map((key) => ({ ...key, accountKey: toBase64url(key.accountKey) }));
  const stored = { accountKey: toBase64url(accountKey), ...rest, ...(keys && { former: keys }) };
  return new TextEncoder().encode(JSON.stringify(stored));
}

/** @throws ChatError store_failed, if these are not the bytes of a pin */
export function decodePin(bytes: Uint8Array): Pin {
  try {
    const stored = v.parse(StoredPin, JSON.parse(new TextDecoder().decode(bytes)));
    const { since, verifiedAt, isUnconfirmed, former } = stored;
    return {
      ...{ accountKey: keyIn(stored), since },
      ...(verifiedAt !== undefined && { verifiedAt }),
      ...(isUnconfirmed && { isUnconfirmed }),
      ...(former && { former: former.map(formerIn) }),
    };
  } catch (cause) {
    throw new ChatError("store_failed", { cause });
  }
}

function formerIn(key: v.InferOutput<typeof StoredFormerKey>): FormerKey {
  const { until, wasVerified } = key;
  return { accountKey: keyIn(key), until, ...(wasVerified && { wasVerified }) };
}

function keyIn({ accountKey }: { readonly accountKey: string }): Uint8Array {
  const key = fromBase64url(accountKey);
  if (!key) throw new TypeError("no account key");
  return key;
}
