import { dirname, join } from "node:path/posix";
import { declarationsOf } from "./declarations.ts";

export type DeclarationKind = "class" | "function" | "const" | "interface" | "type";

/** Something that a module exports, as the compiler has written it down. */
export interface Declaration {
  readonly name: string;
  readonly kind: DeclarationKind;
  /** Its own comment, in sentences; empty if it has none. */
  readonly comment: string;
  /** With the comments inside and without what only those inside see; and what it is made of, if that is exported nowhere. */
  readonly code: string;
  /** What it names of other modules. */
  readonly uses: readonly string[];
}

/** Something at the top of a module, with the comment before it. */
interface Statement {
  readonly name: string;
  readonly kind: DeclarationKind;
  readonly isExported: boolean;
  readonly comment: string;
  readonly code: string;
}

const LIST = /^(export|import)( type)? \{([^}]*)\}(?: from "([^"]+)")?;/gm;
const BEGINNING = /^(?:\/\*\*|export |declare |interface |type |import )/;
const HEAD = /^(export )?(?:declare )?(?:abstract )?(class|function|const|interface|type) (\w+)/;

/** All that a module exports, under the names by which others know it and wherever it is declared. */
export function exportsOf(module: string): Declaration[] {
  const lists = listsOf(module).filter(({ keyword }) => keyword === "export");
  return lists.flatMap(({ names, from }) => names.map((name) => declarationOf(join(dirname(module), from), name)));
}

/** What a module takes from another, or passes on. */
interface List {
  readonly keyword: string;
  readonly names: readonly Name[];
  readonly from: string;
}

function listsOf(module: string): List[] {
  return [...declarationsOf(module).matchAll(LIST)].map(([, keyword = "", type, list = "", from = ""]) => {
    return { keyword, names: namesIn(list, type !== undefined), from };
  });
}

interface Name {
  readonly inside: string;
  readonly outside: string;
  /** The value itself, such as a class's constructor, is not there. */
  readonly isType: boolean;
}

function namesIn(list: string, areTypes: boolean): Name[] {
  const items = list.split(",").map((item) => item.trim());
  return items.filter(Boolean).map((item) => {
    const [inside = "", outside = inside] = item.replace(/^type /, "").split(" as ");
    return { inside, outside, isType: areTypes || item.startsWith("type ") };
  });
}

function declarationOf(module: string, { inside, outside, isType }: Name): Declaration {
  const home = homeOf(module, inside);
  const statements = statementsOf(home.module);
  const named = statements.filter(({ name }) => name === home.name);
  const [first] = named;
  if (!first) throw new Error(`${inside} is not declared in ${module}`);
  const own = named.map(({ code }) => code.replace(new RegExp(`\\b${home.name}\\b`), outside)).join("\n");
  const whole = [own, ...partsOf(statements, named)].join("\n\n");
  const code = isType ? whole.replace(/^ {2}constructor\(.*?\);\n/gms, "") : whole;
  return { name: outside, kind: first.kind, comment: first.comment, code, uses: importedBy(home.module, code) };
}

/** Follows those who only pass it on. */
function homeOf(module: string, name: string): { module: string; name: string } {
  if (statementsOf(module).some((statement) => statement.name === name)) return { module, name };
  for (const { names, from } of listsOf(module)) {
    const passedOn = from.startsWith(".") && names.find(({ outside }) => outside === name);
    if (passedOn) return homeOf(join(dirname(module), from), passedOn.inside);
  }
  throw new Error(`${module} has no ${name}`);
}

function statementsOf(module: string): Statement[] {
  const statements: Statement[] = [];
  let lines: string[] = [];
  const end = () => {
    const statement = statementOf(lines.join("\n"));
    if (statement) statements.push(statement);
    lines = [];
  };
  for (const line of declarationsOf(module).split("\n")) {
    // A comment belongs to what follows it.
    const isOnlyComment = lines.length > 0 && lines.at(-1)?.endsWith("*/") && lines[0]?.startsWith("/**");
    if (BEGINNING.test(line) && !isOnlyComment) end();
    lines.push(line);
  }
  end();
  return statements;
}

function statementOf(text: string): Statement | undefined {
  const [, comment = "", code = ""] = /^(?:\/\*\*(.*?)\*\/\n)?(.*)$/s.exec(text) ?? [];
  const [, exported, kind, name] = HEAD.exec(code) ?? [];
  if (kind === undefined || name === undefined) return undefined;
  return {
    ...{ name, kind: kind as DeclarationKind, isExported: exported !== undefined },
    ...{ comment: sentences(comment), code: tidy(code) },
  };
}

/** What of the same module these are made of, and nobody else can see. Schemas say less in types than in their source. */
function partsOf(statements: readonly Statement[], named: readonly Statement[]): string[] {
  const parts = new Set<Statement>();
  let due = [...named];
  while (due.length > 0) {
    const text = due.map(({ code }) => code).join("\n");
    due = statements.filter((part) => {
      const isNew = !part.isExported && part.kind !== "const" && !named.includes(part) && !parts.has(part);
      return isNew && new RegExp(`\\b${part.name}\\b`).test(text);
    });
    for (const part of due) parts.add(part);
  }
  return [...parts].map(({ code }) => code);
}

function importedBy(module: string, code: string): string[] {
  const bare = code.replace(/\/\*\*.*?\*\//gs, "");
  const imports = listsOf(module).filter(({ keyword }) => keyword === "import");
  const names = imports.flatMap((list) => list.names.map(({ outside }) => outside));
  return names.filter((name) => new RegExp(`\\b${name}\\b`).test(bare));
}

function tidy(code: string): string {
  return code
    .trim()
    .replace(/^(?:export )?(?:declare )?/, "")
    .replace(/^ *(?:#private|private [^;]*);\n/gm, "")
    .replace(/^( {4})+/gm, (indent) => " ".repeat(indent.length / 2));
}

function sentences(comment: string): string {
  return comment
    .replace(/^\s*\* ?/gm, "")
    .replace(/\{@link (\w+)\}/g, "`$1`")
    .replace(/\s+/g, " ")
    .trim();
}
