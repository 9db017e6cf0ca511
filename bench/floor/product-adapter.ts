import { encodeTime } from "ulid";
import { directConversation } from "../../shared/ids.ts";
import { MAX_BODY_BYTES } from "../../shared/limits.ts";
import { decodeDown, encodeUp, joinBodies, type Wire } from "../../shared/protocol/codec.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import type { Adapter, MessageEvent, Seat } from "./adapter.ts";

/** Digits of a ULID. */
const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";
const BASE_32 = "0123456789abcdefghijklmnopqrstuv";
const RANDOM_DIGITS = 16;
/** Room that a message's part of a frame's header takes, generously. */
const MESSAGE_HEADER_BYTES = 64;

/** The real gateway and objects: development sign-in, ticket, one socket a person; the recipient acks what arrives. */
export const adapter: Adapter = {
  async openPair(origin, pair, body) {
    const [sender, recipient] = [await signIn(origin, `sender-${pair}`), await signIn(origin, `recipient-${pair}`)];
    const conversation = directConversation(sender.user, recipient.user);
    const time = encodeTime(Date.now());
    return {
      sender: seat(sender),
      recipient: seat(recipient),
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

interface SignedIn {
  user: string;
  socketUrl: string;
  ticket: string;
}

async function signIn(origin: URL, name: string): Promise<SignedIn> {
  const { user, accessToken } = await post(new URL("/v1/dev/sign-in", origin), { name });
  const { ticket } = await post(new URL("/v1/connect-ticket", origin), {}, accessToken);
  const url = new URL("/v1/connect", origin);
  url.protocol = "ws:";
  if (!user || !ticket) throw new Error("the gateway gave no user or no ticket");
  return { user, socketUrl: url.href, ticket };
}

async function post(url: URL, body: object, token?: string): Promise<Record<string, string>> {
  const headers = { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, string>;
}

function seat({ socketUrl, ticket }: SignedIn): Seat {
  return {
    url: socketUrl,
    protocols: [SUBPROTOCOL, `${TICKET_PREFIX}${ticket}`],
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
