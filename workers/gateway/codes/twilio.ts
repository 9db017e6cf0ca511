import { post } from "./post.ts";
import type { CodeSender } from "./provider.ts";
import { type CodeSettings, required, requiredUrl } from "./settings.ts";

const API_URL = "https://api.twilio.com";

/** Twilio's Programmable Messaging: creates a Message resource (https://www.twilio.com/docs/messaging/api/message-resource). */
export function twilioSender(given: CodeSettings): CodeSender {
  const settings = { ...given, TWILIO_API_URL: given.TWILIO_API_URL || API_URL };
  return {
    async send(phone, code) {
      const account = required(settings, "TWILIO_ACCOUNT_SID");
      const token = required(settings, "TWILIO_AUTH_TOKEN");
      const sender = required(settings, "TWILIO_SENDER");
      const path = `/2010-04-01/Accounts/${encodeURIComponent(account)}/Messages.json`;
      await post(new URL(path, requiredUrl(settings, "TWILIO_API_URL")), {
        headers: {
          authorization: `Basic ${btoa(`${account}:${token}`)}`,
          "content-type": "application/x-www-form-urlencoded",
        },
        body: new URLSearchParams({
          To: phone,
          [sender.startsWith("MG") ? "MessagingServiceSid" : "From"]: sender,
          Body: `${code} is your Sandpiper code. Give it to nobody: Sandpiper never asks for it.`,
        }).toString(),
      });
    },
  };
}
