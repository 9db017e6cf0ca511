// Starts one of the project's scripts: `node scripts/launch.mjs <entry> [arguments]`.
//
// The project runs on the Node that package.json pins, and a fresh clone has neither that nor any package. So this
// file is plain JavaScript without dependencies for any Node from 20: it installs what package-lock.json asks for
// if that is not there yet, then hands over to the pinned Node.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimes } from "node:fs";
import { constants } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const binaries = join(root, "node_modules", ".bin");
const pinnedNode = join(root, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node");

const lock = join(root, ".sandpiper", "installing");
const HEARTBEAT_MS = 2_000;
const ABANDONED_AFTER_MS = 30_000;

const say = (line) => process.stderr.write(`sandpiper: ${line}\n`);

/** npm writes node_modules/.package-lock.json as the last step of a successful install. */
function isInstalled() {
  try {
    const read = (...path) => JSON.parse(readFileSync(join(root, ...path), "utf8")).packages;
    const wanted = Object.entries(read("package-lock.json"));
    const installed = read("node_modules", ".package-lock.json");
    statSync(pinnedNode);
    if (!arePatchesApplied()) return false;
    return wanted.every(([path, { version, optional, devOptional }]) => {
      if (path === "") return true;
      // What is optional may be missing: most of it is for other platforms.
      const found = installed[path];
      return found ? found.version === version : Boolean(optional || devOptional);
    });
  } catch {
    return false;
  }
}

/** patch-package leaves a note in each package of which files it has applied, by their hash. */
function arePatchesApplied() {
  return readdirSync(join(root, "patches")).every((file) => {
    const [name] = file.split("+");
    const note = JSON.parse(readFileSync(join(root, "node_modules", name, ".patch-package.json"), "utf8"));
    const hash = createHash("sha256")
      .update(readFileSync(join(root, "patches", file)))
      .digest("hex");
    return note.patches.some((patch) => patch.didApply && patch.patchContentHash === hash);
  });
}

/** Runs `install` in one process at a time. Who holds the lock keeps touching it, so that a killed holder blocks nobody. */
async function exclusively(install) {
  mkdirSync(join(root, ".sandpiper"), { recursive: true });
  for (let told = false; ; told = true) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (!told) say("another process is installing the packages; waiting for it …");
    await sleep(500);
    const touched = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - touched > ABANDONED_AFTER_MS) rmSync(lock, { recursive: true, force: true });
  }
  const touch = () => utimes(lock, new Date(), new Date(), () => {}); // gone only if we slept: then somebody else has it
  const heartbeat = setInterval(touch, HEARTBEAT_MS);
  try {
    await install();
  } finally {
    clearInterval(heartbeat);
    rmSync(lock, { recursive: true, force: true });
  }
}

async function install() {
  // Whoever held the lock before may have done it.
  if (isInstalled()) return;
  say("installing the packages that package-lock.json names (once; takes about a minute) …");
  // Standard output belongs to the script, and a quiet `npm run --silent` must not hide a failure here.
  await run("npm", ["ci", "--include=dev", "--loglevel=error"], {
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (isInstalled()) say("installed.");
}

/** Runs a command to its end and gives its exit status. Passes on the signals that this process gets. */
async function run(command, args, options) {
  const child = spawn(command, args, { cwd: root, ...options });
  const forward = (signal) => {
    // Ctrl-C in a terminal goes to every process there: the child has it already.
    if (signal === "SIGINT" && process.stdin.isTTY) return;
    child.kill(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, forward);
  const status = await new Promise((resolve) => {
    child.on("error", (error) => {
      say(`cannot run ${command}: ${error.message}`);
      resolve(127);
    });
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGTERM"]));
  });
  for (const signal of signals) process.off(signal, forward);
  return status;
}

const [entry, ...args] = process.argv.slice(2);
if (!entry) {
  say("usage: node scripts/launch.mjs <entry> [arguments]");
  process.exit(2);
}

if (!isInstalled()) await exclusively(install);
if (!isInstalled()) {
  say("the packages could not be installed (see above), so nothing was started.");
  say("`npm ci` needs its registry and about 1 GB of disk; try it by itself.");
  process.exit(1);
}

const status = await run(pinnedNode, [entry, ...args], {
  stdio: "inherit",
  env: {
    ...process.env,
    // Tools that the entry starts by name must find the pinned Node too.
    PATH: `${binaries}${delimiter}${process.env.PATH}`,
    // Local runs need nothing from the network, and say nothing to it.
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_HIDE_BANNER: "true",
  },
});
process.exit(status);
