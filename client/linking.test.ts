import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RendezvousCore } from "../durable-objects/rendezvous/core.ts";
import { NodeStorage } from "../durable-objects/runtime/node-storage.ts";
import { fromBase64url, toBase64url } from "../shared/base64url.ts";
import type { ErrorCode } from "../shared/errors.ts";
import { DEVICE_LINK_TTL_MS, MAX_LINK_MESSAGE_BYTES, MAX_LINK_MESSAGES } from "../shared/limits.ts";
import { ChatError } from "./chat-error.ts";
import type { LinkChannel } from "./link-channel.ts";
import { agreeOnCiphers, joinBytes, MAX_LINK_PAYLOAD_BYTES, makeEphemeralKey } from "./link-cipher.ts";
import { type LinkCode, PUBLIC_KEY_BYTES, readLinkCode, writeLinkCode } from "./link-code.ts";
import { approveLink, type NewDevice, type OldDevice, openLink, viewLink } from "./linking.ts";

type Message = { number: number; sealed: string };
type Request = { params?: { link: string }; body?: Record<string, unknown>; token?: string };
type Reply = { ok: true } | { ok: false; code: ErrorCode };

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (from: Uint8Array) => new TextDecoder().decode(from);
const decoded = (sealed: string) => fromBase64url(sealed) ?? new Uint8Array();
const realTimeout = setTimeout;

/**
 * The real object behind the endpoints, in memory. Whoever runs it may do to what it passes on whatever they like.
 */
class Server {
  readonly owner = { user: ulid(), device: ulid() };
  readonly link = ulid();
  readonly asked: string[] = [];
  readonly #core = new RendezvousCore(new NodeStorage());
  /** What a poll of either side is answered instead. */
  meddle: (messages: Message[], side: "new" | "old") => Message[] = (messages) => messages;
  /** Answers that are lost on their way, by endpoint: the request has had its effect. */
  readonly lost = new Map<string, number>();

  readonly http = { cookie: false, call: this.#call.bind(this) } as unknown as NewDevice["http"];
  readonly session = { call: this.#call.bind(this) } as unknown as OldDevice["session"];

  messages(side: "new" | "old"): Message[] {
    const polled = this.#core.poll({ side, after: 0, ...this.owner }, Date.now());
    return polled.ok ? polled.messages : [];
  }

  async #call({ name }: { name: string }, { params, body = {}, token }: Request = {}): Promise<unknown> {
    this.asked.push(name);
    const isForeign = params !== undefined && params.link !== this.link;
    const lacksToken = /AsNew|complete/.test(name) !== (token === "link token");
    if (isForeign || lacksToken) throw new ChatError("not_found");
    const answer = this.#answer(name, body);
    const losses = this.lost.get(name) ?? 0;
    this.lost.set(name, losses - 1);
    if (losses > 0) throw new ChatError("unavailable");
    return answer;
  }

  #answer(name: string, body: Record<string, unknown>): unknown {
    const [core, now, sealed, after] = [this.#core, Date.now(), body.sealed as string, body.after as number];
    switch (name) {
      case "openDeviceLink":
        return { link: this.link, token: "link token", ...core.open({ deviceName: body.deviceName as string }, now) };
      case "viewDeviceLink":
        return granted(core.view(now)).view;
      case "approveDeviceLink":
        return granted(core.approve({ ...this.owner, sealed }, now));
      case "completeDeviceLink":
        return { ...granted(core.complete(now)), cookie: body.cookie };
      case "sendAsNewDevice":
        return granted(core.send({ side: "new", sealed }, now));
      case "sendAsOldDevice":
        return granted(core.send({ side: "old", ...this.owner, sealed }, now));
      case "pollAsNewDevice":
        return this.#meddled(granted(core.poll({ side: "new", after }, now)), "new");
      case "pollAsOldDevice":
        return this.#meddled(granted(core.poll({ side: "old", ...this.owner, after }, now)), "old");
      default:
        throw new Error(`nobody should ask for ${name}`);
    }
  }

  #meddled<T extends { messages: Message[] }>(polled: T, side: "new" | "old"): T {
    return { ...polled, messages: this.meddle(polled.messages, side) };
  }
}

function granted<T extends Reply>(reply: T): Extract<T, { ok: true }> {
  if (!reply.ok) throw new ChatError(reply.code);
  return reply as Extract<T, { ok: true }>;
}

