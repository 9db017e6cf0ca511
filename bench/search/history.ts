import type { SearchDocument } from "../../client/search/search-index.ts";
import { seededRandom } from "../../client/session/test-driver.ts";
import { directConversation } from "../../shared/ids.ts";

const SYLLABLES = "ka lo mi ter sen go ra pu ni dor vel qua sti bo ch en al it um zo".split(" ");
const JAPANESE = [
  "明日",
  "東京",
  "駅",
  "で",
  "会議",
  "の",
  "資料",
  "を",
  "送って",
  "ください",
  "ありがとう",
  "元気",
  "ですか",
];
const WORDS = 30_000;
const CONVERSATIONS = 100;

/** Messages of 2 to 19 words, common ones far more often than rare ones (Zipf); one in ten is Japanese. The same every time. */
export function makeHistory(messages: number): SearchDocument[] {
  const random = seededRandom(1);
  const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
  const word = () => spell(Math.floor(Math.exp(random() * Math.log(WORDS))));
  const people = Array.from({ length: CONVERSATIONS }, (_, index) => ulidOf(index));
  return Array.from({ length: messages }, (_, index) => {
    const sender = pick(people);
    const length = 2 + Math.floor(random() * 18);
    const text =
      random() < 0.1 ? Array.from({ length }, () => pick(JAPANESE)).join("") : Array.from({ length }, word).join(" ");
    const conversation = directConversation(ulidOf(CONVERSATIONS), sender);
    return { conversation, seq: index + 1, id: ulidOf(1_000 + index), sender, at: index * 60_000, text };
  });
}

function spell(rank: number): string {
  const first = SYLLABLES[rank % SYLLABLES.length] ?? "";
  return rank < SYLLABLES.length ? first : first + spell(Math.floor(rank / SYLLABLES.length));
}

function ulidOf(number: number): string {
  return String(number).padStart(26, "0");
}
