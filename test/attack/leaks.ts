import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { directConversation } from "../../shared/ids.ts";
import { cases } from "./case.ts";
import type { World } from "./world.ts";

/** What a log or a file is written with a little later. */
const SETTLE_MS = 500;
/** The first letters of every token that is signed: whatever else it is, one is in no log. */
const TOKEN = /eyJ[\w-]{10,}\.eyJ[\w-]{10,}/;

/** All files of the system's state: database, objects and the queue, each as it lies on the disk. */
function filesIn(world: World): string[] {
  const isLog = /\.log$/;
  return readdirSync(world.stateDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !isLog.test(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name));
}

/** Objects that fall asleep meanwhile leave fewer files. */
function textOf(file: string): string {
  return existsSync(file) ? readFileSync(file, "latin1") : "";
}

/** Every row of every table, as text. Read from a copy: the system goes on writing. */
function rowsIn(file: string): string[] {
  const directory = mkdtempSync(join(tmpdir(), "sandpiper-rows-"));
  try {
    for (const part of [file, `${file}-wal`]) if (existsSync(part)) copyFileSync(part, join(directory, basename(part)));
    const database = new DatabaseSync(join(directory, basename(file)), { readBigInts: true });
    // What begins so belongs to the tool that runs the system here.
    const own = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_\\_miniflare%' ESCAPE '\\'";
    const tables = database.prepare(own).all();
    const rows = tables.flatMap(({ name }) =>
      database
        .prepare(`SELECT * FROM "${name}"`)
        .all()
        .map((row) => `${name}: ${Object.values(row).map(textIn).join("|")}`),
    );
    database.close();
    return rows;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function textIn(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : String(value);
}

/** By what all cases before have left behind. */
export const leaks = cases("Leaks", {
  "the log has no phone number, no code and no token, not even of what was refused": async (world) => {
    await world.signUp();
    await sleep(SETTLE_MS);
    const log = readFileSync(world.logFile, "utf8");
    assert.match(log, /"event":"http.request"/, "there is no log");
    assert.ok(world.secrets.count > 0);
    assert.deepEqual(world.secrets.foundIn(log), []);
    assert.doesNotMatch(log, TOKEN);
  },

  "the log has no text and no name that anybody wrote": async (world) => {
    const account = await world.signUp();
    const marker = `heron${account.user.toLowerCase()}`;
    const headers = { authorization: `Bearer ${account.accessToken}`, "content-type": "application/json" };
    const body = JSON.stringify({ name: marker, about: marker });
    assert.equal((await world.http.send("/v1/me", { method: "PATCH", headers, body })).status, 204);
    for (const path of [`/v1/${marker}`, `/v1/users/${marker}`, `/v1/me?q=${marker}`])
      await world.http.send(path, { headers });
    const line = await world.connect(account);
    assert.equal(await line.send(`${account.user}.${account.user}`, marker), 2);
    line.raw(JSON.stringify({ type: marker }));
    await line.next("error");
    await line.close();
    await sleep(SETTLE_MS);
    assert.ok(!readFileSync(world.logFile, "utf8").includes(marker), "the log has it");
  },

  "people who removed their accounts are in no row of anything that is stored": async (world) => {
    const [leaving, friend] = await world.friends();
    const [line, linesFriend] = [await world.connect(leaving), await world.connect(friend)];
    const chat = directConversation(leaving.user, friend.user);
    assert.equal(await line.send(chat, "farewell"), 2);
    await linesFriend.text("farewell");
    assert.equal(await linesFriend.send(chat, "see you"), 3);
    await world.remove(leaving);
    await linesFriend.close();
    await sleep(SETTLE_MS);
    // A place where devices meet forgets by itself, ten minutes after it was opened.
    const databases = filesIn(world).filter((file) => /(?<!RendezvousObject\/\w+)\.sqlite$/.test(file));
    const rows = databases.flatMap((file) =>
      rowsIn(file).map((row) => ({ row, file: file.slice(world.stateDir.length) })),
    );
    assert.ok(
      rows.some(({ row }) => row.includes(friend.user)),
      "the rows were not found at all",
    );
    const left = rows.filter(({ row }) => world.removed.some((user) => row.includes(user)));
    assert.deepEqual(
      left.map(({ file, row }) => `${file}: ${row.slice(0, 120)}`),
      [],
    );
  },

  "what is stored has no phone number, no code and no token": async (world) => {
    await world.signUp();
    await sleep(SETTLE_MS);
    const files = filesIn(world);
    assert.ok(
      files.some((file) => file.endsWith(".sqlite")),
      "there is nothing stored",
    );
    for (const file of files) {
      assert.deepEqual(world.secrets.foundIn(textOf(file)), [], file.slice(world.stateDir.length));
    }
  },
});
