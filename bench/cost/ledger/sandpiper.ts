import { runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { ulid } from "ulid";
import { vi } from "vitest";
import { LimiterObject } from "../../../durable-objects/limiter/object.ts";
import { meter } from "../../../durable-objects/runtime/meter.ts";
import { UserObject } from "../../../durable-objects/user/object.ts";
import { addContact } from "../../../shared/api/people.ts";
import { refreshSession } from "../../../shared/api/session.ts";
import { directConversation } from "../../../shared/ids.ts";
import { decodeDown, encodeUp } from "../../../shared/protocol/codec.ts";
import type { DownFrame } from "../../../shared/protocol/down.ts";
import type { UpFrame } from "../../../shared/protocol/up.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../../shared/protocol/version.ts";
import { sealedBytes } from "../../../test/sealed.ts";
import { type Account, call, signUp } from "../../../test/workerd/accounts.ts";
import { openGroup } from "../../../test/workerd/objects.ts";
import type { Design, Participant } from "./design.ts";
import { Stage } from "./stage.ts";
import { BODY_BYTES } from "./traffic.ts";

const ORIGIN = "http://127.0.0.1";
const payload = new Uint8Array(BODY_BYTES).fill(7);

/** Requests that reached the gateway; the platform bills each. */
export const gatewayRequests = { count: 0 };

/** Our own design, through the real gateway and objects. */
export class Sandpiper implements Design {
  readonly name = "sandpiper";
  readonly #stage = new Stage(stubOf);
  readonly #accounts: Account[] = [];

  /** Everybody knows everybody, for strangers would see no receipts, and may write to them: groups cost once, not a message. */
  async signUp(): Promise<Participant> {
    countGatewayCalls();
    const account = await signUp();
    for (const other of this.#accounts) {
      await addToContacts(account, other);
      await addToContacts(other, account);
      await openGroup(directConversation(account.user, other.user));
    }
    this.#accounts.push(account);
    this.#stage.enter(account.user);
    await runInDurableObject(stubOf(account.user), (_, ctx) => keepPinging(ctx));
    return new Device(account, (conversation) => this.#stage.enter(conversation));
  }

  nextAlarmAt = () => this.#stage.nextAlarmAt();
  runAlarms = () => this.#stage.runAlarms();
  hibernate = () => this.#stage.hibernate();
}

/** A device that acks what arrives as the SDK does: once it has it, with one watermark. */
class Device implements Participant {
  readonly user: string;
  received = 0;
  #refreshToken: string;
  readonly #opened: (conversation: string) => void;
  readonly #heads = new Map<string, number>();
  readonly #ticks = new Map<string, { delivered: number; read: number }>();
  readonly #waiting = new Map<string, () => void>();
  #socket: WebSocket | undefined;
  #drained: (() => void) | undefined;
  #chatOpen = false;

  constructor({ user, refreshToken }: Account, opened: (conversation: string) => void) {
    this.user = user;
    this.#refreshToken = refreshToken;
    this.#opened = opened;
  }

  async connect(): Promise<void> {
    const protocols = `${SUBPROTOCOL}, ${TICKET_PREFIX}${await this.#ticket()}`;
    const response = await request("/v1/connect", {
      headers: { upgrade: "websocket", "sec-websocket-protocol": protocols },
    });
    if (!response.webSocket) throw new Error(`no socket: ${response.status}`);
    this.#socket = response.webSocket;
    this.#socket.binaryType = "arraybuffer";
    this.#socket.accept();
    this.#socket.addEventListener("message", ({ data }) => this.#take(data));
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    this.#up({ type: "hello", client: "ledger" });
    await drained;
  }

  async leave(): Promise<void> {
    const closed = new Promise((resolve) => this.#socket?.addEventListener("close", resolve));
    this.#socket?.close(1000);
    await closed;
  }

  async send(to: Participant): Promise<void> {
    const conversation = directConversation(this.user, to.user);
    this.#opened(conversation);
    const id = ulid(Date.now());
    const sent = new Promise<void>((resolve) => this.#waiting.set(id, resolve));
    this.#socket?.send(encodeUp({ type: "send", id, conversation }, sealedBytes(conversation, 1, payload)));
    await sent;
  }

  setChatOpen(open: boolean): void {
    this.#chatOpen = open;
  }

  async read(from: Participant): Promise<void> {
    const conversation = directConversation(this.user, from.user);
    const seq = this.#heads.get(conversation);
    if (seq !== undefined) this.#up({ type: "read", conversation, seq });
  }

  ticks(peer: Participant): { delivered: number; read: number } {
    return this.#ticks.get(directConversation(this.user, peer.user)) ?? { delivered: 0, read: 0 };
  }

  /** As the SDK does after a pause, in which the access token has always expired: new tokens and ticket in one request. */
  async #ticket(): Promise<string> {
    const body = JSON.stringify({ refreshToken: this.#refreshToken, ticket: true });
    const answer = await request(refreshSession.path, { method: "POST", body });
    if (!answer.ok) throw new Error(`no new tokens: ${answer.status}`);
    const { refreshToken, ticket } = (await answer.json()) as { refreshToken: string; ticket: string };
    this.#refreshToken = refreshToken;
    return ticket;
  }

  #up(frame: UpFrame): void {
    this.#socket?.send(encodeUp(frame));
  }

  #take(data: unknown): void {
    const { frame } = decodeDown(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
    if (frame.type === "drained") this.#drained?.();
    else if (frame.type === "sent") for (const { id } of frame.messages) this.#waiting.get(id)?.();
    else if (frame.type === "receipt" && frame.user !== this.user) this.#ticks.set(frame.conversation, frame);
    else if (frame.type === "message") this.#arrived(frame, 1, frame.seq);
    else if (frame.type === "entries") this.#arrived(frame, frame.entries.length, frame.through);
  }

  #arrived({ conversation }: Extract<DownFrame, { type: "message" | "entries" }>, count: number, seq: number): void {
    this.received += count;
    this.#heads.set(conversation, seq);
    this.#up({ type: this.#chatOpen ? "read" : "ack", conversation, seq });
  }
}

async function addToContacts({ accessToken: token }: Account, { user }: Account): Promise<void> {
  const { status } = await call(addContact, { token, params: { user } });
  if (status !== 204) throw new Error(`no contact: ${status}`);
}

/** What objects ask of each other is in the meter already; what the gateway asks of them is billed alike. */
function countGatewayCalls(): void {
  countCalls(UserObject.prototype, "refresh");
  countCalls(UserObject.prototype, "admit");
  countCalls(LimiterObject.prototype, "take");
}

function countCalls<Name extends string>(object: { [N in Name]: (call: never) => unknown }, name: Name): void {
  const original = object[name] as (call: unknown) => unknown;
  if (vi.isMockFunction(original)) return;
  const counting = function (this: unknown, argument: unknown) {
    meter.objectCalls++;
    return original.call(this, argument);
  };
  vi.spyOn(object as unknown as Record<string, typeof original>, name).mockImplementation(counting);
}

/** Devices ping all the time; the platform notes when by its own clock, which does not follow the ledger's. */
function keepPinging(ctx: DurableObjectState): void {
  vi.spyOn(Object.getPrototypeOf(ctx), "getWebSocketAutoResponseTimestamp").mockImplementation(() => new Date());
}

async function request(path: string, init: RequestInit): Promise<Response> {
  gatewayRequests.count++;
  const headers = { "content-type": "application/json", ...(init.headers as Record<string, string>) };
  return await exports.default.fetch(new Request(`${ORIGIN}${path}`, { ...init, headers }));
}

function stubOf(name: string): DurableObjectStub {
  const stub: unknown = name.includes(".") ? env.CONVERSATION.getByName(name) : env.USER.getByName(name);
  return stub as DurableObjectStub;
}
