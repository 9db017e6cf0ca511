import assert from "node:assert/strict";
import { strFromU8, unzipSync } from "fflate";
import { listDevices, renameDevice } from "../../shared/api/devices.ts";
import { endpoints } from "../../shared/api/index.ts";
import { findUsername, getMe, reserveUsername, setPin, updateMe, viewPerson } from "../../shared/api/people.ts";
import { exportAccount } from "../../shared/api/rights.ts";
import { health } from "../../shared/api/service.ts";
import { requestCode } from "../../shared/api/sign-in.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_FRAME_BYTES } from "../../shared/limits.ts";
import { cases } from "./case.ts";
import { expectRefusal, paramsFor } from "./http.ts";
import type { Account, World } from "./world.ts";

const sql = [
  "' OR 1=1 --",
  "'; DROP TABLE user; --",
  '" OR ""="',
  "Robert'); DELETE FROM user; --",
  "1; ATTACH DATABASE 'x' AS y",
  "%' OR name LIKE '%",
  "{{7*7}}<%= 7*7 %>",
  "x\u0000y",
];
const markup = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  '"><svg/onload=alert(1)>',
  "</title><script>alert(1)</script>",
  "<a href='javascript:alert(1)'>x</a>",
  "&lt;script&gt;",
  "]]><b>",
];
const operators: unknown[] = [{ $gt: "" }, { $ne: null }, ["x"], [{ $gt: "" }], { toString: "x" }, 7, true, null];

function patchMe(world: World, account: Account, body: unknown) {
  return world.http.ask(updateMe, world.as(account, { body }));
}

/** As it came, whatever it says it is. */
function post(
  world: World,
  body: NonNullable<RequestInit["body"]>,
  type = "application/json",
  headers: Record<string, string> = {},
) {
  return world.http.send("/v1/sign-in/code", { method: "POST", body, headers: { "content-type": type, ...headers } });
}

