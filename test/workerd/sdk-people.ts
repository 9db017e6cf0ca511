import { exports } from "cloudflare:workers";
import { vi } from "vitest";
import {
  type Account,
  Chat,
  type ChatOptions,
  MemoryStore,
  requestCode,
  signIn,
  type Transport,
} from "../../client/index.ts";
import { decodeDown, encodeUp } from "../../shared/protocol/codec.ts";
import { PING, PONG, SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { codeShown, HOST, newPhone } from "./accounts.ts";

/** People on the whole SDK, real encryption included, against the whole server. */

/** The SDK's requests reach the gateway in the same process. @returns what the console has shown so far */
export function reachGateway(): readonly unknown[][] {
  const shown = vi.spyOn(console, "log").mockImplementation(() => {});
  vi.stubGlobal("fetch", (url: URL, { credentials: _, ...init }: RequestInit & { credentials?: string } = {}) =>
    exports.default.fetch(new Request(url, init)),
  );
  return shown.mock.calls;
}

/** Sockets that the server has not seen closed. */
const ending = new Set<Promise<void>>();

/** A socket inside the process: what a browser's WebSocket would carry over the network. */
const gatewayTransport: Transport = {
  open(url, ticket, listener) {
    let socket: WebSocket | undefined;
    let isDone = false;
    const end = (code: number) => {
      if (!isDone) listener.closed(code);
      isDone = true;
    };
    const headers = { upgrade: "websocket", "sec-websocket-protocol": `${SUBPROTOCOL}, ${TICKET_PREFIX}${ticket}` };
    void exports.default.fetch(new Request(new URL("/v1/connect", url), { headers })).then((response) => {
      socket = response.webSocket ?? undefined;
      if (!socket) return end(1006);
      socket.binaryType = "arraybuffer";
      socket.accept();
      if (isDone) return socket.close();
      const gone = Promise.withResolvers<void>();
      ending.add(gone.promise);
      socket.addEventListener("close", ({ code }) => {
        gone.resolve();
        ending.delete(gone.promise);
        end(code);
      });
      socket.addEventListener("message", ({ data }) => {
        if (isDone) return;
        if (data === PONG) listener.ponged();
        else listener.received(decodeDown(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer)));
      });
      listener.opened();
    });
    return {
      transmit: (frame, body) => socket?.send(encodeUp(frame, body)),
      ping: () => socket?.send(PING),
      close: () => {
        isDone = true;
        socket?.close();
      },
    };
  },
};

export interface Person {
  readonly account: Account;
  readonly store: MemoryStore;
  readonly chat: Chat;
}

const opened: Chat[] = [];

/** Signs up with a new number, or signs a further device in, and connects. */
export async function enter(
  shown: readonly unknown[][],
  { phone = newPhone(), ...options }: { phone?: string } & Partial<ChatOptions> = {},
): Promise<Person & { readonly phone: string }> {
  const store = new MemoryStore();
  await requestCode(HOST, phone);
  const code = codeShown(shown, phone);
  const account = await signIn({ url: HOST, store, phone, code, deviceName: "Phone" });
  return { ...(await start({ account, store }, options)), phone };
}

export async function start(
  { account, store }: { readonly account: Account; readonly store: MemoryStore },
  options: Partial<ChatOptions> = {},
): Promise<Person> {
  const chat = await Chat.open({ client: "test 1", transport: gatewayTransport, ...options, account, store });
  opened.push(chat);
  chat.connection.open();
  await chat.connection.caughtUp();
  return { account, store, chat };
}

export async function leaveAll(): Promise<void> {
  for (const chat of opened.splice(0)) await chat[Symbol.asyncDispose]();
  // What the server logs of their end belongs to this test.
  await Promise.all(ending);
}
