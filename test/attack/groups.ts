import { ulid } from "ulid";
import { type AccountKey, makeAccountKey } from "../../client/identity/account-key.ts";
import { makeDeviceKeys } from "../../client/identity/device-keys.ts";
import type { DeviceKeys } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { submitCommit, uploadKeys } from "../../shared/api/encryption.ts";
import { toBase64url } from "../../shared/base64url.ts";
import type { ConversationId, DeviceId, UserId } from "../../shared/ids.ts";
import { KEY_PACKAGE_LIFETIME_MS } from "../../shared/limits.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import type { Http } from "./http.ts";

/** In which what is sealed by `sealedBytes` is taken, once somebody has begun the group. */
export const FIRST_EPOCH = 1;

interface Device {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly accessToken: string;
}

const mls = createMls({ authenticate: async () => true });

/** Begins the groups of conversations, with the beginner's own device alone: the server then takes what seems sealed. */
export class Groups {
  readonly #http: Http;
  readonly #accounts = new Map<UserId, Promise<AccountKey>>();
  readonly #devices = new Map<DeviceId, Promise<DeviceKeys>>();

  constructor(http: Http) {
    this.#http = http;
  }

  async begin(owner: Device, conversation: ConversationId): Promise<void> {
    const keys = await this.#keysOf(owner);
    const made = await mls.commit(await mls.create(groupIdOf(conversation), 1, keys, Date.now()), {});
    const [commit, groupInfo, tree] = [made.commit, made.groupInfo, made.tree].map(toBase64url);
    const body = { id: ulid(), commit: commit!, groupInfo: groupInfo!, tree: tree!, after: 0 };
    await this.#http.ask(submitCommit, { token: owner.accessToken, params: { conversation }, body });
  }

  #keysOf(owner: Device): Promise<DeviceKeys> {
    const known = this.#devices.get(owner.device) ?? this.#upload(owner);
    this.#devices.set(owner.device, known);
    return known;
  }

  async #upload({ user, device, accessToken: token }: Device): Promise<DeviceKeys> {
    const account = this.#accounts.get(user) ?? makeAccountKey();
    this.#accounts.set(user, account);
    const { publicKey } = await account;
    const keys = await makeDeviceKeys(await account, { user, device, issuedAt: Date.now() });
    const lifetime = { notBefore: Date.now() - 60_000, notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS };
    const { keyPackage } = await mls.makeKeyPackage(keys, 1, lifetime);
    const packages = [{ keyPackage: toBase64url(keyPackage), lastResort: true }];
    await this.#http.get(uploadKeys, { token, body: { accountKey: toBase64url(publicKey), packages } });
    return keys;
  }
}
