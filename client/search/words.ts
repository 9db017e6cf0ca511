import { MAX_TERM_CHARS } from "../../shared/limits.ts";

/** A word of a text, in the form in which it is looked for, and where it stands: UTF-16 code units from `start` to `end`. */
export interface Word {
  readonly term: string;
  readonly start: number;
  readonly end: number;
}

/** Chinese and Japanese, or what stands between. */
const PART = /([\p{sc=Han}\p{sc=Hira}\p{sc=Kana}ー]+)|[^\p{sc=Han}\p{sc=Hira}\p{sc=Kana}ー]+/gu;
/** What a segmenter leaves in a word, so that “example.org” is found by its parts, and “l’homme” by the man. */
const WORD_PART = /[^._:'’·]+/gu;

let segmenter: Intl.Segmenter | undefined;

/**
 * The words of a text, in their order. Where words are written without spaces, a dictionary (Unicode UAX #29) finds them.
 * Chinese and Japanese words are too short and too ambiguous for that: there it is every character with the one after it,
 * and the last one alone, so that any part of a sentence is found.
 */
export function wordsIn(text: string): Word[] {
  const words: Word[] = [];
  for (const { 0: part, 1: ideograph, index } of text.matchAll(PART)) {
    for (const { start, end } of ideograph === undefined ? spokenIn(part) : pairsIn(part)) {
      words.push({ term: fold(part.slice(start, end)), start: index + start, end: index + end });
    }
  }
  return words;
}

export function termsOf(text: string): string[] {
  return wordsIn(text).map(({ term }) => term);
}

/** Without the last characters alone: what was asked for may go on in the text. */
export function queryTermsOf(query: string): string[] {
  const words = wordsIn(query);
  return words.filter(({ end }, index) => words[index - 1]?.end !== end).map(({ term }) => term);
}

/** Whether a single character is a word, or the beginning of one, worth looking for. */
export function isIdeographic(term: string): boolean {
  return /^[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}]/u.test(term);
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function* spokenIn(text: string): Iterable<Range> {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "word" });
  for (const { segment, index, isWordLike } of segmenter.segment(text)) {
    if (!isWordLike) continue;
    for (const part of segment.matchAll(WORD_PART)) {
      const start = index + part.index;
      yield { start, end: start + part[0].length };
    }
  }
}

function* pairsIn(text: string): Iterable<Range> {
  const characters = [...text];
  let start = 0;
  for (const [index, character] of characters.entries()) {
    const middle = start + character.length;
    yield { start, end: middle + (characters[index + 1]?.length ?? 0) };
    start = middle;
  }
}

/** Letters that Unicode does not take apart, although people leave their strokes away. */
const strokes: Readonly<Record<string, string>> = { đ: "d", ħ: "h", ł: "l", ø: "o", ς: "σ" };

/** The same for “Łódź”, “LODZ” and “lodz”; of the marks only those go that are left away when one is in a hurry. */
function fold(word: string): string {
  return word
    .slice(0, MAX_TERM_CHARS)
    .normalize("NFKD")
    .toUpperCase()
    .toLowerCase()
    .replace(/[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]/g, "")
    .replace(/[đħłøς]/g, (letter) => strokes[letter] ?? letter)
    .normalize("NFC");
}
