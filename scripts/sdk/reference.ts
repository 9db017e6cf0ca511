import { errorTexts } from "../../client/error-texts.ts";
import { defaultRetry, type Retry } from "../../shared/errors.ts";
import { duration, table } from "../docs/markdown.ts";
import { type Declaration, type DeclarationKind, exportsOf } from "./declaration.ts";
import { emitDeclarations } from "./declarations.ts";

const INTRODUCTION = `# The SDK, name by name

Written by \`npm run docs\` from the types and comments in \`client/\`; change those. [sdk.md](sdk.md) is the guide.

Methods that answer a promise reject with a \`ChatError\` and nothing else; \`@throws\` names the codes to expect. Times are in
milliseconds since 1970, by the server's clock where it is known.
`;

const modules = [
  { title: "Everywhere", from: "`client/index.ts`", module: "client/index.ts" },
  { title: "In browsers", from: "`client/browser/index.ts`", module: "client/browser/index.ts" },
  { title: "In Node", from: "`client/node/index.ts`", module: "client/node/index.ts" },
];

const groups: readonly { readonly title: string; readonly kinds: readonly DeclarationKind[] }[] = [
  { title: "classes", kinds: ["class"] },
  { title: "functions", kinds: ["function", "const"] },
  { title: "types", kinds: ["interface", "type"] },
];

/** docs/sdk-reference.md. Takes some seconds: the compiler has to write the declarations first. */
export function sdkReference(): string {
  emitDeclarations();
  const chapters = modules.map(({ title, from, module }) => chapter(title, from, exportsOf(module)));
  return [INTRODUCTION, ...chapters, errorCodes()].join("\n");
}

/** What is named in what is exported, and is exported nowhere itself: whoever uses the SDK could not name it. */
export function unexportedNames(): string[] {
  const declarations = modules.flatMap(({ module }) => exportsOf(module));
  const exported = new Set(declarations.map(({ name }) => name));
  const used = new Set(declarations.flatMap(({ uses }) => uses));
  return [...used].filter((name) => !exported.has(name)).sort();
}

function chapter(title: string, from: string, declarations: readonly Declaration[]): string {
  const sections = groups.flatMap(({ title: group, kinds }) => {
    const some = declarations.filter(({ kind }) => kinds.includes(kind)).sort((a, b) => (a.name < b.name ? -1 : 1));
    return some.length === 0 ? [] : [`### ${title}: ${group}\n`, ...some.map(section)];
  });
  return [`## ${title}\n\nFrom ${from}.\n`, ...sections].join("\n");
}

function section({ name, comment, code }: Declaration): string {
  return `#### \`${name}\`\n\n${comment === "" ? "" : `${comment}\n\n`}\`\`\`ts\n${code}\n\`\`\`\n`;
}

function errorCodes(): string {
  const retries: Partial<Record<string, Retry>> = defaultRetry;
  const rows = Object.entries(errorTexts).map(([code, text]) => [
    `\`${code}\``,
    howSoon(retries[code] ?? "never"),
    text,
  ]);
  return `## Error codes\n\nOf a \`ChatError\`; its \`retry\` knows better where the server has said more.\n\n${table(
    ["code", "worth another try", "what it means"],
    rows,
  )}`;
}

function howSoon(retry: Retry): string {
  if (retry === "never") return "no";
  return retry === "now" ? "at once" : `after ${duration(retry)}`;
}
