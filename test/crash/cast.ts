import { join } from "node:path";
import { encodeHandover } from "../../client/history/handover.ts";
import { type AccountKey, makeAccountKey } from "../../client/identity/account-key.ts";
import {
  type Account,
  directConversation,
  MemoryStore,
  requestCode,
  signIn,
  signInByLink,
} from "../../client/index.ts";
import type { CodeReader } from "../../scripts/codes.ts";
import { fictitiousPhone } from "../../scripts/fictitious-phone.ts";
import { Device } from "./device.ts";
import type { History } from "./history.ts";

/** Who has how many devices. Some stores are files, the others memory that outlives the app. */
const people = [
  { name: "Ada", devices: ["file", "memory"] },
  { name: "Grace", devices: ["memory", "memory"] },
  { name: "Joan", devices: ["file"] },
  { name: "Edsger", devices: ["memory"] },
  { name: "Barbara", devices: ["file", "memory"] },
  { name: "Donald", devices: ["memory"] },
] as const;

type Name = (typeof people)[number]["name"];

const chats: readonly (readonly [Name, Name])[] = [
  ["Ada", "Grace"],
  ["Ada", "Joan"],
  ["Ada", "Barbara"],
  ["Grace", "Edsger"],
  ["Grace", "Barbara"],
  ["Joan", "Donald"],
  ["Edsger", "Barbara"],
  ["Donald", "Edsger"],
];

export const conversationCount = chats.length;

interface Setting {
  readonly url: string;
  /** For the stores. */
  readonly directory: string;
  readonly codeFor: CodeReader;
  readonly history: History;
  readonly problem: (text: string) => void;
}

/** A device's account, and where its session is kept. */
interface SignedIn {
  readonly account: Account;
  readonly accountKey: AccountKey;
  readonly sessions: MemoryStore;
}

/** Signs everybody in, with all their devices and as each other's contacts; nobody is connected yet. */
export async function gather(setting: Setting): Promise<Device[]> {
  const signedIn = new Map<Name, SignedIn[]>();
  for (const [index, { name, devices }] of people.entries()) {
    const entered = [await signUp(setting, fictitiousPhone(index))];
    while (entered.length < devices.length) entered.push(await link(setting, entered[0]!));
    signedIn.set(name, entered);
  }
  await befriend(signedIn);
  return people.flatMap(({ name, devices }) =>
    devices.map((kind, index) => assemble(setting, signedIn, { person: name, kind, index })),
  );
}

async function signUp({ url, codeFor }: Setting, phone: string): Promise<SignedIn> {
  const sessions = new MemoryStore();
  const code = await codeFor(phone, () => requestCode(url, phone));
  const account = await signIn({ url, store: sessions, phone, code, deviceName: "phone" });
  return { sessions, account, accountKey: await makeAccountKey() };
}

async function link({ url }: Setting, other: SignedIn): Promise<SignedIn> {
  const sessions = new MemoryStore();
  const pending = await signInByLink({ url, store: sessions, deviceName: "laptop" });
  const { account, accountKey } = other;
  const nothing = { backupKey: undefined, history: undefined };
  const payload = encodeHandover({ user: account.user, accountKey, ...nothing });
  await account.devices.link(pending.qr, { payload });
  return { sessions, ...(await pending.linked()) };
}

/** Who is a stranger sees no receipts. */
async function befriend(signedIn: ReadonlyMap<Name, readonly SignedIn[]>): Promise<void> {
  for (const [one, other] of chats.flatMap(([a, b]) => [[a, b] as const, [b, a] as const])) {
    await signedIn.get(one)![0]!.account.contacts.add(userOf(signedIn, other));
  }
}

function assemble(
  { url, directory, history, problem }: Setting,
  signedIn: ReadonlyMap<Name, readonly SignedIn[]>,
  { person, kind, index }: { person: Name; kind: "file" | "memory"; index: number },
): Device {
  const name = `${person}-${index + 1}`;
  const { account, accountKey, sessions } = signedIn.get(person)![index]!;
  return new Device({
    ...{ name, url, sessions, accountKey, history, problem },
    owner: { user: account.user, device: account.device },
    conversations: conversationsOf(person, signedIn),
    ...(kind === "file" && { storePath: join(directory, `${name}.sqlite`) }),
  });
}

function conversationsOf(person: Name, signedIn: ReadonlyMap<Name, readonly SignedIn[]>): string[] {
  return chats
    .filter((members) => members.includes(person))
    .map(([one, other]) => directConversation(userOf(signedIn, one), userOf(signedIn, other)));
}

function userOf(signedIn: ReadonlyMap<Name, readonly SignedIn[]>, name: Name): string {
  return signedIn.get(name)![0]!.account.user;
}
