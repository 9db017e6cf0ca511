import { gzipSync } from "node:zlib";
import { type BuildOptions, build, type Metafile, type Plugin } from "esbuild";

/**
 * What libraries would load on demand and never do here: ciphers of suites in which nobody takes part, which are not
 * installed, and the WebCrypto of a Node that has none of its own. Whoever bundles the SDK would be asked for it.
 */
const withoutTheUnneeded: Plugin = {
  name: "without the unneeded",
  setup({ onLoad, onResolve, resolve }) {
    const again = Symbol();
    onResolve({ filter: /^(@hpke\/|@noble\/|crypto$)/ }, async ({ path, kind, resolveDir, pluginData }) => {
      if (kind !== "dynamic-import" || pluginData === again) return undefined;
      const found = await resolve(path, { kind, resolveDir, pluginData: again });
      return found.errors.length > 0 ? { path, namespace: "absent" } : found;
    });
    onLoad({ filter: /./, namespace: "absent" }, ({ path }) => ({
      contents: `throw new Error("${path} is not part of this build");`,
    }));
  },
};

/** What every build of the client has in common. Whatever is imported on demand is a file of its own. */
export const common = {
  ...{ bundle: true, splitting: true, format: "esm", platform: "browser", target: "es2022" },
  ...{ metafile: true, logLevel: "silent", plugins: [withoutTheUnneeded] },
} as const satisfies BuildOptions;

export interface BrowserBundle {
  /** What a page loads at the start: each file with its size in bytes, compressed. */
  readonly atStart: ReadonlyMap<string, number>;
  readonly onDemand: ReadonlyMap<string, number>;
  /** The files and packages that the start is made of. */
  readonly inputs: readonly string[];
  /** What the bundle leaves to somebody else to find. */
  readonly external: readonly string[];
}

/** As a page would be built from this file. */
export async function bundleForBrowser(entry: string): Promise<BrowserBundle> {
  const outdir = "dist/bundle";
  const result = await build({ ...common, entryPoints: [entry], outdir, minify: true, write: false });
  const { outputs } = result.metafile;
  const sizes = new Map(
    result.outputFiles.map(({ path, contents }) => [path.slice(path.indexOf(outdir)), gzipSync(contents).byteLength]),
  );
  const start = startOf(entry, outputs);
  const imports = Object.values(outputs).flatMap((output) => output.imports);
  return {
    atStart: new Map([...sizes].filter(([path]) => start.has(path))),
    onDemand: new Map([...sizes].filter(([path]) => !start.has(path))),
    inputs: [...start].flatMap((path) => Object.keys(outputs[path]?.inputs ?? {})),
    external: imports.filter(({ external = false }) => external).map(({ path }) => path),
  };
}

/** The entry, and what it imports not only on demand. */
function startOf(entry: string, outputs: Metafile["outputs"]): ReadonlySet<string> {
  const start = new Set(Object.keys(outputs).filter((path) => outputs[path]?.entryPoint === entry));
  for (const path of start) {
    for (const { path: imported, kind, external } of outputs[path]?.imports ?? []) {
      if (kind === "import-statement" && !external) start.add(imported);
    }
  }
  return start;
}
