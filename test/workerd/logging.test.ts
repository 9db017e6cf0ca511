import { exports } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UserCore } from "../../durable-objects/user/core.ts";
import { UserObject } from "../../durable-objects/user/object.ts";
import { updateMe } from "../../shared/api/people.ts";
import { directConversation } from "../../shared/ids.ts";
import { encodeUp } from "../../shared/protocol/codec.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { sealedBytes } from "../sealed.ts";
import { type Account, call, newPhone, signUp } from "./accounts.ts";
import { eventually } from "./device.ts";
import { conversation, fireAlarm, openGroup, person, sendsToQueue } from "./objects.ts";

/** Stands in for everything that only people may see; each thing gets one of its own. */
const marker = (name: string) => `marker-${name}-${ulid()}`;

const levels = ["debug", "info", "log", "warn", "error"] as const;
let lines: string[] = [];

beforeEach(() => {
  lines = [];
  for (const level of levels) {
    vi.spyOn(console, level).mockImplementation((...args: unknown[]) => {
      const isCode = typeof args[0] === "string" && args[0].startsWith("Sandpiper code for ");
      // A developer's way to learn a code, and no log line: it exists in development alone.
      if (isCode) return;
      lines.push(args.map((arg) => (typeof arg === "string" ? arg : JSON.stringify(arg))).join(" "));
    });
  }
});
afterEach(() => vi.restoreAllMocks());

const logged = (event: string) => lines.map((line) => JSON.parse(line)).filter((line) => line.event === event);

interface SignedIn extends Account {
  readonly phone: string;
}

