import { open, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const CODE_TIMEOUT_MS = 10_000;
const LOOK_INTERVAL_MS = 10;
const DIGITS_SHOWN = 4;

/** How a code that was sent to a phone number is got hold of; `ask` has it sent. */
export type CodeReader = (phone: string, ask: () => Promise<unknown>) => Promise<string>;

/** A system in development (SMS_PROVIDER=console) shows codes in its log, with the last digits of the number. */
export function codesInLog(logFile: string): CodeReader {
  return async (phone, ask) => {
    const { size: from } = await stat(logFile);
    await ask();
    const line = new RegExp(`Sandpiper code for •••${phone.slice(-DIGITS_SHOWN)}: (\\d+)`);
    const deadline = performance.now() + CODE_TIMEOUT_MS;
    while (performance.now() < deadline) {
      const code = (await textFrom(logFile, from)).match(line)?.[1];
      if (code !== undefined) return code;
      await sleep(LOOK_INTERVAL_MS);
    }
    throw new Error(`no code for ${phone} in ${logFile}: codes are there only with SMS_PROVIDER=console`);
  };
}

async function textFrom(path: string, from: number): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.toString("utf8");
  } finally {
    await file.close();
  }
}
