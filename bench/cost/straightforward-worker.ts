import { DurableObject } from "cloudflare:workers";
import { meter } from "../../durable-objects/runtime/meter.ts";

/**
 * The straightforward design, for comparison: what the obvious schema of the source documents costs on the same platform.
 * Text keys, an index where a screen needs one, a receipt row a message and member, an inbox row a message and person, an
 * unread count, an alarm a message as crash insurance, a call a receipt. It hibernates, for otherwise nothing compares.
 */
export interface StraightforwardEnv {
  NAIVE_USER: DurableObjectNamespace<StraightforwardUser>;
  NAIVE_CONVERSATION: DurableObjectNamespace<StraightforwardConversation>;
  PUSH_QUEUE: Queue<unknown>;
}

type Status = "delivered" | "read";
interface Stored {
  id: string;
  conversation: string;
  sender: string;
  body: Uint8Array<ArrayBuffer>;
}
type UpFrame =
  | { type: "send"; conversation: string; id: string; body: string }
  | { type: Status; conversation: string; id: string; sender: string };

abstract class MeteredObject extends DurableObject<StraightforwardEnv> {
  protected sql(query: string, ...params: SqlStorageValue[]): Record<string, SqlStorageValue>[] {
    const cursor = this.ctx.storage.sql.exec(query, ...params);
    const rows = cursor.toArray();
    meter.rowsWritten += cursor.rowsWritten;
    meter.rowsRead += cursor.rowsRead;
    return rows;
  }

  protected user(name: string) {
    meter.objectCalls++;
    return this.env.NAIVE_USER.getByName(name);
  }

  protected conversation(name: string) {
    meter.objectCalls++;
    return this.env.NAIVE_CONVERSATION.getByName(name);
  }
}

export class StraightforwardConversation extends MeteredObject {
  constructor(ctx: DurableObjectState, env: StraightforwardEnv) {
    super(ctx, env);
    this.sql("CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY, sender TEXT, at INTEGER, body BLOB)");
    this.sql("CREATE INDEX IF NOT EXISTS message_at ON message (at)");
    this.sql("CREATE TABLE IF NOT EXISTS receipt (message TEXT, user TEXT, status TEXT, PRIMARY KEY (message, user))");
  }

  async append(message: Stored, to: string): Promise<void> {
    this.sql("INSERT INTO message VALUES (?, ?, ?, ?)", message.id, message.sender, Date.now(), message.body.buffer);
    this.sql("INSERT INTO receipt VALUES (?, ?, 'sent')", message.id, to);
    meter.rowsWritten++;
    await this.ctx.storage.setAlarm(Date.now() + 5_000);
    await this.user(to).deliver(message);
  }

  async receipt(message: string, user: string, sender: string, status: Status): Promise<void> {
    this.sql("UPDATE receipt SET status = ? WHERE message = ? AND user = ?", status, message, user);
    await this.user(sender).notify(message, status);
  }

  override async alarm(): Promise<void> {
    meter.alarms++;
  }
}

export class StraightforwardUser extends MeteredObject {
  constructor(ctx: DurableObjectState, env: StraightforwardEnv) {
    super(ctx, env);
    this.sql("CREATE TABLE IF NOT EXISTS inbox (message TEXT PRIMARY KEY, conversation TEXT, sender TEXT, body BLOB)");
    this.sql("CREATE TABLE IF NOT EXISTS conversation (id TEXT PRIMARY KEY, last_at INTEGER, unread INTEGER)");
    this.sql("CREATE INDEX IF NOT EXISTS conversation_last_at ON conversation (last_at)");
    this.sql("CREATE TABLE IF NOT EXISTS presence (id INTEGER PRIMARY KEY, online INTEGER, at INTEGER)");
  }

  override async fetch(): Promise<Response> {
    meter.objectFetches++;
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    this.#setPresence(1);
    for (const row of this.sql("SELECT * FROM inbox ORDER BY message")) {
      this.#show(server, { ...row, id: String(row.message) });
    }
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, text: string): Promise<void> {
    meter.socketMessages++;
    const frame = JSON.parse(text) as UpFrame;
    const me = this.ctx.id.name ?? "";
    if (frame.type === "send") {
      const body = Uint8Array.from(new TextEncoder().encode(frame.body));
      const to = frame.conversation.split(".").find((user) => user !== me) ?? me;
      await this.conversation(frame.conversation).append({ ...frame, sender: me, body }, to);
      this.#touch(frame.conversation, 0);
      socket.send(JSON.stringify({ type: "sent", id: frame.id }));
      return;
    }
    if (frame.type === "delivered") this.sql("DELETE FROM inbox WHERE message = ?", frame.id);
    else this.sql("UPDATE conversation SET unread = 0 WHERE id = ?", frame.conversation);
    await this.conversation(frame.conversation).receipt(frame.id, me, frame.sender, frame.type);
  }

  override webSocketClose(socket: WebSocket): void {
    this.#setPresence(0);
    socket.close();
  }

  async deliver(message: Stored): Promise<void> {
    this.sql(
      "INSERT INTO inbox VALUES (?, ?, ?, ?)",
      message.id,
      message.conversation,
      message.sender,
      message.body.buffer,
    );
    this.#touch(message.conversation, 1);
    const sockets = this.ctx.getWebSockets();
    for (const socket of sockets) this.#show(socket, { ...message });
    if (sockets.length > 0) return;
    meter.queueSends++;
    await this.env.PUSH_QUEUE.send({ user: this.ctx.id.name });
  }

  async notify(message: string, status: Status): Promise<void> {
    for (const socket of this.ctx.getWebSockets()) socket.send(JSON.stringify({ type: status, id: message }));
  }

  #touch(conversation: string, unread: number): void {
    this.sql(
      `INSERT INTO conversation VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, unread = unread + excluded.unread`,
      conversation,
      Date.now(),
      unread,
    );
  }

  #show(socket: WebSocket, { id, conversation, sender }: Record<string, unknown>): void {
    socket.send(JSON.stringify({ type: "message", id, conversation, sender }));
  }

  #setPresence(online: number): void {
    this.sql("INSERT OR REPLACE INTO presence VALUES (1, ?, ?)", online, Date.now());
  }
}
