/** Numbers that France keeps free for films and books (ARCEP, decision 2018-0881): they exist, and nobody has them. */
const PREFIXES = ["+3319900", "+3326191", "+3335301", "+3346571", "+3353649"] as const;
const PER_PREFIX = 10_000;
export const FICTITIOUS_PHONES = PREFIXES.length * PER_PREFIX;

/**
 * They come from all ranges in turn, so that none fills up. Of two whose indexes are less than 10,000 apart the last four
 * digits differ. @param index from 0 to 49,999
 */
export function fictitiousPhone(index: number): string {
  if (index >= FICTITIOUS_PHONES) throw new Error(`there is no fictitious phone number ${index}`);
  const round = Math.floor(index / PER_PREFIX);
  return `${PREFIXES[(index + round) % PREFIXES.length]}${String(index % PER_PREFIX).padStart(4, "0")}`;
}