const bodies = cases("Injection", {
  "SQL in names, texts and searches is a text like any other": async (world) => {
    const account = await world.signUp();
    for (const payload of sql) {
      assert.equal((await patchMe(world, account, { name: payload, about: payload })).status, 204, payload);
      const { name, about } = await world.http.get(getMe, world.as(account));
      assert.deepEqual([name, about], [payload, payload]);
      await world.http.get(
        renameDevice,
        world.as(account, { params: { device: account.device }, body: { name: payload } }),
      );
      const { devices } = await world.http.get(listDevices, world.as(account));
      assert.deepEqual(
        devices.map((device) => device.name),
        [payload],
      );
      for (const endpoint of [findUsername, reserveUsername]) {
        expectRefusal(
          await world.http.ask(endpoint, world.as(account, { body: { username: payload } })),
          400,
          "bad_frame",
        );
      }
    }
    await world.signUp();
  },

  "operators in place of texts are refused": async (world) => {
    const account = await world.signUp();
    for (const payload of operators) {
      expectRefusal(await patchMe(world, account, { name: payload }), 400, "bad_frame");
      expectRefusal(await world.http.ask(setPin, world.as(account, { body: { pin: payload } })), 400, "bad_frame");
      expectRefusal(
        await world.http.ask(findUsername, world.as(account, { body: { username: payload } })),
        400,
        "bad_frame",
      );
      expectRefusal(await world.http.ask(requestCode, { body: { phone: payload } }), 400, "bad_frame");
    }
  },

  "every body of every endpoint, as anything but what it should be": async (world) => {
    const account = await world.signUp();
    const params = { ...paramsFor(account.user), device: account.device };
    for (const endpoint of endpoints.filter(({ body }) => body)) {
      for (const body of [null, [], "x", 7, true, [{}]]) {
        const answer = await world.http.ask(endpoint, world.as(account, { params, body }));
        // What asks for another token than a device's looks at that first.
        if (answer.status === 401 && endpoint.access === "link") continue;
        if (answer.status === 429) continue;
        expectRefusal(answer, 400, "bad_frame", `${endpoint.name} with ${JSON.stringify(body)}`);
      }
    }
  },

  "prototypes in bodies change nothing": async (world) => {
    const account = await world.signUp();
    const headers = { authorization: `Bearer ${account.accessToken}`, "content-type": "application/json" };
    const patch = (body: string) => world.http.send("/v1/me", { method: "PATCH", body, headers });
    for (const body of ['{"__proto__":{"name":"x"}}', '{"name":"x","__proto__":{"polluted":true,"isAdmin":true}}']) {
      expectRefusal(await patch(body), 400, "bad_frame", body);
    }
    const odd = '{"name":"Kim","constructor":{"prototype":{"polluted":true,"isAdmin":true}}}';
    assert.equal((await patch(odd)).status, 204);
    const me = await world.http.get(getMe, world.as(account));
    assert.equal(me.name, "Kim");
    assert.ok(!("polluted" in me) && !("isAdmin" in me));
  },

  "bodies that are no JSON, deep, or of another type": async (world) => {
    const notJson = ["", "x", "{", "{]", "undefined", "NaN", "{'phone':'x'}", '{"phone":"x"} x', "\u0000", "%7B%7D"];
    for (const body of notJson) expectRefusal(await post(world, body), 400, "bad_frame");
    const deep = [
      "[".repeat(60_000),
      `${'{"a":'.repeat(9_000)}1${"}".repeat(9_000)}`,
      `{"phone":${"[".repeat(30_000)}${"]".repeat(30_000)}}`,
    ];
    for (const body of deep) expectRefusal(await post(world, body), 400, "bad_frame");
    expectRefusal(await post(world, new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])), 400, "bad_frame");
    const fine = JSON.stringify({ phone: world.newPhone() });
    const types = [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data",
      "application/jsonx",
      "text/json",
      "",
    ];
    for (const type of types) expectRefusal(await post(world, fine, type), 400, "bad_frame");
  },

  "a body over 64 KiB is refused with 413": async (world) => {
    const giant = JSON.stringify({ phone: "x".repeat(MAX_FRAME_BYTES) });
    expectRefusal(await post(world, giant), 413, "too_large");
  },

  "names and texts beyond their length, or of nothing": async (world) => {
    const account = await world.signUp();
    for (const body of [
      { name: "" },
      { name: "   " },
      { name: "x".repeat(65) },
      { about: "x".repeat(141) },
      { discoverable: "no" },
    ]) {
      expectRefusal(await patchMe(world, account, body), 400, "bad_frame");
    }
    for (const text of ["x\r\nset-cookie: a=b", "\u202Egnp.exe", "\uD800", "👩‍👩‍👧‍👦".repeat(3)]) {
      const answer = await patchMe(world, account, { name: text });
      assert.ok([204, 400].includes(answer.status), `${answer.status}`);
      assert.equal(answer.headers.get("set-cookie"), null);
      await world.http.get(getMe, world.as(account));
    }
  },
});

