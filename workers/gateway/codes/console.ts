import { isDevelopment } from "../../../durable-objects/runtime/env.ts";
import { CodeNotSent, type CodeSender } from "./provider.ts";
import type { CodeSettings } from "./settings.ts";

/** Shows codes to whoever develops here. Of the number it shows no more than its owner needs to recognise it. */
export function consoleSender(settings: CodeSettings): CodeSender {
  return {
    async send(phone, code) {
      if (!isDevelopment(settings))
        throw new CodeNotSent('SMS_PROVIDER "console" is for development only; set it to "twilio" or "webhook"');
      console.log(`Sandpiper code for •••${phone.slice(-4)}: ${code}`);
    },
  };
}
