/**
 * Counts what Cloudflare bills, for all objects of this isolate (bench/cost prices it). Plain counters: they cost nothing
 * on the hot path and leave the isolate only in tests and benches.
 */
export const meter = {
  rowsWritten: 0,
  rowsRead: 0,
  /** Calls from one object to another. */
  objectCalls: 0,
  /** Socket upgrades and calls from Workers. */
  objectFetches: 0,
  socketMessages: 0,
  alarms: 0,
  queueSends: 0,
};
