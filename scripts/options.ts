import { type ParseArgsConfig, parseArgs } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Values<O extends Options> = ReturnType<typeof parseArgs<{ options: O }>>["values"];

/**
 * What a command was called with. `--help` is answered, and what makes no sense refused with the usage and status 2, before
 * anything else happens.
 * @param read makes of it what the command needs; throws what is wrong with it
 */
export function readOptions<const O extends Options, T = Values<O>>(
  usage: string,
  options: O,
  read: (values: Values<O>) => T = (values) => values as T,
): T {
  if (process.argv.includes("--help")) {
    console.log(usage);
    process.exit();
  }
  try {
    return read(parseArgs({ options }).values);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    process.exit(2);
  }
}

/** @throws Error for what is none, or not in [least, most] */
export function wholeNumber(option: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  throw new Error(`${option} takes a whole number ${range}, not "${text}".`);
}