const post = (path: string, headers: Record<string, string>, body?: object) =>
  exports.default.fetch(
    new Request(`http://127.0.0.1${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    }),
  );

async function signIn(name: string, deviceName: string): Promise<SignedIn> {
  const phone = newPhone();
  const account = await signUp(phone, { device: { name: deviceName } });
  expect((await call(updateMe, { token: account.accessToken, body: { name, about: name } })).status).toBe(204);
  return { ...account, phone };
}

/** Opens a socket the way a device does, from ticket to welcome. */
async function connect({ accessToken }: SignedIn, client: string) {
  const asked = await post("/v1/connect-ticket", { authorization: `Bearer ${accessToken}` });
  const { ticket } = (await asked.json()) as { ticket: string };
  const response = await exports.default.fetch(
    new Request("http://127.0.0.1/v1/connect", {
      headers: { upgrade: "websocket", "sec-websocket-protocol": `${SUBPROTOCOL}, ${TICKET_PREFIX}${ticket}` },
    }),
  );
  const socket = response.webSocket!;
  const frames: string[] = [];
  socket.addEventListener("message", ({ data }) => {
    frames.push(typeof data === "string" ? data : "binary");
  });
  socket.accept();
  socket.send(JSON.stringify({ type: "hello", client }));
  await eventually(() => expect(frames.some((frame) => frame.includes("drained"))).toBe(true));
  return { ticket, socket, frames, requestId: response.headers.get("x-request-id")! };
}

const sendText = (socket: WebSocket, chat: string, text: string) =>
  socket.send(encodeUp({ type: "send", id: ulid(), conversation: chat }, sealedBytes(chat, 1, text)));

async function scene() {
  const secrets = Object.fromEntries(
    ["name", "device", "client", "text", "bad-frame", "unknown", "query", "header", "queue", "core", "peer"].map(
      (part) => [part, marker(part)],
    ),
  ) as Record<string, string>;
  const [alice, bob] = [await signIn(secrets.name!, secrets.device!), await signIn(secrets.peer!, secrets.device!)];
  const link = await connect(alice, secrets.client!.slice(0, 64));
  const chat = directConversation(alice.user, bob.user);
  await openGroup(chat);
  return { secrets, alice, bob, link, chat };
}

describe("R11 no log line", () => {
  it("holds a text, a name, a token or a frame, whatever succeeds or fails", async () => {
    const { secrets, alice, bob, link, chat } = await scene();
    const pushes = sendsToQueue().mockRejectedValueOnce(new Error(secrets.queue));
    sendText(link.socket, chat, secrets.text!);
    await eventually(() => expect(link.frames.some((frame) => frame.includes('"sent"'))).toBe(true));
    await eventually(() => expect(pushes).toHaveBeenCalledTimes(2));

    // What fails: frames, requests, calls, cores.
    for (const wire of [secrets["bad-frame"]!, JSON.stringify({ type: secrets.unknown, conversation: secrets.text })]) {
      link.socket.send(wire);
    }
    await eventually(() => expect(link.frames.filter((frame) => frame.includes('"error"'))).toHaveLength(2));
    const requests = [
      new Request(`http://127.0.0.1/v1/connect?x=${secrets.query}`, { headers: { "x-request-id": secrets.header! } }),
      new Request(`http://127.0.0.1/v1/${secrets.query}`, { headers: { authorization: `Bearer ${secrets.header}` } }),
      new Request(`http://127.0.0.1/v1/connect-ticket?access_token=${alice.accessToken}`, { method: "POST" }),
    ];
    for (const request of requests) expect((await exports.default.fetch(request)).status).toBeGreaterThanOrEqual(400);
    const bad = { conversation: secrets.text, entries: [{ body: secrets.text }] };
    await expect(Promise.resolve(person(bob.user).deliver(bad as never))).rejects.toThrow(/^(?:Error: )?bad_frame$/);
    vi.spyOn(UserObject.prototype, "deliver").mockRejectedValueOnce(new TypeError(secrets.core));
    const other = await connect(bob, "test");
    sendText(link.socket, chat, secrets.text!);
    await eventually(() => expect(logged("deliver.failed")).toHaveLength(1));
    vi.spyOn(UserCore.prototype, "handle").mockImplementationOnce(() => {
      throw new TypeError(secrets.core);
    });
    other.socket.send(JSON.stringify({ type: "ack", conversation: chat, seq: 1 }));
    await eventually(() => expect(logged("user.failed")).toHaveLength(1));
    await fireAlarm(conversation(chat));
    link.socket.close();
    await eventually(() => expect(logged("socket.closed").length).toBeGreaterThanOrEqual(1));

    const tokens = [alice, bob].flatMap(({ accessToken, refreshToken }) => [accessToken, refreshToken]);
    tokens.push(link.ticket, other.ticket);
    const signatures = tokens.flatMap((token) => token.split(".").slice(1));
    const all = lines.join("\n");
    expect(lines.length).toBeGreaterThan(10);
    const numbers = [alice, bob].flatMap(({ phone }) => [phone.slice(1), phone.slice(-7)]);
    for (const secret of [...Object.values(secrets), ...tokens, ...signatures, ...numbers])
      expect(all).not.toContain(secret);
    expect(all).not.toContain("marker-");
    expect(JSON.stringify(pushes.mock.calls)).not.toContain("marker-");
  });

  it("is anything but one JSON object with time, level, event and fields from the list", async () => {
    const { link, chat, secrets } = await scene();
    sendText(link.socket, chat, secrets.text!);
    await eventually(() => expect(link.frames.some((frame) => frame.includes('"sent"'))).toBe(true));
    link.socket.close();
    await eventually(() => expect(logged("socket.closed")).toHaveLength(1));
    for (const line of lines) {
      expect(line).not.toContain("\n");
      expect(JSON.parse(line)).toMatchObject({
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        level: expect.stringMatching(/^(?:debug|info|warn|error)$/),
        event: expect.stringMatching(/^[a-z_]+\.?[a-z_]+$/),
      });
    }
  });
});

describe("a connection's request id", () => {
  it("names it from the gateway to the person's object", async () => {
    const { alice, link } = await scene();
    expect(logged("http.request")).toContainEqual(
      expect.objectContaining({ requestId: link.requestId, route: "/v1/connect", status: 101 }),
    );
    expect(logged("socket.opened")).toMatchObject([
      { requestId: link.requestId, user: alice.user, device: alice.device, epoch: 1 },
    ]);
    link.socket.close();
    await eventually(() => expect(logged("socket.closed")).toMatchObject([{ requestId: link.requestId }]));
  });

  it("is in the conversation's lines and in the push job of what its device sends", async () => {
    const { secrets, bob, link, chat } = await scene();
    const pushes = sendsToQueue();
    sendText(link.socket, chat, secrets.text!);
    await eventually(() => expect(pushes).toHaveBeenCalled());
    expect(pushes.mock.calls.map(([job]) => job)).toEqual([
      {
        user: bob.user,
        devices: [bob.device],
        conversation: chat,
        at: expect.any(Number),
        requestId: link.requestId,
      },
    ]);
    vi.spyOn(UserObject.prototype, "deliver").mockRejectedValue(new Error("down"));
    await connect(bob, "test");
    sendText(link.socket, chat, secrets.text!);
    await eventually(() => {
      expect(logged("deliver.failed")).toMatchObject([
        { requestId: link.requestId, conversation: chat, user: bob.user },
      ]);
    });
  });
});
