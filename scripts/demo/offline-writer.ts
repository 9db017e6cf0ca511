// A device without a network, as a process of its own that the demonstration can kill: it opens its store, writes one
// message, says that the message is in the outbox, and waits.

import { parseArgs } from "node:util";
import { Chat, ChatError, type Credentials } from "../../client/index.ts";
import { SqliteStore } from "../../client/node/index.ts";

const text = { type: "string", default: "" } as const;
const { values } = parseArgs({ options: { store: text, user: text, device: text, to: text, text } });

const credentials: Credentials = {
  user: values.user,
  device: values.device,
  ticket: () => Promise.reject(new ChatError("unavailable")),
};
const store = new SqliteStore(values.store);
const chat = await Chat.open({ url: "http://127.0.0.1", store, credentials, client: "sandpiper-demo" });
await chat.send(chat.direct(values.to), values.text);
process.send?.("queued");
