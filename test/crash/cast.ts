import { join } from "node:path";
import { type Credentials, directConversation, signInForDevelopment } from "../../client/index.ts";
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
  readonly history: History;
  readonly problem: (text: string) => void;
}

/** Signs everybody in; nobody is connected yet. */
export async function gather({ url, directory, history, problem }: Setting): Promise<Device[]> {
  const signedIn = new Map<Name, Credentials[]>();
  for (const { name, devices } of people) {
    const credentials: Credentials[] = [];
    for (const _ of devices) credentials.push(await signInForDevelopment(url, { name }));
    signedIn.set(name, credentials);
  }
  return people.flatMap(({ name: person, devices }) =>
    devices.map((kind, index) => {
      const name = `${person}-${index + 1}`;
      return new Device({
        ...{ name, url, history, problem },
        credentials: signedIn.get(person)![index]!,
        conversations: conversationsOf(person, signedIn),
        ...(kind === "file" && { storePath: join(directory, `${name}.sqlite`) }),
      });
    }),
  );
}

function conversationsOf(person: Name, signedIn: ReadonlyMap<Name, readonly Credentials[]>): string[] {
  const userOf = (name: Name) => signedIn.get(name)![0]!.user;
  return chats
    .filter((members) => members.includes(person))
    .map(([one, other]) => directConversation(userOf(one), userOf(other)));
}
