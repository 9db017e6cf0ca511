import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { directConversation } from "../../../shared/ids.ts";
import type { StraightforwardEnv } from "../straightforward-worker.ts";
import type { Design, Participant } from "./design.ts";
import { gatewayRequests } from "./sandpiper.ts";
import { Stage } from "./stage.ts";
import { BODY_BYTES } from "./traffic.ts";

const { NAIVE_USER, NAIVE_CONVERSATION } = env as unknown as StraightforwardEnv;
const text = "x".repeat(BODY_BYTES);

/** Drives the straightforward objects with the same traffic. */
export class Straightforward implements Design {
  readonly name = "straightforward";
  readonly #stage = new Stage(stubOf);

  async signUp(): Promise<Participant> {
    const user = ulid();
    this.#stage.enter(user);
    return new Device(user, (conversation) => this.#stage.enter(conversation));
  }

  nextAlarmAt = () => this.#stage.nextAlarmAt();
  runAlarms = () => this.#stage.runAlarms();
  hibernate = () => this.#stage.hibernate();
}

interface Message {
  id: string;
  conversation: string;
  sender: string;
}

class Device implements Participant {
  readonly user: string;
  readonly #opened: (conversation: string) => void;
  readonly #unread: Message[] = [];
  readonly #own = new Map<string, string>();
  readonly #delivered = new Map<string, number>();
  readonly #read = new Map<string, number>();
  readonly #waiting = new Map<string, () => void>();
  #socket: WebSocket | undefined;
  #chatOpen = false;
  received = 0;

  constructor(user: string, opened: (conversation: string) => void) {
    this.user = user;
    this.#opened = opened;
  }

  async connect(): Promise<void> {
    gatewayRequests.count += 2;
    const response = await NAIVE_USER.getByName(this.user).fetch("https://user", { headers: { upgrade: "websocket" } });
    if (!response.webSocket) throw new Error(`no socket: ${response.status}`);
    this.#socket = response.webSocket;
    this.#socket.accept();
    this.#socket.addEventListener("message", ({ data }) => this.#take(JSON.parse(String(data))));
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
    this.#own.set(id, to.user);
    const sent = new Promise<void>((resolve) => this.#waiting.set(id, resolve));
    this.#up({ type: "send", id, conversation, body: text });
    await sent;
  }

  setChatOpen(open: boolean): void {
    this.#chatOpen = open;
  }

  async read(from: Participant): Promise<void> {
    for (const message of this.#unread.filter(({ sender }) => sender === from.user))
      this.#up({ type: "read", ...message });
    this.#unread.splice(0, this.#unread.length, ...this.#unread.filter(({ sender }) => sender !== from.user));
  }

  ticks(peer: Participant): { delivered: number; read: number } {
    return { delivered: this.#delivered.get(peer.user) ?? 0, read: this.#read.get(peer.user) ?? 0 };
  }

  #up(frame: object): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  #take(frame: Message & { type: string }): void {
    if (frame.type === "sent") return this.#waiting.get(frame.id)?.();
    if (frame.type === "message") return this.#arrived(frame);
    const counts = frame.type === "read" ? this.#read : this.#delivered;
    const peer = this.#own.get(frame.id) ?? "";
    counts.set(peer, (counts.get(peer) ?? 0) + 1);
  }

  #arrived({ id, conversation, sender }: Message): void {
    this.received++;
    this.#up({ type: "delivered", id, conversation, sender });
    if (this.#chatOpen) this.#up({ type: "read", id, conversation, sender });
    else this.#unread.push({ id, conversation, sender });
  }
}

function stubOf(name: string): DurableObjectStub {
  const stub: unknown = name.includes(".") ? NAIVE_CONVERSATION.getByName(name) : NAIVE_USER.getByName(name);
  return stub as DurableObjectStub;
}
