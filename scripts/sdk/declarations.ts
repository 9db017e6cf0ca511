import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { join as joinUrl, dirname as urlDirname } from "node:path/posix";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Where the compiler writes the declarations of all rooms (tsconfig.base.json). */
const written = join(root, "dist/types");
const SPECIFIER = /(?<=\bfrom |\bimport\(|^import )"([^"]+)"/gm;

/** Has the compiler write the client's declarations. @throws Error with what it says */
export function emitDeclarations(): void {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-b", "client/node"], { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(stdout);
}

/** @param module as in "client/chat.ts" */
export function declarationsOf(module: string): string {
  return readFileSync(join(written, module.replace(/\.ts$/, ".d.ts")), "utf8");
}

export interface Declarations {
  /** By module, as in "client/chat.ts". */
  readonly texts: ReadonlyMap<string, string>;
  /** Packages whose types they use. */
  readonly packages: ReadonlySet<string>;
}

/** Those of these modules, and of all that they refer to. */
export function reachableDeclarations(modules: readonly string[]): Declarations {
  const texts = new Map<string, string>();
  const packages = new Set<string>();
  const due = new Set(modules);
  for (const module of due) {
    const text = declarationsOf(module);
    texts.set(module, text);
    for (const [, specifier = ""] of text.matchAll(SPECIFIER)) {
      if (specifier.startsWith(".")) due.add(joinUrl(urlDirname(module), specifier));
      else packages.add(packageOf(specifier));
    }
  }
  return { texts, packages };
}

/** The specifiers as a package has them that was compiled to JavaScript. */
export function asPublished(text: string): string {
  return text.replace(SPECIFIER, (quoted, specifier: string) =>
    specifier.startsWith(".") ? quoted.replace(/\.ts"$/, '.js"') : quoted,
  );
}

function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}
