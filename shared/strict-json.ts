import { MAX_JSON_DEPTH_LEVELS } from "./limits.ts";

/**
 * JSON of which every reader makes the same (I-JSON, RFC 7493), and which survives being written again.
 * @throws Error
 */
export function parseStrictly(json: string): unknown {
  const value: unknown = JSON.parse(json);
  refuseAmbiguous(json);
  return value;
}

/** A bracket, a text with what shows that it is a name, or a number. */
const TOKEN = /[{}[\]]|("[^"\\]*(?:\\.[^"\\]*)*")\s*(:?)|(-?\d[\d.eE+-]*)/g;

/**
 * What one reader may take otherwise than another, or fail on: a name given twice in one object (§2.3), a number that a double
 * does not hold (§2.2), a name that sets an object's kind, and brackets without end.
 */
function refuseAmbiguous(json: string): void {
  const open: Set<string>[] = [];
  for (const [bracket, text, colon, number] of json.matchAll(TOKEN)) {
    if (bracket === "{" || bracket === "[") open.push(new Set());
    if (bracket === "}" || bracket === "]") open.pop();
    if (open.length > MAX_JSON_DEPTH_LEVELS) throw new Error("too deep");
    if (number !== undefined && !isExact(Number(number))) throw new Error("a number out of range");
    if (text === undefined || colon === "") continue;
    const name: string = JSON.parse(text);
    const names = open.at(-1);
    if (name === "__proto__" || names?.has(name)) throw new Error("a name that is not allowed here");
    names?.add(name);
  }
}

function isExact(number: number): boolean {
  return Number.isSafeInteger(number) || (Number.isFinite(number) && !Number.isInteger(number));
}
