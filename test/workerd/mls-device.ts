import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { type AccountKey, certifyDevice, makeAccountKey } from "../../client/identity/account-key.ts";
import { makeKeyPair } from "../../client/identity/ed25519.ts";
import type { DeviceKeys, Group, MadeCommit, OwnKeyPackage, Suite } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { submitCommit, viewEpoch, viewGroup } from "../../shared/api/encryption.ts";
import type { AnswerOf } from "../../shared/api/endpoint.ts";
import { KEY_PACKAGE_LIFETIME_MS, MAX_DEVICES_PER_USER } from "../../shared/limits.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import { issueToken } from "../../workers/gateway/auth/tokens.ts";
import { fromBase64url, toBase64url } from "../../workers/gateway/encryption/base64url.ts";
import { type Account, signUp } from "./accounts.ts";
import { ask, refusalOf } from "./asking.ts";
import { newDevice } from "./device.ts";
import { person } from "./objects.ts";

/** Devices that take part in groups with keys of their own, and ask the server over HTTP. */

export const mls = createMls({ authenticate: async () => true });

/** Whoever can be added to a group: a key package is all that it takes. */
export interface Addable {
  readonly user: string;
  readonly device: string;
  readonly own: OwnKeyPackage;
}

export async function newKeys(account: AccountKey, user: string, device: string): Promise<DeviceKeys> {
  const { publicKey, seed: privateKey } = await makeKeyPair();
  const credential = await certifyDevice(account, { user, device, issuedAt: Date.now(), mlsPublicKey: publicKey });
  return { publicKey, privateKey, credential };
}

/** As the first upload of key packages does. */
async function registerAccountKey({ user, device }: { user: string; device: string }, key: AccountKey) {
  await person(user).putKeys({ device, accountKey: toBase64url(key.publicKey), isReset: false, packages: [] });
}

export async function addable(keys: DeviceKeys, user: string, device: string, suite: Suite = 1): Promise<Addable> {
  const lifetime = { notBefore: Date.now() - 60_000, notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS };
  return { user, device, own: await mls.makeKeyPackage(keys, suite, lifetime) };
}

/** So many devices, with keys of the hybrid suite, of as few people as may be: a group of theirs is too large for a row. */
export async function crowd(count: number, accountKey: AccountKey): Promise<Addable[]> {
  const devices: Addable[] = [];
  while (devices.length < count) {
    const { user, device } = await newDevice();
    await registerAccountKey({ user, device }, accountKey);
    for (let n = 0; n < MAX_DEVICES_PER_USER && devices.length < count; n++) {
      const name = n === 0 ? device : ulid();
      devices.push(await addable(await newKeys(accountKey, user, name), user, name, 83));
    }
  }
  return devices;
}

type Answer = AnswerOf<typeof submitCommit>;
/** What is handed in, as it stands in the request's body. */
type Request = Record<string, unknown>;

export class MlsDevice {
  readonly account: Account;
  readonly keys: DeviceKeys;
  readonly accountKey: AccountKey;

  private constructor(account: Account, keys: DeviceKeys, accountKey: AccountKey) {
    this.account = account;
    this.keys = keys;
    this.accountKey = accountKey;
  }

  static async of(account: Account, accountKey?: AccountKey): Promise<MlsDevice> {
    const key = accountKey ?? (await makeAccountKey());
    await registerAccountKey(account, key);
    return new MlsDevice(account, await newKeys(key, account.user, account.device), key);
  }

  static async signUp(): Promise<MlsDevice> {
    return MlsDevice.of(await signUp());
  }

  /** One more device of somebody, with an access token alone. */
  static async further(user: string, accountKey: AccountKey): Promise<MlsDevice> {
    const { device, family } = await newDevice(user);
    const { token: accessToken } = await issueToken(env.TOKEN_KEYS, "access", { sub: user, device, family });
    return MlsDevice.of({ user, device, accessToken, refreshToken: "" }, accountKey);
  }

  get user(): string {
    return this.account.user;
  }

  get device(): string {
    return this.account.device;
  }

  addable(suite?: Suite): Promise<Addable> {
    return addable(this.keys, this.user, this.device, suite);
  }

  /** A group with these others, not handed in yet. */
  async make(conversation: string, others: readonly Addable[], suite: Suite = 1): Promise<MadeCommit> {
    const group = await mls.create(groupIdOf(conversation), suite, this.keys, Date.now());
    return mls.commit(group, { add: others.map(({ own }) => own.keyPackage) });
  }

  /** Hands a commit in that has to be taken. */
  async found(conversation: string, ...others: Addable[]): Promise<Group> {
    const made = await this.make(conversation, others);
    await this.submitted(conversation, made);
    return made.group;
  }

  async commit(group: Group, change: { add?: readonly Addable[]; remove?: readonly number[] }): Promise<MadeCommit> {
    const { add = [], remove = [] } = change;
    return mls.commit(group, { add: add.map(({ own }) => own.keyPackage), remove });
  }

  /** @returns its place */
  async submitted(conversation: string, made: MadeCommit): Promise<number> {
    const answer = await this.submit(conversation, made);
    if (!answer.accepted) throw new Error(`the conversation is in epoch ${answer.epoch}`);
    return answer.seq;
  }

  submit(conversation: string, made: MadeCommit, fields: Request = {}): Promise<Answer> {
    return ask(submitCommit, this.account, { params: { conversation }, body: { ...requestOf(made), ...fields } });
  }

  refusal(conversation: string, made: MadeCommit, fields: Request = {}): Promise<string> {
    return refusalOf(submitCommit, this.account, { params: { conversation }, body: { ...requestOf(made), ...fields } });
  }

  async viewGroup(
    conversation: string,
  ): Promise<{ epoch: number; seq: number; groupInfo: Uint8Array; tree: Uint8Array }> {
    const { groupInfo, tree, ...place } = await ask(viewGroup, this.account, { params: { conversation } });
    return { ...place, groupInfo: fromBase64url(groupInfo), tree: fromBase64url(tree) };
  }

  viewEpoch(conversation: string, seq: number): Promise<AnswerOf<typeof viewEpoch>> {
    return ask(viewEpoch, this.account, { params: { conversation, seq: `${seq}` } });
  }

  /** By the Welcome of the commit at this place. */
  async join(conversation: string, seq: number, own: OwnKeyPackage): Promise<Group> {
    const { welcome = "", tree = "" } = await this.viewEpoch(conversation, seq);
    return (await mls.join(fromBase64url(welcome), fromBase64url(tree), [own])).group;
  }

  /** Without anybody's help. @returns a commit that is not handed in yet */
  async joinExternally(conversation: string): Promise<MadeCommit> {
    const { groupInfo, tree } = await this.viewGroup(conversation);
    return mls.joinExternally(groupInfo, tree, this.keys, Date.now());
  }
}

function requestOf({ commit, groupInfo, welcome }: MadeCommit): Request {
  return {
    id: ulid(),
    commit: toBase64url(commit),
    groupInfo: toBase64url(groupInfo),
    ...(welcome && { welcome: toBase64url(welcome) }),
    after: 0,
  };
}
