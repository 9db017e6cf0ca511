// The floor: the shortest way that two people's messages can take through Durable Objects, with nothing of a messenger
// in it (no members, no duplicates, no gathering). A frame is an opaque id of four bytes and a body.

import { DurableObject } from "cloudflare:workers";

interface Env {
  USERS: DurableObjectNamespace<User>;
  CONVERSATIONS: DurableObjectNamespace<Conversation>;
}

interface Route {
  conversation: string;
  peer: string;
}

const ID_BYTES = 4;

export class User extends DurableObject<Env> {
  override fetch(request: Request): Response {
    const { searchParams } = new URL(request.url);
    const { 0: client, 1: server } = new WebSocketPair();
    const route: Route = { conversation: searchParams.get("conversation") ?? "", peer: searchParams.get("peer") ?? "" };
    server.serializeAttachment(route);
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, frame: ArrayBuffer): Promise<void> {
    const { conversation, peer }: Route = socket.deserializeAttachment();
    await this.env.CONVERSATIONS.getByName(conversation).append(frame, peer);
    socket.send(frame.slice(0, ID_BYTES));
  }

  deliver(frame: ArrayBuffer): void {
    for (const socket of this.ctx.getWebSockets()) socket.send(frame);
  }
}

export class Conversation extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, frame BLOB NOT NULL)");
  }

  append(frame: ArrayBuffer, recipient: string): void {
    this.ctx.storage.sql.exec("INSERT INTO log (frame) VALUES (?)", frame);
    // The reply and this call both wait at the output gate for the insert to be on disk.
    this.ctx.waitUntil(this.env.USERS.getByName(recipient).deliver(frame));
  }
}

export default {
  fetch(request, env) {
    return env.USERS.getByName(new URL(request.url).searchParams.get("user") ?? "").fetch(request);
  },
} satisfies ExportedHandler<Env>;
