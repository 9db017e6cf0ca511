import { MAX_SNIPPET_CHARS } from "../../shared/limits.ts";
import { type Word, wordsIn } from "./words.ts";

/** Part of a text, with what was found in it. */
export interface Snippet {
  readonly text: string;
  /** In UTF-16 code units of `text`, in their order; they do not overlap. */
  readonly matches: readonly Match[];
}

interface Match {
  readonly start: number;
  readonly length: number;
}

/** Before the first match, so that it is not without a context. */
const LEAD_CHARS = 40;
const ELLIPSIS = "…";

/** Around the first of these terms; the whole text if it is short. Cut between words, with an ellipsis. */
export function snippetOf(text: string, terms: ReadonlySet<string>): Snippet {
  const words = wordsIn(text);
  const found = words.filter(({ term }) => terms.has(term));
  const { start, end } = windowAround(text, words, found[0]?.start ?? 0);
  const head = start > 0 ? ELLIPSIS : "";
  const tail = end < text.length ? ELLIPSIS : "";
  const shift = head.length - start;
  const matches = joined(found.filter((word) => word.start >= start && word.end <= end));
  return {
    text: head + text.slice(start, end) + tail,
    matches: matches.map((match) => ({ start: match.start + shift, length: match.end - match.start })),
  };
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function windowAround(text: string, words: readonly Word[], match: number): Range {
  if (text.length <= MAX_SNIPPET_CHARS) return { start: 0, end: text.length };
  const earliest = match - LEAD_CHARS;
  const start = earliest <= 0 ? 0 : (words.find((word) => word.start >= earliest)?.start ?? match);
  const latest = start + MAX_SNIPPET_CHARS;
  if (latest >= text.length) return { start, end: text.length };
  return { start, end: words.findLast((word) => word.end <= latest && word.end > start)?.end ?? latest };
}

/** One range for words that overlap, as pairs of characters do. */
function joined(words: readonly Word[]): Range[] {
  const ranges: Range[] = [];
  for (const { start, end } of words) {
    const last = ranges.at(-1);
    if (last && start < last.end) ranges[ranges.length - 1] = { start: last.start, end: Math.max(end, last.end) };
    else ranges.push({ start, end });
  }
  return ranges;
}
