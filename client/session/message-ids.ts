import { incrementBase32, ulid } from "ulid";
import type { MessageId } from "../../shared/ids.ts";
import { messageTime } from "../../shared/ids.ts";

const TIME_CHARS = 10;

/** The next id of this device: above `last`, even if the clock has not moved or has gone back. */
export function mintId(time: number, last: MessageId | undefined, random: () => number): MessageId {
  if (last === undefined || messageTime(last) < time) return ulid(time, random);
  return last.slice(0, TIME_CHARS) + incrementBase32(last.slice(TIME_CHARS));
}
