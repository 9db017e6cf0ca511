import { encodeTime } from "ulid";
import { type Account, MemoryStore, requestCode, signIn } from "../../client/index.ts";
import { codesInLog } from "../../scripts/codes.ts";
import { fictitiousPhone } from "../../scripts/fictitious-phone.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_BODY_BYTES } from "../../shared/limits.ts";
import { decodeDown, encodeUp, joinBodies, type Wire } from "../../shared/protocol/codec.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import type { Adapter, MessageEvent, Seat, Target } from "./adapter.ts";

/** Digits of a ULID. */
const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";
const BASE_32 = "0123456789abcdefghijklmnopqrstuv";
const RANDOM_DIGITS = 16;
/** Room that a message's part of a frame's header takes, generously. */
const MESSAGE_HEADER_BYTES = 64;

/**
 * The real gateway and objects: sign-in by phone, ticket, one socket a person. The two know each other, and the recipient
 * acks what arrives.
 */
export const adapter: Adapter = {
  async openPair(target, pair, body) {
    const [sender, recipient] = [await signUp(target, 2 * pair), await signUp(target, 2 * pair + 1)];
    await sender.contacts.add(recipient.user);
    await recipient.contacts.add(sender.user);
    const conversation = directConversation(sender.user, recipient.user);
    const time = encodeTime(Date.now());
    return {
      sender: await seat(sender),
      recipient: await seat(recipient),
      encodeSends: (ids) =>
        encodeSends(
          conversation,
          ids.map((id) => messageId(time, id)),
          body,
        ),
    };
  },
};

/** As the SDK does: one message alone, several in frames of as many as fit. */
function encodeSends(conversation: string, ids: readonly string[], body: Uint8Array): Wire[] {
  const perFrame = Math.floor(MAX_BODY_BYTES / (body.byteLength + MESSAGE_HEADER_BYTES));
  const frames: Wire[] = [];
  for (let from = 0; from < ids.length; from += perFrame) {
    const batch = ids.slice(from, from + perFrame);
    const [only = ""] = batch;
    if (batch.length === 1) frames.push(encodeUp({ type: "send", id: only, conversation }, body));
    else {
      const messages = batch.map((id) => ({ id, length: body.byteLength }));
      frames.push(encodeUp({ type: "sends", conversation, messages }, joinBodies(batch.map(() => body))));
    }
  }
  return frames;
}

async function signUp({ origin, logFile }: Target, person: number): Promise<Account> {
  const phone = fictitiousPhone(person);
  const code = await codesInLog(logFile)(phone, () => requestCode(origin.href, phone));
  return signIn({ url: origin.href, store: new MemoryStore(), phone, code, deviceName: "bench" });
}

async function seat(account: Account): Promise<Seat> {
  const url = new URL("/v1/connect", account.url);
  url.protocol = "ws:";
  return {
    url: url.href,
    protocols: [SUBPROTOCOL, `${TICKET_PREFIX}${await account.ticket()}`],
    greeting: encodeUp({ type: "hello", client: "bench" }),
    read: (wire) => readFrame(decodeDown(wire).frame),
  };
}

/** Everything that arrives is acked at once, with one watermark a frame. */
function readFrame(frame: DownFrame): ReturnType<Seat["read"]> {
  switch (frame.type) {
    case "drained":
      return { events: [{ kind: "ready" }] };
    case "sent":
      return { events: frame.messages.map(({ id }) => eventOf("sent", id)) };
    case "message":
      return { events: [eventOf("delivered", frame.id)], answers: [ackOf(frame.conversation, frame.seq)] };
    case "entries": {
      const events = frame.entries.map(({ id }) => eventOf("delivered", id));
      return { events, answers: [ackOf(frame.conversation, frame.through)] };
    }
    case "welcome":
    case "receipt":
      return { events: [] };
    default:
      throw new Error(`unexpected frame: ${JSON.stringify(frame)}`);
  }
}

function ackOf(conversation: string, seq: number): string {
  return String(encodeUp({ type: "ack", conversation, seq }));
}

function eventOf(kind: MessageEvent["kind"], id: string): MessageEvent {
  return { kind, id: numberOf(id) };
}

/** A rising id that carries the message's number where a ULID has its random part. */
function messageId(time: string, number: number): string {
  const digits = [...number.toString(32)].map((digit) => CROCKFORD[BASE_32.indexOf(digit)]);
  return time + digits.join("").padStart(RANDOM_DIGITS, "0").toUpperCase();
}

function numberOf(id: string): number {
  const digits = [...id.slice(-RANDOM_DIGITS).toLowerCase()].map((digit) => BASE_32[CROCKFORD.indexOf(digit)]);
  return Number.parseInt(digits.join(""), 32);
}
