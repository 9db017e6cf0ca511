import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import * as api from "../../shared/api/archives.ts";
import type { Endpoint } from "../../shared/api/endpoint.ts";
import {
  ARCHIVE_CHUNK_BYTES,
  ARCHIVE_TAG_BYTES,
  MAX_ARCHIVE_BYTES_PER_USER,
  MAX_ARCHIVE_CHUNKS,
  MAX_ARCHIVE_MANIFEST_BYTES,
  MAX_ARCHIVES_PER_USER,
  personBuckets,
} from "../../shared/limits.ts";
import { cases } from "./case.ts";
import { type Asked, expectRefusal, lookOf } from "./http.ts";
import type { Account, World } from "./world.ts";

const newId = (): string => randomBytes(16).toString("base64url");
const envelope = randomBytes(200).toString("base64url");
const chunk = Buffer.from("sealed, and nobody's business");
const at = (archive: string, number = "0"): Asked => ({ params: { archive, number } });

async function begin(world: World, owner: Account, archive: string, chunks = 2): Promise<void> {
  await world.http.get(api.beginArchive, world.as(owner, { ...at(archive), body: { chunks } }));
}

/** Somebody's backup. */
async function backedUp(world: World, archive = newId()): Promise<{ owner: Account; archive: string; keyId: string }> {
  const [owner, keyId] = [await world.signUp(), newId()];
  await begin(world, owner, archive);
  await world.http.get(api.putArchiveChunk, world.as(owner, { ...at(archive), body: chunk }));
  await world.http.get(api.putArchiveManifest, world.as(owner, { ...at(archive), body: chunk }));
  await world.http.get(api.setBackup, world.as(owner, { body: { archive, keyId, envelope } }));
  return { owner, archive, keyId };
}

async function expectIntact(
  world: World,
  { owner, archive, keyId }: { owner: Account; archive: string; keyId: string },
) {
  const answer = await world.http.ask(api.getArchiveChunk, world.as(owner, at(archive)));
  assert.equal(answer.status, 200);
  assert.deepEqual(Buffer.from(answer.bytes), chunk);
  assert.equal(answer.headers.get("content-type"), "application/octet-stream");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  const backup = await world.http.get(api.viewBackup, world.as(owner));
  assert.deepEqual([backup.archive, backup.keyId, backup.envelope], [archive, keyId, envelope]);
}

const everyOf = (archive: string): [Endpoint, Asked][] => [
  [api.getArchiveChunk, at(archive)],
  [api.putArchiveChunk, { ...at(archive), body: chunk }],
  [api.listArchiveChunks, at(archive)],
  [api.getArchiveManifest, at(archive)],
  [api.putArchiveManifest, { ...at(archive), body: chunk }],
  [api.removeArchive, at(archive)],
  [api.setBackup, { body: { archive, keyId: newId(), envelope } }],
];

/** A request as no client would write it, and the head of what comes back. */
function sendRaw(url: string, head: readonly string[], body: Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((settle) => {
    const socket = connect(Number(port), hostname);
    let answer = "";
    const end = () => {
      socket.destroy();
      settle(answer);
    };
    socket.setTimeout(2_000, end);
    socket.on("data", (data) => {
      answer += data;
      end();
    });
    for (const over of ["end", "error"] as const) socket.once(over, end);
    socket.write(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]));
  });
}

