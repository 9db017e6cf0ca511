/** What only a browser has; kept apart from the main entry so that nothing else meets IndexedDB. */
export { IndexedDbStore } from "./indexed-db-store.ts";
export { askToKeepStorage } from "./kept-storage.ts";
export { type OpenChatOptions, openChat, type TabChat } from "./open-chat.ts";
export type { Served } from "./reign.ts";
export { leadOrFollow, type Tab, type TabEvents, type TabOptions } from "./tabs.ts";
