/** The messaging Worker as it is, and beside it the objects of the straightforward design. */

export { ConversationObject } from "../../durable-objects/conversation/object.ts";
export { LimiterObject } from "../../durable-objects/limiter/object.ts";
export { RendezvousObject } from "../../durable-objects/rendezvous/object.ts";
export { UserObject } from "../../durable-objects/user/object.ts";
export { VerificationObject } from "../../durable-objects/verification/object.ts";
export { default } from "../../workers/gateway/worker.ts";
export { StraightforwardConversation, StraightforwardUser } from "./straightforward-worker.ts";
