import { type Env, isDevelopment } from "../../../durable-objects/runtime/env.ts";
import { CodeNotSent } from "./provider.ts";

/** The variables that say how codes are sent. */
export type CodeSettings = Pick<
  Env,
  | "ENVIRONMENT"
  | "SMS_PROVIDER"
  | "TWILIO_ACCOUNT_SID"
  | "TWILIO_AUTH_TOKEN"
  | "TWILIO_SENDER"
  | "TWILIO_API_URL"
  | "SMS_WEBHOOK_URL"
  | "SMS_WEBHOOK_SECRET"
>;
type Name = keyof CodeSettings;

/** Without the line end that secrets typed into a shell often have. @throws CodeNotSent */
export function required(settings: CodeSettings, name: Name): string {
  const value = settings[name]?.trim();
  if (!value) throw new CodeNotSent(`${name} is not set`);
  return value;
}

/** Codes and credentials leave this machine encrypted. @throws CodeNotSent */
export function requiredUrl(settings: CodeSettings, name: Name): URL {
  const url = URL.parse(required(settings, name));
  const isAllowed = url?.protocol === "https:" || (url?.protocol === "http:" && isDevelopment(settings));
  if (!url || !isAllowed) throw new CodeNotSent(`${name} is no https address`);
  return url;
}