const pages = cases("Injection", {
  "names are never markup: in the export a page shows them as they are": async (world) => {
    const account = await world.signUp();
    for (const payload of markup.slice(0, 3)) {
      await patchMe(world, account, { name: payload, about: markup.join(" ").slice(0, 140) });
      const params = { device: account.device };
      await world.http.get(renameDevice, world.as(account, { params, body: { name: payload } }));
      const answer = await world.http.ask(exportAccount, world.as(account));
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("content-type"), "application/zip");
      assert.match(answer.headers.get("content-disposition") ?? "", /^attachment/);
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      const files = unzipSync(answer.bytes);
      const html = strFromU8(files["account.html"]!);
      assert.doesNotMatch(html, /<script|<img|<svg|<a |javascript:alert\(1\)'>|onerror=alert\(1\)>/);
      assert.match(html, /&lt;(script|img|svg)|&quot;&gt;&lt;svg/);
      assert.ok(strFromU8(files["account.json"]!).includes(JSON.stringify(payload)));
    }
  },

  "answers are JSON that no page takes for markup, and say nothing of what was asked": async (world) => {
    const account = await world.signUp();
    await patchMe(world, account, { name: markup[0] });
    const answer = await world.http.ask(viewPerson, world.as(account, { params: { user: account.user } }));
    assert.match(answer.headers.get("content-type") ?? "", /^application\/json/);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    for (const path of ["/v1/<script>alert(1)</script>", "/<img src=x>", "/v1/users/<b>", "/%3Cscript%3E"]) {
      const refused = await world.http.send(path);
      assert.ok(refused.status === 404 || refused.status === 401, `${path}: ${refused.status}`);
      assert.doesNotMatch(refused.text, /script|img|<b>/);
    }
  },

  "paths that lead elsewhere lead nowhere": async (world) => {
    const { accessToken } = await world.signUp();
    const headers = { authorization: `Bearer ${accessToken}` };
    const paths = [
      ["/v1/../v1/me", 200],
      ["/v1/users/../me", 200],
      ["/v1/users/..%2Fme", 404],
      ["/v1/users/%2e%2e%2fme", 404],
      ["/v1//me", 404],
      ["/v1/me/", 404],
      ["/V1/ME", 404],
      ["/v1/me%00", 404],
      ["/v1/me;x=1", 404],
      ["/v1/users/%E0%A4%A", 404],
      ["/v1/users/%ff", 404],
      ["/.dev.vars", 404],
      ["/wrangler.toml", 404],
      ["/cdn-cgi/../v1/me", 200],
      ["/do/call/issueCode", 404],
      ["/cdn-cgi/explorer", 404],
      ["/cdn-cgi/explorer/api/d1/database", 404],
      ["/v1/dev/sign-in", 404],
    ] as const;
    for (const [path, status] of paths) {
      const answer = await world.http.sendAsIs("GET", path, headers);
      const isRight = answer.status === status || answer.status === 404;
      assert.ok(isRight, `${path}: ${answer.status} ${answer.text.slice(0, 80)}`);
    }
    assert.equal((await world.http.sendAsIs("GET", `/v1/me${"/x".repeat(4_000)}`, headers)).status, 404);
  },

  "methods that a path does not have": async (world) => {
    const tries = [
      ["PUT", "/v1/sign-in"],
      ["GET", "/v1/sign-in/code"],
      ["DELETE", "/health"],
      ["POST", "/v1/me/export"],
    ];
    for (const [method = "", path = ""] of tries) {
      const answer = await world.http.send(path, { method });
      expectRefusal(answer, 405, "method_not_allowed");
      assert.notEqual(answer.headers.get("allow"), null);
    }
    expectRefusal(await world.http.send("/v1/me", { method: "PROPFIND" }), 405, "method_not_allowed");
  },
});

const origins = cases("Injection", {
  "pages of foreign origins can neither ask nor read, with cookies or without": async (world) => {
    const account = await world.signUp();
    const own = world.http.url;
    for (const origin of ["https://evil.example", "null", `${own}.evil.example`, "http://127.0.0.1", "file://"]) {
      const headers = {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
      };
      const preflight = await world.http.send("/v1/session/refresh", { method: "OPTIONS", headers });
      assert.equal(preflight.headers.get("access-control-allow-origin"), null, origin);
      assert.equal(preflight.headers.get("access-control-allow-credentials"), null, origin);
      const asked = await world.http.ask(getMe, world.as(account, { headers: { origin } }));
      expectRefusal(asked, 403, "forbidden_origin");
      assert.equal(asked.headers.get("access-control-allow-origin"), null);
    }
  },

  "an allowed page may, and no answer is for everybody": async (world) => {
    const account = await world.signUp();
    const origin = world.http.url;
    const answer = await world.http.ask(getMe, world.as(account, { headers: { origin } }));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("access-control-allow-origin"), origin);
    assert.match(answer.headers.get("vary") ?? "", /origin/i);
    const open = await world.http.ask(health, { headers: { origin: "https://evil.example" } });
    assert.equal(open.headers.get("access-control-allow-credentials"), null);
  },

  "answers about a person are kept by no cache": async (world) => {
    const account = await world.signUp();
    for (const endpoint of endpoints.filter(({ access, method }) => access === "device" && method === "get")) {
      const params = paramsFor(account.user);
      const answer = await world.http.ask(endpoint, world.as(account, { params }));
      assert.equal(answer.headers.get("cache-control"), "no-store", endpoint.name);
    }
  },

  "what is written to somebody comes as it was, whatever it is": async (world) => {
    const [one, other] = await world.friends();
    const [lineOfOne, lineOfOther] = [await world.connect(one), await world.connect(other)];
    const chat = directConversation(one.user, other.user);
    for (const payload of [...sql, ...markup]) {
      assert.equal(typeof (await lineOfOne.send(chat, payload)), "number");
      await lineOfOther.text(payload);
    }
    await Promise.all([lineOfOne.close(), lineOfOther.close()]);
  },
});

export const injection = [...bodies, ...pages, ...origins];
