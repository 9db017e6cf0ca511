import { log } from "../../../durable-objects/runtime/log.ts";
import { consoleSender } from "./console.ts";
import { CodeNotSent, type CodeSender } from "./provider.ts";
import type { CodeSettings } from "./settings.ts";
import { twilioSender } from "./twilio.ts";
import { webhookSender } from "./webhook.ts";

const senders = new Map([
  ["console", consoleSender],
  ["twilio", twilioSender],
  ["webhook", webhookSender],
]);

/** Sends codes the way that SMS_PROVIDER names. What is wrong with the settings is said when the first one is sent. */
export function codeSender(settings: CodeSettings): CodeSender {
  const provider = settings.SMS_PROVIDER ?? "";
  return {
    async send(phone, code) {
      try {
        const sender = senders.get(provider);
        if (!sender) throw new CodeNotSent('SMS_PROVIDER is neither "twilio" nor "webhook"');
        await sender(settings).send(phone, code);
      } catch (error) {
        if (error instanceof CodeNotSent)
          log("error", "code.not_sent", { provider, status: error.status, error: error.message });
        throw error;
      }
    },
  };
}
