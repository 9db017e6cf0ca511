import type { DeviceKeys } from "../mls/mls.ts";
import { type AccountKey, certifyDevice, type DeviceFields } from "./account-key.ts";
import { makeKeyPair } from "./ed25519.ts";

/** A new MLS signature key for this device, as its 32-byte seed, and the account's certificate for it as the credential. */
export async function makeDeviceKeys(accountKey: AccountKey, device: DeviceFields): Promise<DeviceKeys> {
  const { publicKey, seed } = await makeKeyPair();
  const credential = await certifyDevice(accountKey, { ...device, mlsPublicKey: publicKey });
  return { publicKey, privateKey: seed, credential };
}
