/** All that a log line of this Worker can hold: who, where to and how it went, never what. */
interface Fields {
  readonly requestId?: string;
  readonly user?: string;
  readonly device?: string;
  readonly conversation?: string | undefined;
  readonly provider?: string;
  readonly attempt?: number;
  readonly delaySeconds?: number;
  /** The kind of an error. Its message may quote what a provider answered, tokens included. */
  readonly error?: string;
}

export function log(level: "info" | "error", event: string, fields: Fields): void {
  console[level](JSON.stringify({ time: new Date().toISOString(), level, event, ...fields }));
}
