import { html } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";

/** What a page can show: JSON, with what is not there left out. */
type Shown = string | number | boolean | null | undefined | readonly Shown[] | { readonly [key: string]: Shown };
type Part = HtmlEscapedString | Promise<HtmlEscapedString>;

/**
 * The record as a page to read. What people wrote is text here and never markup: every value goes through `html`, which
 * escapes it, and if one should get past it, the policy lets the page run and load nothing.
 */
export async function accountPage(record: { readonly [key: string]: Shown }): Promise<string> {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Sandpiper account</title>
<style>
body { font-family: sans-serif; margin: 2em auto; max-width: 60em; line-height: 1.4 }
table { border-collapse: collapse } th, td { text-align: left; padding: .2em .8em .2em 0; vertical-align: top }
</style>
</head>
<body>
<h1>Sandpiper account</h1>
${Object.entries(record).map(([key, value]) => html`<h2>${titleOf(key)}</h2>\n${show(value)}\n`)}
</body>
</html>
`;
  return String(await page);
}

function show(value: Shown): Part {
  if (value === undefined || value === null || value === "") return html`–`;
  if (typeof value === "boolean") return value ? html`yes` : html`no`;
  if (typeof value !== "object") return html`${value}`;
  if (isList(value)) return showList(value);
  const rows = Object.entries(value).map(
    ([key, part]) => html`<tr><th>${titleOf(key)}</th><td>${show(part)}</td></tr>\n`,
  );
  return html`<table>\n${rows}</table>`;
}

function showList(values: readonly Shown[]): Part {
  if (values.length === 0) return html`<p>None.</p>`;
  return html`<ul>\n${values.map((value) => html`<li>${show(value)}</li>\n`)}</ul>`;
}

function isList(value: object): value is readonly Shown[] {
  return Array.isArray(value);
}

/** "lastSeenAt" is "Last seen at". */
function titleOf(key: string): string {
  const words = key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
}
