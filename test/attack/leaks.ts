import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
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
    assert.equal(await line.send(`${account.user}.${account.user}`, marker), 1);
    line.raw(JSON.stringify({ type: marker }));
    await line.next("error");
    await line.close();
    await sleep(SETTLE_MS);
    assert.ok(!readFileSync(world.logFile, "utf8").includes(marker), "the log has it");
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
