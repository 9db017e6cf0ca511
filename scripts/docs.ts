// `npm run docs`: writes what is said twice only by a machine: the wire protocol as an AsyncAPI 3.0 document, HTTP as an
// OpenAPI 3.1 document, and both for reading, from the schemas in shared/ and from the comments there; and the SDK, name by
// name, from its types and comments.

import { readFileSync, writeFileSync } from "node:fs";
import { asyncApi, asyncApiPage } from "./docs/asyncapi.ts";
import { httpPage } from "./docs/http.ts";
import type { JsonObject } from "./docs/json.ts";
import { openApi } from "./docs/openapi.ts";
import { toYaml } from "./docs/yaml.ts";
import { readOptions } from "./options.ts";
import { sdkReference } from "./sdk/reference.ts";

const USAGE = `usage: npm run docs [-- --check]

Writes docs/asyncapi.yaml, docs/asyncapi.md, docs/openapi.yaml and docs/http.md from the schemas in shared/, and
docs/sdk-reference.md from the types in client/.

  --check   writes nothing; ends with status 1 if a file is not up to date
  --help    this text`;

const root = new URL("../", import.meta.url);

/** Every file that is generated from schemas, with what should be in it. */
export function generateDocs(): Record<string, string> {
  return {
    "docs/asyncapi.yaml": yaml(asyncApi()),
    "docs/asyncapi.md": asyncApiPage(),
    "docs/openapi.yaml": yaml(openApi()),
    "docs/http.md": httpPage(),
  };
}

function yaml(document: JsonObject): string {
  return `# Written by \`npm run docs\` from the schemas in shared/; change those.${toYaml(document)}\n`;
}

/** Those of the generated files that are not up to date. */
export function staleDocs(files = generateDocs()): string[] {
  return Object.entries(files)
    .filter(([path, text]) => readIfThere(path) !== text)
    .map(([path]) => path);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(new URL(path, root), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}

function main(): void {
  const values = readOptions(USAGE, { check: { type: "boolean" } });
  const files: Record<string, string> = { ...generateDocs(), "docs/sdk-reference.md": sdkReference() };
  const stale = staleDocs(files);
  if (values.check) {
    for (const path of stale) console.error(`${path} is not up to date: npm run docs`);
    process.exitCode = stale.length > 0 ? 1 : 0;
    return;
  }
  for (const path of stale) writeFileSync(new URL(path, root), files[path] ?? "");
  console.log(stale.length > 0 ? `Written: ${stale.join(", ")}` : "Everything is up to date.");
}

if (import.meta.main) main();