let server: Server;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  server = new Server();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets the pauses between requests pass at once; what is computed in between takes its time. */
async function soon<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) {
    await new Promise((resolve) => realTimeout(resolve, 1));
    if (!isOver) await vi.advanceTimersToNextTimerAsync();
  }
  return work;
}

const refusal = (work: Promise<unknown>) =>
  soon(work).then(
    () => "nothing was refused",
    (error: unknown) => (error instanceof ChatError ? error.code : error),
  );

const open = (more: Partial<NewDevice> = {}) => openLink({ http: server.http, deviceName: "Tablet", ...more });

async function linked(payload = "account key") {
  const opened = await open();
  const waiting = opened.session();
  const old = await soon(approveLink({ session: server.session }, readLinkCode(opened.qr), bytes(payload)));
  return { old, new: await soon(waiting) };
}

/** The next so many messages that come over the channel. */
async function next(channel: LinkChannel, count = 1): Promise<string[]> {
  const received: string[] = [];
  for await (const payload of channel) {
    received.push(text(payload));
    if (received.length === count) break;
  }
  return received;
}

describe("linking", () => {
  test("shows who asks, passes the payload and signs in", async () => {
    const opened = await open();
    expect(opened.expiresAt).toBe(Date.now() + DEVICE_LINK_TTL_MS);
    const code = readLinkCode(opened.qr);
    expect(await viewLink({ session: server.session }, code)).toMatchObject({ deviceName: "Tablet", state: "waiting" });
    await approveLink({ session: server.session }, code, bytes("account key"));
    const { session, payload } = await soon(opened.session());
    expect(session).toMatchObject({ user: server.owner.user, deviceName: "Tablet", cookie: false });
    expect(text(payload)).toBe("account key");
  });

  test("asks for a cookie where the page keeps its session in one", async () => {
    const opened = await open({ http: { ...server.http, cookie: true } });
    await approveLink({ session: server.session }, readLinkCode(opened.qr), bytes("x"));
    expect((await soon(opened.session())).session).toMatchObject({ cookie: true });
  });

  test("carries messages both ways, in order, and takes up where a reader has stopped", async () => {
    const {
      old,
      new: { channel },
    } = await linked();
    await Promise.all(["o2", "o3", "o4"].map((message) => old.send(bytes(message))));
    await Promise.all(["n1", "n2"].map((message) => channel.send(bytes(message))));
    expect(await soon(next(channel, 2))).toEqual(["o2", "o3"]);
    expect(await soon(next(channel))).toEqual(["o4"]);
    expect(await soon(next(old, 2))).toEqual(["n1", "n2"]);
  });

  test("a reader waits for what is sent later", async () => {
    const {
      old,
      new: { channel },
    } = await linked();
    const reading = next(channel);
    await vi.advanceTimersByTimeAsync(5_000);
    await old.send(bytes("late"));
    expect(await soon(reading)).toEqual(["late"]);
  });

  test("sends what the caller's bytes were when they were given", async () => {
    const {
      old,
      new: { channel },
    } = await linked();
    const buffer = bytes("ab");
    const sent = [old.send(buffer)];
    buffer.set(bytes("cd"));
    sent.push(old.send(buffer));
    buffer.fill(0);
    await Promise.all(sent);
    expect(await soon(next(channel, 2))).toEqual(["ab", "cd"]);
  });

  test.each(["openDeviceLink", "completeDeviceLink"])(
    "tells when the answer to %s is lost: it is asked once",
    async (name) => {
      server.lost.set(name, 1);
      expect(await refusal(linked())).toBe("unavailable");
      expect(server.asked.filter((asked) => asked === name)).toHaveLength(1);
    },
  );

  test("repeats what else has no answer, and nothing arrives twice", async () => {
    for (const name of ["approveDeviceLink", "pollAsNewDevice", "pollAsOldDevice"]) server.lost.set(name, 2);
    const {
      old,
      new: { channel, payload },
    } = await linked();
    expect(text(payload)).toBe("account key");
    for (const name of ["sendAsNewDevice", "sendAsOldDevice"]) server.lost.set(name, 2);
    await soon(Promise.all([old.send(bytes("o2")), old.send(bytes("o3")), channel.send(bytes("n1"))]));
    expect(await soon(next(channel, 2))).toEqual(["o2", "o3"]);
    expect(await soon(next(old))).toEqual(["n1"]);
  });

  test("does not wait for what it is told to ask much later", async () => {
    const { qr } = await open();
    const session = {
      call: () => Promise.reject(new ChatError("rate_limited", { retry: 60_000 })),
    } as unknown as OldDevice["session"];
    const before = Date.now();
    expect(await refusal(approveLink({ session }, readLinkCode(qr), bytes("x")))).toBe("rate_limited");
    expect(Date.now()).toBe(before);
  });

  test("gives up when the link is over, whatever the server says", async () => {
    const opened = await open();
    const before = Date.now();
    expect(await refusal(opened.session())).toBe("not_found");
    expect(Date.now()).toBe(before + DEVICE_LINK_TTL_MS);

    server = new Server();
    const { old } = await linked();
    server.session.call = () => Promise.resolve({ state: "approved", messages: [] } as never);
    expect(await refusal(next(old))).toBe("not_found");
  });

  test("gives up when it is told to", async () => {
    const told = new AbortController();
    const opened = await open({ signal: told.signal });
    const waiting = refusal(opened.session());
    told.abort();
    expect(await waiting).toBe("closed");
    expect(await refusal(opened.session())).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("tells that another device was faster, or that it comes too late", async () => {
    const { qr } = await open();
    const approve = () => refusal(approveLink({ session: server.session }, readLinkCode(qr), bytes("x")));
    expect([await approve(), await approve()]).toEqual(["nothing was refused", "taken"]);
    vi.setSystemTime(Date.now() + DEVICE_LINK_TTL_MS);
    expect(await approve()).toBe("not_found");
  });
});

describe("sizes and numbers", () => {
  test("a message as large as the limit goes, one byte more does not, nor does anything after it", async () => {
    const {
      old,
      new: { channel },
    } = await linked();
    await old.send(new Uint8Array(MAX_LINK_PAYLOAD_BYTES));
    expect(await refusal(old.send(new Uint8Array(MAX_LINK_PAYLOAD_BYTES + 1)))).toBe("too_large");
    expect(await refusal(old.send(bytes("after")))).toBe("too_large");
    expect((await soon(next(channel)))[0]).toHaveLength(MAX_LINK_PAYLOAD_BYTES);
    expect(server.messages("new")).toHaveLength(2);
  });

  test("the largest approval is a message that the server takes", async () => {
    const { qr } = await open();
    const old = approveLink({ session: server.session }, readLinkCode(qr), new Uint8Array(MAX_LINK_PAYLOAD_BYTES));
    await old;
    expect(decoded(server.messages("new")[0]!.sealed)).toHaveLength(MAX_LINK_MESSAGE_BYTES);
    const { qr: other } = await open();
    const tooLarge = approveLink(
      { session: server.session },
      readLinkCode(other),
      new Uint8Array(MAX_LINK_PAYLOAD_BYTES + 1),
    );
    expect(await refusal(tooLarge)).toBe("too_large");
  });

  test("a refused message ends the sending: its number is never used for another", async () => {
    const { old } = await linked();
    const sent = Array.from({ length: MAX_LINK_MESSAGES + 1 }, (_, index) => refusal(old.send(bytes(`o${index}`))));
    const fine = Array(MAX_LINK_MESSAGES - 1).fill("nothing was refused");
    expect(await Promise.all(sent)).toEqual([...fine, "too_many", "too_many"]);
    expect(server.asked.filter((name) => name === "sendAsOldDevice")).toHaveLength(MAX_LINK_MESSAGES);
  });
});

describe("the code", () => {
  test("says the same again when it is read", async () => {
    const { qr } = await open();
    expect(qr).toMatch(/^sandpiper:link\?id=[0-9A-Z]{26}&key=[\w-]{87}&secret=[\w-]{43}$/);
    expect(writeLinkCode(readLinkCode(qr))).toBe(qr);
  });

  test("has a secret and a key of its own each time, and neither reaches the server", async () => {
    const spy = vi.spyOn(server.http, "call");
    const codes = [readLinkCode((await open()).qr), readLinkCode((await open()).qr)];
    expect(new Set(codes.map(({ secret }) => toBase64url(secret))).size).toBe(2);
    expect(new Set(codes.map(({ publicKey }) => toBase64url(publicKey))).size).toBe(2);
    expect(spy.mock.calls.map(([, request]) => request)).toEqual(Array(2).fill({ body: { deviceName: "Tablet" } }));
  });

  const good = {
    id: ulid(),
    key: toBase64url(Uint8Array.of(4, ...new Uint8Array(PUBLIC_KEY_BYTES - 1))),
    secret: toBase64url(new Uint8Array(32)),
  };
  const written = ({ id, key, secret }: typeof good) => `sandpiper:link?id=${id}&key=${key}&secret=${secret}`;

  test.each([
    "",
    "hello",
    "https://sandpiper.example/link",
    "sandpiper:link?",
    written(good).replace("sandpiper:", "sandpiper2:"),
    ` ${written(good)}`,
    `${written(good)}&more=1`,
    written({ ...good, id: "01ARZ3NDEKTSV4RRFFQ69G5FA" }),
    written({ ...good, id: good.id.toLowerCase() }),
    written({ ...good, id: "../../../v1/me" }),
    written({ ...good, key: good.key.slice(1) }),
    written({ ...good, key: `${good.key}A` }),
    written({ ...good, key: `${good.key.slice(0, -1)}+` }),
    written({ ...good, secret: good.secret.slice(2) }),
    written({ ...good, secret: `${good.secret.slice(0, -1)}=` }),
    "sandpiper:link?".repeat(10_000),
  ])("is refused if it is nonsense: %.60s", (nonsense) => {
    expect(() => readLinkCode(nonsense)).toThrow(expect.objectContaining({ name: "ChatError", code: "link_invalid" }));
  });

  test("with a key that is no point of the curve is refused before anything is asked", async () => {
    const code = readLinkCode(written(good));
    expect(await refusal(approveLink({ session: server.session }, code, bytes("x")))).toBe("link_invalid");
    expect(server.asked).toEqual([]);
  });
});

describe("a server that lies", () => {
  /** What it does to the approval on its way to the new device, which must not sign in then. */
  async function afterApproval(
    change: (approval: Uint8Array<ArrayBuffer>, code: LinkCode) => Promise<Uint8Array> | Uint8Array,
  ) {
    const opened = await open();
    const code = readLinkCode(opened.qr);
    await approveLink({ session: server.session }, code, bytes("account key"));
    const [approval] = server.messages("new");
    const changed = toBase64url(await change(decoded(approval!.sealed), code));
    server.meddle = () => [{ number: 1, sealed: changed }];
    const refused = await refusal(opened.session());
    return { refused, signedIn: server.asked.includes("completeDeviceLink") };
  }
  const caught = { refused: "tampered", signedIn: false };

  test("is let through if it changes nothing", async () => {
    expect(await afterApproval((approval) => approval)).toEqual({ refused: "nothing was refused", signedIn: true });
  });

  test.each<[string, (approval: Uint8Array<ArrayBuffer>) => Uint8Array]>([
    ["changes a bit of the payload", (approval) => approval.with(PUBLIC_KEY_BYTES, approval[PUBLIC_KEY_BYTES]! ^ 1)],
    ["changes a bit of the tag", (approval) => approval.with(-1, approval.at(-1)! ^ 1)],
    ["changes a bit of the key", (approval) => approval.with(9, approval[9]! ^ 1)],
    ["cuts the end off", (approval) => approval.subarray(0, -1)],
    ["cuts all but the key off", (approval) => approval.subarray(0, PUBLIC_KEY_BYTES)],
    ["cuts into the key", (approval) => approval.subarray(0, PUBLIC_KEY_BYTES - 1)],
    ["sends nothing", () => new Uint8Array()],
    ["adds to the end", (approval) => joinBytes(approval, bytes("x"))],
  ])("is caught when it %s", async (_, change) => {
    expect(await afterApproval(change)).toEqual(caught);
  });

  test("is caught when it approves in the device's place: it has not seen the secret", async () => {
    const result = await afterApproval(async (_, code) => {
      const own = await makeEphemeralKey();
      const guessed = { ...code, secret: new Uint8Array(32) };
      const keys = { theirs: code.publicKey, oldKey: own.publicKey };
      const ciphers = await agreeOnCiphers(guessed, own.privateKey, keys);
      return joinBytes(own.publicKey, await ciphers.new.seal(1, bytes("the server's key")));
    });
    expect(result).toEqual(caught);
  });

  test("is caught when it puts its own key before what the device has sealed", async () => {
    const { publicKey } = await makeEphemeralKey();
    const result = await afterApproval((approval) => joinBytes(publicKey, approval.subarray(PUBLIC_KEY_BYTES)));
    expect(result).toEqual(caught);
  });

  test("is caught when it passes off one link's approval as another's", async () => {
    const foreign = new Server();
    const opened = await openLink({ http: foreign.http, deviceName: "Other" });
    await approveLink({ session: foreign.session }, readLinkCode(opened.qr), bytes("x"));
    expect(await afterApproval(() => decoded(foreign.messages("new")[0]!.sealed))).toEqual(caught);
  });

  test("is caught even with the secret when it leads the old device to another link", async () => {
    const result = await afterApproval(async (_, code) => {
      const old = await makeEphemeralKey();
      const elsewhere = { ...code, link: ulid() };
      const ciphers = await agreeOnCiphers(elsewhere, old.privateKey, {
        theirs: code.publicKey,
        oldKey: old.publicKey,
      });
      return joinBytes(old.publicKey, await ciphers.new.seal(1, bytes("x")));
    });
    expect(result).toEqual(caught);
  });

  /** What it does to three messages on their way; what was received until it was noticed. */
  async function afterMessages(to: "new" | "old", change: (messages: Message[], others: Message[]) => Message[]) {
    const {
      old,
      new: { channel },
    } = await linked();
    const [sender, receiver] = to === "new" ? [old, channel] : [channel, old];
    for (const message of ["a", "b", "c"]) await sender.send(bytes(message));
    for (let count = 0; count < 5; count++) await receiver.send(bytes("back"));
    const first = to === "new" ? 1 : 0;
    const sent = server.messages(to).slice(first);
    const others = server.messages(to === "new" ? "old" : "new");
    const changed = change(sent, others).map(({ sealed }, index) => ({ number: first + index + 1, sealed }));
    server.meddle = (_, side) => (side === to ? changed : []);
    const received: string[] = [];
    const reading = (async () => {
      for await (const payload of receiver) received.push(text(payload));
    })();
    return [...received, await refusal(reading), ...received];
  }

  const changes: [string, (messages: Message[], others: Message[]) => Message[], string[]][] = [
    ["changes their order", ([a, b, c]) => [a!, c!, b!], ["a"]],
    ["sends one twice", ([a, b, c]) => [a!, a!, b!, c!], ["a"]],
    ["leaves one out and moves the next up", ([a, _, c]) => [a!, c!], ["a"]],
    ["leaves the first out", ([_, b, c]) => [b!, c!], []],
    [
      "reflects what the receiver has sent with that very number",
      (messages, others) => [...messages, others.find(({ number }) => number === messages.at(-1)!.number + 1)!],
      ["a", "b", "c"],
    ],
    ["cuts one short", ([a, b]) => [a!, { ...b!, sealed: b!.sealed.slice(0, -4) }], ["a"]],
    ["empties one", ([a, b]) => [a!, { ...b!, sealed: "" }], ["a"]],
    ["sends what is no base64url", ([a]) => [a!, { number: 0, sealed: "+++=" }], ["a"]],
  ];
  describe.each(["new", "old"] as const)("to the %s device", (to) => {
    test.each(changes)("is caught when it %s", async (_, change, before) => {
      expect(await afterMessages(to, change)).toEqual(["tampered", ...before]);
    });
  });

  test.each([
    ["again", 1],
    ["beyond the next", 3],
  ])("is caught when it numbers a message %s", async (_, number) => {
    const {
      old,
      new: { channel },
    } = await linked();
    await old.send(bytes("b"));
    server.meddle = (messages) => messages.map((message) => ({ ...message, number }));
    expect(await refusal(next(channel))).toBe("tampered");
  });

  test("that keeps the last message back makes no end of what it lets through", async () => {
    const {
      old,
      new: { channel },
    } = await linked();
    for (const message of ["b", "c"]) await old.send(bytes(message));
    server.meddle = (messages) => messages.filter(({ number }) => number < 3);
    expect(await refusal(next(channel, 2))).toBe("not_found");
  });

  test("finds nothing of what is said in what passes through it", async () => {
    const {
      old,
      new: { channel },
    } = await linked("plain account key");
    await old.send(bytes("plain history key"));
    await channel.send(bytes("plain answer"));
    const passed = [...server.messages("new"), ...server.messages("old")].map(({ sealed }) => text(decoded(sealed)));
    expect(passed).toHaveLength(3);
    expect(passed.join()).not.toContain("plain");
  });
});
