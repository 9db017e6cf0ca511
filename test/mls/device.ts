import { makeKeyPair } from "../../client/identity/ed25519.ts";
import type { Authenticate, DeviceKeys, Group, Lifetime, MadeKeyPackage, Suite } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { KEY_PACKAGE_LIFETIME_MS } from "../../shared/limits.ts";

export const utf8 = (text: string) => new TextEncoder().encode(text);
export const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Signature keys by credential: what a certificate would say. */
const vouched = new Map<string, string>();

export const authenticate: Authenticate = async (credential, publicKey) =>
  vouched.get(text(credential)) === publicKey.join();

export const mls = createMls({ authenticate });

export const lifetime: Lifetime = {
  notBefore: Date.now() - 1000,
  notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS - 1000,
};

/** A device whose credential is vouched for. */
export async function makeKeys(name: string): Promise<DeviceKeys> {
  const { publicKey, seed } = await makeKeyPair();
  vouched.set(name, publicKey.join());
  return { publicKey, privateKey: seed, credential: utf8(name) };
}

export interface Newcomer {
  readonly keys: DeviceKeys;
  readonly keyPackage: MadeKeyPackage;
}

export async function makeNewcomer(name: string, suite: Suite = 1): Promise<Newcomer> {
  const keys = await makeKeys(name);
  return { keys, keyPackage: await mls.makeKeyPackage(keys, suite, lifetime) };
}

/** Groups of as many devices as there are names, who have just been added by the first. */
export async function makeGroups(names: readonly string[], suite: Suite = 1): Promise<Group[]> {
  const [first = "a", ...others] = names;
  const newcomers = await Promise.all(others.map((name) => makeNewcomer(name, suite)));
  const group = await mls.create(utf8("conversation"), suite, await makeKeys(first), Date.now());
  const add = newcomers.map(({ keyPackage }) => keyPackage.keyPackage);
  const made = await mls.commit(group, { add });
  const joined = newcomers.map(({ keyPackage }) => mls.join(made.welcome ?? made.commit, made.tree, [keyPackage]));
  return [made.group, ...(await Promise.all(joined)).map((join) => join.group)];
}

/** Opens what has to be a message, or a commit that leaves the device in the group. */
export async function follow(group: Group, message: Uint8Array): Promise<Group> {
  const opened = await mls.open(group, message);
  if (opened.kind === "removed") throw new Error("removed");
  return opened.group;
}

/** One of them commits, all others open it. */
export async function commitAmong(groups: Group[], by: number, change: Parameters<typeof mls.commit>[1] = {}) {
  const made = await mls.commit(groups[by] as Group, change);
  for (const [at, group] of groups.entries()) groups[at] = at === by ? made.group : await follow(group, made.commit);
  return made;
}

/** What everybody reads when one of them writes. */
export async function hearOf(groups: Group[], by: number, said: string): Promise<string[]> {
  const sealed = await mls.seal(groups[by] as Group, "01J", utf8(said));
  const heard: string[] = [];
  for (const [at, group] of groups.entries()) {
    if (at === by) groups[at] = sealed.group;
    else {
      const opened = await mls.open(group, sealed.message);
      if (opened.kind !== "message") throw new Error(opened.kind);
      heard.push(text(opened.plaintext));
      groups[at] = opened.group;
    }
  }
  return heard;
}
