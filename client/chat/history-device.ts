import type { HistoryDevice } from "../history/device.ts";
import type { Engine } from "./engine.ts";

/** A device whose chat is open. */
export function historyDevice(engine: Engine): HistoryDevice {
  const { account, encryption, store } = engine;
  return {
    ...{ owner: account, accountKey: encryption.keys.account, store, archives: account.archives },
    people: engine.authenticator,
    change: (work) => encryption.writer.change(work),
    readOf: (conversation) => engine.state.conversations.get(conversation)?.read ?? 0,
    changed: (conversation, seq) => engine.listeners.tell("replaced", { conversation, seq }),
  };
}
