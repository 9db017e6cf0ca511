/**
 * Structured logs, one JSON line an event. Whatever is not in this list cannot be logged: no text of a person, no token,
 * no phone number, no address. Add a name here only if its value says nothing of the kind.
 */
const allowedFields = [
  "requestId",
  "user",
  "device",
  "conversation",
  "seq",
  "epoch",
  "code",
  "method",
  "route",
  "status",
  "durationMs",
  "count",
  "attempt",
  "delayMs",
  "provider",
  "bucket",
  "error",
  "stack",
] as const;

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = { readonly [Field in (typeof allowedFields)[number]]?: string | number | boolean | undefined };

export function log(level: LogLevel, event: string, fields: LogFields = {}): void {
  const allowed = Object.fromEntries(allowedFields.map((field) => [field, fields[field]]));
  console[level](JSON.stringify({ time: new Date().toISOString(), level, event, ...allowed }));
}

/** What an error may show: its kind and where it came from. Its message may quote what a person wrote. */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: typeof error };
  const frames = error.stack?.split("\n").filter((line) => /^\s+at /.test(line));
  return { error: error.name, stack: frames?.map((line) => line.trim()).join(" | ") };
}
