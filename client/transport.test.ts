import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { closeCodes } from "../shared/errors.ts";
import { encodeDown } from "../shared/protocol/codec.ts";
import { SUBPROTOCOL } from "../shared/protocol/version.ts";
import { chat, idOf, peer } from "./session/test-driver.ts";
import { type Connection, webSocketTransport } from "./transport.ts";

/** As much of RFC 6455 as these tests need: unmasked frames down, whatever comes up is only counted. */
let server: Server;
let peerSocket: Duplex;
let offered: string | undefined;
let path: string | undefined;
let connection: Connection | undefined;

function accept(request: IncomingMessage, socket: Duplex): void {
  peerSocket = socket;
  offered = request.headers["sec-websocket-protocol"];
  path = request.url;
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const answer = createHash("sha1").update(key).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Accept: ${answer}\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
  );
  socket.on("error", () => {});
}

function push(wire: string | Uint8Array): void {
  const bytes = typeof wire === "string" ? new TextEncoder().encode(wire) : wire;
  const head = Buffer.alloc(10);
  head[0] = 0x80 | (typeof wire === "string" ? 1 : 2);
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(bytes.byteLength), 2);
  peerSocket.write(Buffer.concat([head, bytes]));
}

beforeEach(async () => {
  server = createServer().on("upgrade", accept);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  connection?.close();
  peerSocket?.destroy();
  server.close();
});

function open(ticket = "abc") {
  const heard: unknown[] = [];
  const waiting: (() => void)[] = [];
  const note = (what: unknown) => {
    heard.push(what);
    for (const resolve of waiting.splice(0)) resolve();
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  connection = webSocketTransport.open(url, ticket, {
    opened: () => note("opened"),
    received: ({ frame, body }) => note([frame, [...body]]),
    ponged: () => note("pong"),
    closed: (code) => note(code),
  });
  const until = async (count: number) => {
    while (heard.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    return heard;
  };
  return { heard, until };
}

test("offers the protocol and the ticket, and passes frames and pongs on", async () => {
  const { until } = open("t.i-c_k");
  await until(1);
  expect([path, offered]).toEqual(["/v1/connect", `${SUBPROTOCOL}, ticket.t.i-c_k`]);
  const meta = { seq: 1, id: idOf(1), user: peer, device: peer, at: 1 };
  const message = { type: "message", conversation: chat, ...meta } as const;
  push("pong");
  push(encodeDown({ type: "drained", request: 0 }));
  push(encodeDown(message, [new Uint8Array([7, 8])]));
  expect(await until(4)).toEqual(["opened", "pong", [{ type: "drained", request: 0 }, []], [message, [7, 8]]]);
});

test("a frame of a later version is passed over; one that makes no sense ends the connection", async () => {
  const { until } = open();
  await until(1);
  push('{"type":"from-the-future"}');
  push(encodeDown({ type: "drained", request: 0 }));
  push('{"type":"drained"}');
  expect(await until(3)).toEqual(["opened", [{ type: "drained", request: 0 }, []], closeCodes.bad_frame]);
});

test("a frame beyond all bounds ends the connection", async () => {
  const { until } = open();
  await until(1);
  push(new Uint8Array(2 * 1024 * 1024));
  expect(await until(2)).toEqual(["opened", closeCodes.too_large]);
});

test("a connection that breaks or was never made is told once", async () => {
  const { until } = open();
  await until(1);
  peerSocket.destroy();
  expect(await until(2)).toEqual(["opened", 1006]);
  server.removeAllListeners("upgrade").on("upgrade", (_, socket) => socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n"));
  const refused = open();
  expect(await refused.until(1)).toEqual([1006]);
});

test("nothing is heard after close", async () => {
  const { heard, until } = open();
  await until(1);
  connection?.close();
  push(encodeDown({ type: "drained", request: 0 }));
  peerSocket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(heard).toEqual(["opened"]);
});
