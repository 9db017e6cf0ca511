import * as v from "valibot";
import { Time } from "../../shared/ids.ts";
import { type AccountKey, importAccountKey } from "../identity/account-key.ts";
import { makeDeviceKeys } from "../identity/device-keys.ts";
import type { DeviceKeys } from "../mls/mls.ts";
import type { Owner, Store, StoreChange } from "../store/store.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

/** Who this device is: the person's account key, and its own key with the account's certificate for it. */
export interface OwnKeys {
  readonly account: AccountKey;
  /** Public; of identities of this person that were given up: their devices may still be in groups. */
  readonly former: readonly Uint8Array[];
  readonly device: DeviceKeys;
}

const KEY = "own-keys";
const Fields = v.object({ madeAt: Time });

/** Undefined: this device was never given an account key. */
export async function loadOwnKeys(store: Store): Promise<OwnKeys | undefined> {
  const record = await store.record(KEY);
  if (!record) return undefined;
  const [seed, publicKey, privateKey, credential, ...former] = decodeRecord(Fields, record).blobs;
  if (!seed || !publicKey || !privateKey || !credential) throw new TypeError("no keys");
  return { account: await importAccountKey(seed), device: { publicKey, privateKey, credential }, former };
}

/** A new key for this device, certified by the account key. @returns it, and how it is kept */
export async function makeOwnKeys(
  account: AccountKey,
  owner: Owner,
  now: number,
  former: readonly Uint8Array[] = [],
): Promise<{ readonly keys: OwnKeys; readonly change: StoreChange }> {
  const device = await makeDeviceKeys(account, { ...owner, issuedAt: now });
  const blobs = [account.seed, device.publicKey, device.privateKey, device.credential, ...former];
  const value = encodeRecord({ madeAt: now }, blobs);
  return { keys: { account, device, former }, change: { type: "record", key: KEY, value } };
}
