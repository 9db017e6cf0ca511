import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { getArchiveChunk, putArchiveChunk } from "../shared/api/archives.ts";
import { listDevices, renameDevice } from "../shared/api/devices.ts";
import { findUsername } from "../shared/api/people.ts";
import { exportAccount } from "../shared/api/rights.ts";
import { HTTP_TIMEOUT_MS } from "../shared/limits.ts";
import { Http } from "./http.ts";
import { device, refusal, TestServer, url, user } from "./test-server.ts";

let server: TestServer;
beforeEach(() => {
  server = new TestServer();
  vi.stubGlobal("fetch", server.fetch);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a call", () => {
  test("takes path and method from its endpoint, and brings parameters, body and token", async () => {
    server.on(`PATCH /v1/devices/${device}`, () => undefined);
    const request = { params: { device }, body: { name: "Laptop" }, token: "t" };
    expect(await new Http(`${url}/`).call(renameDevice, request)).toBeUndefined();
    const [asked] = server.asked;
    expect(asked?.body).toEqual({ name: "Laptop" });
    expect(Object.fromEntries(asked?.headers ?? [])).toEqual({
      "content-type": "application/json",
      authorization: "Bearer t",
    });
  });

  test("sends neither cookies nor a body nor a token unless it is told to", async () => {
    server.on("GET /v1/devices", () => ({ devices: [] }));
    expect(await new Http(url).call(listDevices)).toEqual({ devices: [] });
    await new Http(url, { cookie: true }).call(listDevices);
    expect(server.asked.map(({ credentials }) => credentials)).toEqual([undefined, "include"]);
    expect([...(server.asked[0]?.headers ?? [])]).toEqual([]);
  });

  test("a parameter cannot leave its place in the path", async () => {
    const request = { params: { device: "../../v1/me?x#y" }, body: { name: "x" } };
    await expect(new Http(url).call(renameDevice, request)).rejects.toMatchObject({ code: "not_found" });
    expect(server.paths).toEqual(["PATCH /v1/devices/..%2F..%2Fv1%2Fme%3Fx%23y"]);
  });

  test("what one answer has seen, the next read sees too", async () => {
    const bookmarks = ["b1", undefined, "b2"];
    server.on("GET /v1/devices", () => {
      const bookmark = bookmarks.shift();
      return Response.json({ devices: [] }, { headers: bookmark ? { "sandpiper-bookmark": bookmark } : {} });
    });
    const http = new Http(url);
    for (let count = 0; count < 4; count++) await http.call(listDevices);
    expect(server.asked.map(({ headers }) => headers.get("sandpiper-bookmark"))).toEqual([null, "b1", "b1", "b2"]);
    await new Http(url).call(listDevices);
    expect(server.asked.at(-1)?.headers.has("sandpiper-bookmark")).toBe(false);
  });

  test("a file comes as bytes", async () => {
    const bytes = new Uint8Array([80, 75, 0, 255]);
    server.on("GET /v1/me/export", () => bytes);
    expect(await new Http(url).download(exportAccount)).toEqual(bytes);
  });

  test("bytes go and come as they are, and are declared as such", async () => {
    const chunk = new Uint8Array([0, 255, 10, 13]);
    const params = { archive: "AAAAAAAAAAAAAAAAAAAAAA", number: 7 };
    const path = `/v1/archives/${params.archive}/chunks/7`;
    server.on(`PUT ${path}`, () => undefined).on(`GET ${path}`, () => chunk);
    expect(await new Http(url).call(putArchiveChunk, { params, body: chunk })).toBeUndefined();
    expect(server.asked[0]?.body).toEqual(chunk);
    expect(server.asked[0]?.headers.get("content-type")).toBe("application/octet-stream");
    expect(await new Http(url).call(getArchiveChunk, { params })).toEqual(chunk);
  });

  test("an answer that never comes is given up", async () => {
    vi.useFakeTimers();
    const timeout = vi.spyOn(AbortSignal, "timeout");
    server.on("GET /v1/devices", () => ({ devices: [] }));
    await new Http(url).call(listDevices);
    await new Http(url).call(listDevices, { timeoutMs: 5 });
    expect(timeout.mock.calls).toEqual([[HTTP_TIMEOUT_MS], [5]]);
    timeout.mockReturnValue(AbortSignal.abort());
    vi.stubGlobal("fetch", async (_: URL, { signal }: RequestInit) => signal?.throwIfAborted());
    await expect(new Http(url).call(listDevices)).rejects.toMatchObject({ code: "unavailable", retryable: true });
  });
});

describe("a refusal", () => {
  const details = { triesLeft: 2, proof: "p", canReset: true };
  test.each([
    [
      "problem details keep code, retry, request and what else they say",
      () => refusal("rate_limited", 429, { headers: { "retry-after": "3" }, details }),
      { code: "rate_limited", retryAfterMs: 3_000, retryable: true, requestId: "r1", details },
    ],
    [
      "a refusal for good is not retryable",
      () => refusal("unauthenticated", 401),
      { code: "unauthenticated", retryable: false, details: {} },
    ],
    [
      "an answer that is not ours is a passing failure",
      () => new Response("<html>", { status: 502 }),
      { code: "unavailable", retryable: true },
    ],
    ["so is a success that makes no sense", () => ({ user, name: 7 }), { code: "unavailable", retryable: true }],
    ["and one that breaks off", () => new Response("{"), { code: "unavailable", retryable: true }],
    ["and no network", () => new TypeError("fetch failed"), { code: "unavailable", retryable: true }],
  ])("%s", async (_, answer, error) => {
    server.on("POST /v1/usernames/find", answer);
    await expect(new Http(url).call(findUsername, { body: { username: "ada" } })).rejects.toMatchObject({
      name: "ChatError",
      ...error,
    });
  });
});
