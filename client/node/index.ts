/** What only Node has; kept apart from the main entry so that a bundle for browsers never meets it. */
export { SqliteStore } from "./sqlite-store.ts";
