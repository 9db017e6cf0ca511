import { encodeTime, ulid } from "ulid";
import { makeAccountKey } from "../../client/identity/account-key.ts";
import { makeDeviceKeys } from "../../client/identity/device-keys.ts";
import { type Account, MemoryStore, requestCode, signIn } from "../../client/index.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { codesInLog } from "../../scripts/codes.ts";
import { fictitiousPhone } from "../../scripts/fictitious-phone.ts";
import { directConversation } from "../../shared/ids.ts";
import { KEY_PACKAGE_LIFETIME_MS, MAX_BODY_BYTES } from "../../shared/limits.ts";
import { groupIdOf, readFraming } from "../../shared/mls/framing.ts";
import { decodeDown, encodeUp, type Framed, joinBodies, splitBodies, type Wire } from "../../shared/protocol/codec.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { sealedBytes } from "../../test/sealed.ts";
import type { Adapter, MessageEvent, Seat, Target } from "./adapter.ts";

const mls = createMls({ authenticate: async () => true });
const FIRST_EPOCH = 1;

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
    await beginGroup(sender, conversation);
    const sealed = sealedBytes(conversation, FIRST_EPOCH, body);
    const time = encodeTime(Date.now());
    return {
      sender: await seat(sender),
      recipient: await seat(recipient),
      encodeSends: (ids) =>
        encodeSends(
          conversation,
          ids.map((id) => messageId(time, id)),
          sealed,
        ),
    };
  },
};

/** The server reads what a message is framed as, and no more: no two need keys for each other. */
async function beginGroup({ user, device, delivery }: Account, conversation: string): Promise<void> {
  const account = await makeAccountKey();
  const keys = await makeDeviceKeys(account, { user, device, issuedAt: Date.now() });
  const lifetime = { notBefore: Date.now() - 60_000, notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS };
  const { keyPackage } = await mls.makeKeyPackage(keys, 1, lifetime);
  const packages = [{ keyPackage, lastResort: true }];
  await delivery.uploadKeys({ accountKey: account.publicKey, reset: false, packages });
  const made = await mls.commit(await mls.create(groupIdOf(conversation), 1, keys, Date.now()), {});
  await delivery.submit(conversation, { ...made, id: ulid(), after: 0 });
}

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
    read: (wire) => readFrame(decodeDown(wire)),
  };
}

/** Everything that arrives is acked at once, with one watermark a frame. */
function readFrame({ frame, body }: Framed<DownFrame>): ReturnType<Seat["read"]> {
  switch (frame.type) {
    case "drained":
      return { events: [{ kind: "ready" }] };
    case "sent":
      return { events: frame.messages.map(({ id }) => eventOf("sent", id)) };
    case "message":
      return { events: deliveredBy([frame], [body]), answers: [ackOf(frame.conversation, frame.seq)] };
    case "entries": {
      const lengths = frame.entries.map(({ length }) => length);
      const events = deliveredBy(frame.entries, splitBodies(lengths, body));
      return { events, answers: [ackOf(frame.conversation, frame.through)] };
    }
    case "welcome":
    case "receipt":
    case "refill":
      return { events: [] };
    default:
      throw new Error(`unexpected frame: ${JSON.stringify(frame)}`);
  }
}

/** The commit that began the group is no message. */
function deliveredBy(entries: readonly { readonly id: string }[], bodies: readonly Uint8Array[]): MessageEvent[] {
  const isMessage = (_: unknown, index: number) => readFraming(bodies[index] ?? new Uint8Array(0))?.kind === "message";
  return entries.filter(isMessage).map(({ id }) => eventOf("delivered", id));
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
