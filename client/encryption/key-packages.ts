import * as v from "valibot";
import { Time } from "../../shared/ids.ts";
import {
  KEY_PACKAGE_CLOCK_SKEW_MS,
  KEY_PACKAGE_LIFETIME_MS,
  KEY_PACKAGES_KEPT,
  MAX_KEY_PACKAGES_PER_UPLOAD,
} from "../../shared/limits.ts";
import { isSameKey } from "../identity/ed25519.ts";
import type { Mls, OwnKeyPackage, Suite } from "../mls/mls.ts";
import type { Store, StoreChange } from "../store/store.ts";
import type { DeliveryService, KeysOnServer } from "./delivery-service.ts";
import type { DeviceWriter } from "./device-writer.ts";
import type { OwnKeys } from "./own-keys.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

/** The better one first. */
export const suites = [83, 1] as const satisfies readonly Suite[];

const PREFIX = "key-package/";
const REFILLED = "key-packages-refilled";
const RefilledFields = v.object({ at: Time });
const Fields = v.object({ notAfter: Time, isLastResort: v.boolean() });

export function keyPackageRecord(ref: string): string {
  return PREFIX + ref;
}

/** A key package of this device's, with what only it knows. */
export async function takeKeyPackage(
  store: Pick<Store, "record">,
  ref: string,
): Promise<(OwnKeyPackage & { readonly isLastResort: boolean }) | undefined> {
  const record = await store.record(keyPackageRecord(ref));
  if (!record) return undefined;
  const { fields, blobs } = decodeRecord(Fields, record);
  const [keyPackage, secret] = blobs;
  return keyPackage && secret && { keyPackage, secret, isLastResort: fields.isLastResort };
}

interface Refill {
  readonly service: DeliveryService;
  readonly writer: DeviceWriter;
  readonly store: Store;
  readonly mls: Mls;
  readonly keys: OwnKeys;
  /** The server's clock, ms since 1970. */
  readonly now: number;
}

/**
 * Sees to it that others can add this device: a stock of one-time key packages, and one of each suite for when they have run
 * out. What is secret of them is stored before they leave. May be repeated.
 */
export async function refillKeyPackages(refill: Refill): Promise<void> {
  const { service, keys, writer, store, now } = refill;
  await forgetExpired(refill);
  const { accountKey, left } = await service.keys();
  // What this person has given up may still stand there.
  const reset = accountKey !== undefined && keys.former.some((key) => isSameKey(key, accountKey));
  const isRenewed = reset || (await isRefillDue(store, now));
  const wanted = suites.flatMap((suite) => wantedOf(suite, reset ? [] : left, isRenewed));
  let isFirst = true;
  for (let from = 0; from < wanted.length; from += MAX_KEY_PACKAGES_PER_UPLOAD) {
    const packages = await make(refill, wanted.slice(from, from + MAX_KEY_PACKAGES_PER_UPLOAD));
    await service.uploadKeys({ accountKey: keys.account.publicKey, reset: reset && isFirst, packages });
    isFirst = false;
  }
  const change: StoreChange = { type: "record", key: REFILLED, value: encodeRecord({ at: now }) };
  await writer.change(async (write) => void write.changes.push(change));
}

/** It was never done to the end, or so long ago that the packages will expire. */
export async function isRefillDue(store: Pick<Store, "record">, now: number): Promise<boolean> {
  const record = await store.record(REFILLED);
  return !record || now - decodeRecord(RefilledFields, record).fields.at > KEY_PACKAGE_LIFETIME_MS / 3;
}

interface Wanted {
  readonly suite: Suite;
  readonly lastResort: boolean;
}

function wantedOf(suite: Suite, left: KeysOnServer["left"], isRenewed: boolean): Wanted[] {
  const { oneTime, hasLastResort } = left.find((kept) => kept.suite === suite) ?? { oneTime: 0, hasLastResort: false };
  const lacking = Math.max(0, KEY_PACKAGES_KEPT - oneTime);
  const oneTimes = Array.from({ length: lacking }, () => ({ suite, lastResort: false }));
  return hasLastResort && !isRenewed ? oneTimes : [{ suite, lastResort: true }, ...oneTimes];
}

async function make({ mls, keys, writer, now }: Refill, wanted: readonly Wanted[]) {
  const lifetime = { notBefore: now - KEY_PACKAGE_CLOCK_SKEW_MS / 2, notAfter: now + KEY_PACKAGE_LIFETIME_MS };
  return writer.change(async (write) => {
    const packages = [];
    for (const { suite, lastResort } of wanted) {
      const made = await mls.makeKeyPackage(keys.device, suite, lifetime);
      const fields = { notAfter: lifetime.notAfter, isLastResort: lastResort };
      const value = encodeRecord(fields, [made.keyPackage, made.secret]);
      write.changes.push({ type: "record", key: keyPackageRecord(made.ref), value });
      packages.push({ keyPackage: made.keyPackage, lastResort });
    }
    return packages;
  });
}

async function forgetExpired({ store, writer, now }: Refill): Promise<void> {
  const kept = await store.records(PREFIX);
  const expired = kept.filter(([, record]) => decodeRecord(Fields, record).fields.notAfter < now);
  if (expired.length === 0) return;
  const changes = expired.map(([key]): StoreChange => ({ type: "record", key, value: undefined }));
  await writer.change(async (write) => void write.changes.push(...changes));
}
