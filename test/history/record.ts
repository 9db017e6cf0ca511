import { createHash } from "node:crypto";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";

/**
 * A history says what people asked for and what their devices came to know, in the order in which it happened, one JSON
 * line a record. The simulator, the crash harness and the demo write it; `checker.ts` judges it.
 *
 * | op         | type                    | says                                                                          |
 * |------------|-------------------------|-------------------------------------------------------------------------------|
 * | register   | ok                      | the device belongs to the person from now on                                  |
 * | revoke     | ok                      | the device is nobody's any more                                               |
 * | enter      | ok                      | the device is in the conversation's group from the commit at `seq` on         |
 * | leave      | ok                      | it is not any more, from the commit at `seq` on                               |
 * | lose       | info                    | it could not follow from `cursor` on, nor by what begins up to `seq`          |
 * | connect    | invoke, ok, info        | the device wants a connection; has it; nobody knows                           |
 * | disconnect | info                    | nothing passes over the connection any more, whoever has noticed               |
 * | send       | invoke, ok, fail, info  | a message was given to the device; is ✓; was refused for good; nobody knows   |
 * | wire       | ok                      | a frame brought the message to the device                                     |
 * | apply      | ok                      | the device has the message durably, and can read it                           |
 * | pass       | ok                      | it has the place durably: no message, or one from before it could read any    |
 * | unreadable | ok                      | it has the place durably, and cannot read what is there                       |
 * | read       | invoke                  | the person has read up to `cursor` on this device                             |
 * | delivered  | ok                      | the device knows that `peer` (absent: all others) has all up to `cursor`      |
 * | seen       | ok                      | the device knows that `peer` (absent: all others) has read up to `cursor`     |
 * | push       | ok                      | the device was woken by a push                                                |
 * | expire     | info                    | everything up to `cursor` has left the conversation's log                     |
 * | fault      | info                    | `fault` strikes now; with `user`, that person's object has crashed            |
 * | final      | ok                      | the device's final read begins: a `view` for each message that it has         |
 * | view       | ok                      | the message as the final read shows it, in the order shown                    |
 *
 * A 1:1 conversation's id names its people, a group's are those with devices in it. Where no device ever entered, the history
 * is of a world in which all devices of the people can read everything.
 */
export type Op =
  | "register"
  | "revoke"
  | "enter"
  | "leave"
  | "lose"
  | "connect"
  | "disconnect"
  | "send"
  | "wire"
  | "apply"
  | "pass"
  | "unreadable"
  | "read"
  | "delivered"
  | "seen"
  | "push"
  | "expire"
  | "fault"
  | "final"
  | "view";

export interface HistoryRecord {
  /** Ms; never falls from one record to the next. */
  readonly t: number;
  /** `info`: nobody knows how it ended, a timeout for instance. An `ok` may still follow. */
  readonly type: "invoke" | "ok" | "fail" | "info";
  readonly op: Op;
  readonly user?: UserId;
  readonly device?: DeviceId;
  readonly connection?: number;
  readonly conversation?: ConversationId;
  /** Known from the moment the device has made it. */
  readonly messageId?: MessageId;
  /** Of what the message says, as its sender wrote it; no two messages of a history say the same. */
  readonly hash?: string;
  readonly seq?: number;
  readonly cursor?: number;
  /** Whom it is about: of `apply` and `view` the author. */
  readonly peer?: UserId;
  readonly fault?: string;
}

export function hashOf(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex").slice(0, 16);
}

export function toLines(history: readonly HistoryRecord[]): string {
  return history.map((record) => `${JSON.stringify(record)}\n`).join("");
}

export function parseLines(lines: string): HistoryRecord[] {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as HistoryRecord);
}
