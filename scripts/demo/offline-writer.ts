// A device without a network, as a process of its own that the demonstration can kill: it opens its store, writes one
// message, says that the message is in the outbox, and waits.

import { parseArgs } from "node:util";
import { Account, Chat } from "../../client/index.ts";
import { SqliteStore } from "../../client/node/index.ts";

/** Reserved (RFC 6761 §6.4): it leads nowhere. */
const NOWHERE = "http://offline.invalid";

const text = { type: "string", default: "" } as const;
const { values } = parseArgs({ options: { store: text, to: text, text } });

const store = new SqliteStore(values.store);
const account = await Account.open({ url: NOWHERE, store });
if (!account) throw new Error("nobody is signed in here");
const chat = await Chat.open({ account, store, client: "sandpiper-demo" });
await chat.messages.send(chat.conversations.direct(values.to), values.text);
process.send?.("queued");
