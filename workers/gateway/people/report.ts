import { ulid } from "ulid";
import type * as people from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import { type ConversationId, directMembers, type UserId } from "../../../shared/ids.ts";
import { insertReport } from "../database/reports.ts";
import type { Serve } from "../serve.ts";
import { requireOther, setPeer } from "./peers.ts";

/** Blocks first: if that is refused, nothing was reported, and asking again reports once. */
export const report: Serve<typeof people.report> = async (call) => {
  const { caller, body, db } = call;
  await requireOther(db, caller, body.user);
  if (body.conversation && !isBetween(body.conversation, caller.user, body.user)) throw new Refusal("not_found");
  if (body.block) await setPeer(call, body.user, "block");
  const id = ulid();
  const isInserted = await insertReport(db, {
    id,
    reporter: caller.user,
    reported: body.user,
    reason: body.reason,
    conversation: body.conversation ?? null,
    evidence: body.evidence ?? null,
    at: Date.now(),
  });
  if (!isInserted) throw new Refusal("not_found");
  return { report: id };
};

/** A group, or the conversation of these two: another's id would name somebody who has nothing to do with the report. */
function isBetween(conversation: ConversationId, reporter: UserId, reported: UserId): boolean {
  const members = directMembers(conversation);
  return members.length === 0 || (members.includes(reporter) && members.includes(reported));
}
