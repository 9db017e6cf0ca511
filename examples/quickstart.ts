// A page that says hello to somebody, and shows what the two say from then on.
import { IndexedDbStore } from "../client/browser/index.ts";
import { Chat, isText, type Message, requestCode, signIn } from "../client/index.ts";

const ask = (what: string) => prompt(what) ?? "";
const [url, phone] = [location.origin, ask("Your phone number")];
const store = await IndexedDbStore.open("quickstart");
await requestCode(url, phone);
const account = await signIn({ url, store, phone, code: ask("The code"), deviceName: "Quickstart" });
const chat = await Chat.open({ account, store, client: "quickstart 1" });
chat.connection.open();

const [friend] = await chat.contacts.discover([ask("Your friend's phone number")]);
const conversation = chat.conversations.direct(friend?.user ?? chat.user);
const messages = chat.messages.live(conversation);
const textOf = ({ content }: Message) => (isText(content) ? `${content.text}\n` : "");
const show = (all: readonly Message[] = []) => Object.assign(document.body, { innerText: all.map(textOf).join("") });
messages.subscribe(() => show(messages.getSnapshot()));
await chat.messages.send(conversation, "hello");
