import { type GroupInfo, signGroupInfo } from "ts-mls/groupInfo.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import { ulid } from "ulid";
import { type AccountKey, makeAccountKey } from "../../client/identity/account-key.ts";
import { makeDeviceKeys } from "../../client/identity/device-keys.ts";
import type { DeviceKeys, MadeCommit } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { submitCommit, uploadKeys, viewGroup } from "../../shared/api/encryption.ts";
import { toBase64url } from "../../shared/base64url.ts";
import type { ConversationId, DeviceId, UserId } from "../../shared/ids.ts";
import { KEY_PACKAGE_LIFETIME_MS } from "../../shared/limits.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import { cryptoOf } from "../../shared/mls/suites.ts";
import { decodeMessage } from "../../shared/mls/wire.ts";
import { type Answer, granted, type Http } from "./http.ts";

/** In which what is sealed by `sealedBytes` is taken, once somebody has begun the group. */
export const FIRST_EPOCH = 1;

interface Device {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly accessToken: string;
}

/** Believes everybody. */
export const mls = createMls({ authenticate: async () => true });

/** What goes to the server with a commit. */
export type Submitted = Pick<MadeCommit, "commit" | "groupInfo">;

/** Groups of conversations as devices begin and join them. */
export class Groups {
  readonly #http: Http;
  readonly #accounts = new Map<UserId, Promise<AccountKey>>();
  readonly #devices = new Map<DeviceId, Promise<DeviceKeys>>();

  constructor(http: Http) {
    this.#http = http;
  }

  /** With the beginner's own device alone: the server then takes what seems sealed. */
  async begin(owner: Device, conversation: ConversationId): Promise<void> {
    await this.submit(owner, conversation, await this.found(owner, conversation));
  }

  /** The commit that would begin a conversation's group. */
  async found(owner: Device, conversation: ConversationId): Promise<MadeCommit> {
    const keys = await this.#keysOf(owner);
    return mls.commit(await mls.create(groupIdOf(conversation), 1, keys, Date.now()), {});
  }

  /** Into a group that has begun, with what the server gives for that. */
  async join(owner: Device, conversation: ConversationId): Promise<MadeCommit> {
    const asked = { token: owner.accessToken, params: { conversation } };
    const { groupInfo, tree } = await this.#http.get(viewGroup, asked);
    const [info, nodes] = [groupInfo, tree].map((text) => new Uint8Array(Buffer.from(text, "base64url")));
    const joined = await mls.joinExternally(info!, nodes!, await this.#keysOf(owner), Date.now());
    granted(submitCommit, await this.submit(owner, conversation, joined));
    return joined;
  }

  /** A group info that says something else, and is signed by whose it is: whoever has the key can sign anything. */
  async resign(owner: Device, bytes: Uint8Array, change: (info: GroupInfo) => Partial<GroupInfo>): Promise<Uint8Array> {
    const { groupInfo } = decodeMessage(bytes, ["mls_group_info"])!;
    const { signature } = await cryptoOf(1);
    const { privateKey } = await this.#keysOf(owner);
    const signed = await signGroupInfo({ ...groupInfo, ...change(groupInfo) }, privateKey, signature);
    return encodeMlsMessage({ version: "mls10", wireformat: "mls_group_info", groupInfo: signed });
  }

  submit(owner: Device, conversation: ConversationId, made: Submitted): Promise<Answer> {
    const [commit, groupInfo] = [made.commit, made.groupInfo].map(toBase64url);
    const body = { id: ulid(), commit, groupInfo, after: 0 };
    return this.#http.ask(submitCommit, { token: owner.accessToken, params: { conversation }, body });
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
