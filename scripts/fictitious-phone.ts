/** Numbers that France keeps free for films and books (ARCEP, decision 2018-0881): they exist, and nobody has them. */
const PREFIXES = ["+3319900", "+3326191", "+3335301", "+3346571", "+3353649"] as const;
const PER_PREFIX = 10_000;
export const FICTITIOUS_PHONES = PREFIXES.length * PER_PREFIX;

/** Of two whose indexes are less than 10,000 apart the last four digits differ. @param index from 0 to 49,999 */
export function fictitiousPhone(index: number): string {
  const prefix = PREFIXES[Math.floor(index / PER_PREFIX)];
  if (prefix === undefined) throw new Error(`there is no fictitious phone number ${index}`);
  return prefix + String(index % PER_PREFIX).padStart(4, "0");
}