export const archives = cases("Archives", {
  "another's archive is not found, whatever is asked there, and looks like one that does not exist": async (world) => {
    const [victim, eve] = [await backedUp(world), await world.signUp()];
    const absent = everyOf(newId());
    for (const [index, [endpoint, asked]] of everyOf(victim.archive).entries()) {
      const answer = await world.http.ask(endpoint, world.as(eve, asked));
      expectRefusal(answer, 404, "not_found", endpoint.name);
      const [, elsewhere = {}] = absent[index] ?? [];
      assert.deepEqual(lookOf(answer), lookOf(await world.http.ask(endpoint, world.as(eve, elsewhere))));
    }
    expectRefusal(await world.http.ask(api.viewBackup, world.as(eve)), 404, "not_found");
    expectRefusal(await world.http.ask(api.removeBackup, world.as(eve)), 404, "not_found");
    await expectIntact(world, victim);
  },

  "an archive of the same name is another one": async (world) => {
    const victim = await backedUp(world);
    const eve = await world.signUp();
    await begin(world, eve, victim.archive);
    await world.http.get(api.putArchiveChunk, world.as(eve, { ...at(victim.archive), body: Buffer.from("mine") }));
    await world.http.get(api.removeArchive, world.as(eve, at(victim.archive)));
    await expectIntact(world, victim);
  },

  "nobody is let in without a token, nor with that of a device that is being linked": async (world) => {
    const { archive } = await backedUp(world);
    const { token } = await world.openLink();
    for (const [endpoint, asked] of [...everyOf(archive), [api.viewBackup, {}] as [Endpoint, Asked]]) {
      expectRefusal(await world.http.ask(endpoint, asked), 401, "unauthenticated", endpoint.name);
      expectRefusal(await world.http.ask(endpoint, { ...asked, token }), 401, "unauthenticated", endpoint.name);
    }
  },

  "key traversal: ids and numbers that are none lead nowhere": async (world) => {
    const victim = await backedUp(world);
    const eve = await world.signUp();
    const authorization = `Bearer ${eve.accessToken}`;
    const targets = [
      `../../${victim.owner.user}/archive/${victim.archive}/chunks/0`,
      `..%2f..%2f${victim.owner.user}%2farchive%2f${victim.archive}/chunks/0`,
      `%2e%2e/%2e%2e/user/${victim.owner.user}/archive/${victim.archive}/chunks/0`,
      `${victim.archive}%00/chunks/0`,
      `${victim.archive}/chunks/..%2f..%2f..%2farchives`,
      `${victim.archive}/chunks/0%2f..%2fmanifest`,
      `${victim.archive}/chunks/${"0".repeat(5_000)}`,
      `${victim.archive}/chunks/-1`,
      `${victim.archive}/chunks/1e0`,
      `${victim.archive}/chunks/${MAX_ARCHIVE_CHUNKS}`,
      "' OR 1=1 --/chunks/0",
    ];
    for (const target of targets) {
      const path = `/v1/archives/${encodeURI(decodeURI(target)).replaceAll("%252", "%2")}`;
      const answer = await world.http.sendAsIs("GET", path, { authorization });
      assert.ok([400, 404, 405, 414].includes(answer.status), `${target}: ${answer.status}`);
      assert.ok(!answer.text.includes(chunk.toString()), target);
    }
    await expectIntact(world, victim);
  },

  "more than a chunk is not taken, and nothing is left of it": async (world) => {
    const [owner, archive] = [await world.signUp(), newId()];
    await begin(world, owner, archive);
    const put = (endpoint: Endpoint, size: number) =>
      world.http.ask(endpoint, world.as(owner, { ...at(archive), body: new Uint8Array(size) }));
    expectRefusal(await put(api.putArchiveChunk, ARCHIVE_CHUNK_BYTES + ARCHIVE_TAG_BYTES + 1), 413, "too_large");
    expectRefusal(await put(api.putArchiveChunk, 5 * 1024 * 1024), 413, "too_large");
    expectRefusal(await put(api.putArchiveManifest, MAX_ARCHIVE_MANIFEST_BYTES + 1), 413, "too_large");
    expectRefusal(await put(api.putArchiveChunk, 0), 400, "bad_frame");
    const listed = await world.http.get(api.listArchiveChunks, world.as(owner, at(archive)));
    assert.deepEqual(listed, { chunks: [], isComplete: false });
  },

  "who says less than they send is taken at their word, and who does not say how much is refused": async (world) => {
    const [owner, archive] = [await world.signUp(), newId()];
    await begin(world, owner, archive);
    const send = (number: number, length: string, body: string) => {
      const head = [
        `PUT /v1/archives/${archive}/chunks/${number} HTTP/1.1`,
        `host: ${new URL(world.http.url).host}`,
        `authorization: Bearer ${owner.accessToken}`,
        "content-type: application/octet-stream",
        length,
      ];
      return sendRaw(world.http.url, head, Buffer.from(body));
    };
    assert.match(await send(0, "content-length: 5", "short, and more than that"), /^HTTP\/1\.1 204 /);
    assert.match(await send(1, "transfer-encoding: chunked", "5\r\nshort\r\n0\r\n\r\n"), /^HTTP\/1\.1 411 /);
    const form = world.as(owner, { ...at(archive, "1"), body: chunk, headers: { "content-type": "text/plain" } });
    expectRefusal(await world.http.ask(api.putArchiveChunk, form), 400, "bad_frame");
    const listed = await world.http.get(api.listArchiveChunks, world.as(owner, at(archive)));
    assert.deepEqual(listed.chunks, [0]);
    assert.equal((await world.http.ask(api.getArchiveChunk, world.as(owner, at(archive)))).text, "short");
  },

  "no more archives than a person may have, nor more room, however many are begun at once": async (world) => {
    const owner = await world.signUp();
    const ids = Array.from({ length: 4 * MAX_ARCHIVES_PER_USER }, newId);
    const ask = (id: string) =>
      world.http.ask(api.beginArchive, world.as(owner, { ...at(id), body: { chunks: MAX_ARCHIVE_CHUNKS } }));
    const answers = await Promise.all(ids.map(ask));
    const begun = answers.filter(({ status }) => status === 204);
    const mayBe = Math.floor(MAX_ARCHIVE_BYTES_PER_USER / (MAX_ARCHIVE_CHUNKS * ARCHIVE_CHUNK_BYTES));
    assert.ok(begun.length <= Math.min(mayBe, MAX_ARCHIVES_PER_USER), `${begun.length} were begun`);
    for (const id of ids) await ask(id);
    expectRefusal(await ask(newId()), 409, "too_many");
  },

  "a chunk beyond the room that was made, or of an archive that was never begun": async (world) => {
    const [owner, archive] = [await world.signUp(), newId()];
    const put = (number: string) =>
      world.http.ask(api.putArchiveChunk, world.as(owner, { ...at(archive, number), body: chunk }));
    expectRefusal(await put("0"), 404, "not_found");
    await begin(world, owner, archive, 1);
    expectRefusal(await put("1"), 409, "too_many");
    expectRefusal(await put(String(MAX_ARCHIVE_CHUNKS - 1)), 409, "too_many");
  },

  "a backup that is not complete, or would not fit what opens it, takes nothing's place": async (world) => {
    const victim = await backedUp(world);
    const { owner } = victim;
    const unfinished = newId();
    await begin(world, owner, unfinished);
    const set = (body: object) => world.http.ask(api.setBackup, world.as(owner, { body }));
    expectRefusal(await set({ archive: unfinished, keyId: victim.keyId }), 404, "not_found");
    expectRefusal(await set({ envelope, keyId: newId() }), 409, "taken");
    expectRefusal(await set({ keyId: victim.keyId }), 400, "bad_frame");
    expectRefusal(await set({ envelope: "A".repeat(70_000), keyId: victim.keyId }), 413, "too_large");
    expectRefusal(await set({ envelope: "A".repeat(40_000), keyId: victim.keyId }), 400, "bad_frame");
    expectRefusal(await world.http.ask(api.removeArchive, world.as(owner, at(victim.archive))), 403, "not_allowed");
    await expectIntact(world, victim);
  },

  "requests beyond the person's rate are refused with a time to wait": async (world) => {
    const owner = await world.signUp();
    const ask = () => world.http.ask(api.viewBackup, world.as(owner));
    const { capacity } = personBuckets.archive;
    for (let asked = 0; asked < 2 * capacity; ) {
      const answers = await Promise.all(Array.from({ length: 50 }, ask));
      asked += answers.length;
      const refused = answers.find(({ status }) => status === 429);
      if (refused) return void expectRefusal(refused, 429, "rate_limited");
    }
    assert.fail("nobody was refused");
  },
});
