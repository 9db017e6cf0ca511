// `npm run build:sdk`: the client as a package that others install, for browsers, Node and Workers, with its types.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { build, type Plugin } from "esbuild";
import { readOptions } from "./options.ts";
import { bundleForBrowser, common } from "./sdk/bundle.ts";
import { asPublished, emitDeclarations, reachableDeclarations } from "./sdk/declarations.ts";

const USAGE = `usage: npm run build:sdk [-- --out DIR]

Builds the client as a package: JavaScript, types and package.json. Then says how much a page loads that uses it.

  --out DIR   where it goes (dist/sdk)
  --help      this text`;

/** By the names under which they are imported. */
const entries = { ".": "client/index.ts", "./browser": "client/browser/index.ts", "./node": "client/node/index.ts" };

/**
 * Each module stays a file, so that whoever bundles the package gets what they use. What it takes from other packages is
 * bundled beside it: some of them are patched.
 */
const filesOfTheirOwn: Plugin = {
  name: "files of their own",
  setup({ onResolve }) {
    onResolve({ filter: /^\.{1,2}\/.*\.ts$/ }, ({ path, kind }) =>
      kind === "entry-point" ? undefined : { path: path.replace(/\.ts$/, ".js"), external: true },
    );
  },
};

/** @throws if something does not compile */
export async function buildSdk(out: string): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  const options = { ...common, external: ["node:*"], outdir: out };
  const whole = await build({ ...options, entryPoints: Object.values(entries), write: false });
  await build({
    ...options,
    entryPoints: Object.keys(whole.metafile.inputs).filter((path) => /^(client|shared)\//.test(path)),
    ...{ outbase: ".", chunkNames: "packages/[name]-[hash]", plugins: [filesOfTheirOwn, ...common.plugins] },
  });
  emitDeclarations();
  const { texts, packages } = reachableDeclarations(Object.values(entries));
  for (const [module, text] of texts) write(join(out, module.replace(/\.ts$/, ".d.ts")), asPublished(text));
  write(join(out, "package.json"), `${JSON.stringify(manifest(packages), null, 2)}\n`);
}

/** The JavaScript needs nothing else; the types refer to some packages. */
function manifest(packages: ReadonlySet<string>): object {
  const { name, version, description, license, dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const exports = Object.entries(entries).map(([subpath, entry]) => {
    const path = `./${entry.replace(/\.ts$/, "")}`;
    return [subpath, { types: `${path}.d.ts`, default: `${path}.js` }];
  });
  const typed = Object.entries(dependencies).filter(([dependency]) => packages.has(dependency));
  return {
    ...{ name, version, description, license, type: "module", sideEffects: false },
    exports: Object.fromEntries(exports),
    dependencies: Object.fromEntries(typed),
  };
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

async function main(): Promise<void> {
  const { out } = readOptions(USAGE, { out: { type: "string", default: "dist/sdk" } });
  await buildSdk(resolve(out));
  const { atStart, onDemand } = await bundleForBrowser("examples/quickstart.ts");
  console.log(`Built: ${out}`);
  console.log(
    `A page that uses it loads ${kilobytes(atStart)} at the start, and at most ${kilobytes(onDemand)} on demand.`,
  );
}

function kilobytes(files: ReadonlyMap<string, number>): string {
  const bytes = [...files.values()].reduce((sum, size) => sum + size, 0);
  return `${(bytes / 1_000).toFixed(1)} KB (gzip)`;
}

if (import.meta.main) await main();
