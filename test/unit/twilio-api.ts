import type { Answered, Asked, Provider } from "./provider-server.ts";

export const ACCOUNT = "AC0123456789abcdef0123456789abcdef";
export const AUTH_TOKEN = "0123456789abcdef0123456789abcdef";

/** What a Message may be created with, as far as it concerns a text message; the API's other parameters are not for us. */
const known = new Set(["To", "From", "MessagingServiceSid", "Body"]);
const e164 = /^\+[1-9]\d{1,14}$/;

/** As the API does: errors have a code of its own, and the text of many quotes the request. */
const refusal = (status: number, code: number, message: string): Answered => ({
  status,
  body: { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status },
});

/**
 * Creates Messages as https://www.twilio.com/docs/messaging/api/message-resource describes it, and is stricter: a
 * parameter that it does not know is refused.
 * @param sent collects the parameters of what would reach a phone
 */
export function twilioApi(sent: Record<string, string>[]): Provider {
  return (asked) => {
    const refused = refusalOf(asked);
    if (refused) return refused;
    const params = Object.fromEntries(new URLSearchParams(asked.body));
    sent.push(params);
    return { status: 201, body: { sid: `SM${"0".repeat(32)}`, status: "queued", error_code: null, ...params } };
  };
}

function refusalOf({ method, path, headers, body }: Asked): Answered | undefined {
  if (path !== `/2010-04-01/Accounts/${ACCOUNT}/Messages.json`) return refusal(404, 20404, `${path} was not found`);
  if (method !== "POST") return refusal(405, 20004, "Method not allowed");
  const credentials = Buffer.from(`${ACCOUNT}:${AUTH_TOKEN}`).toString("base64");
  if (headers.authorization !== `Basic ${credentials}`) return refusal(401, 20003, "Authenticate");
  if (headers["content-type"] !== "application/x-www-form-urlencoded") return refusal(400, 21604, "No parameters");
  return refusalOfParams(new URLSearchParams(body));
}

function refusalOfParams(params: URLSearchParams): Answered | undefined {
  const names = [...params.keys()];
  const unknown = names.find((name) => !known.has(name) || params.getAll(name).length > 1);
  if (unknown) return refusal(400, 20001, `Unknown parameter ${unknown}`);
  const { To: to, From: from, MessagingServiceSid: service, Body: body } = Object.fromEntries(params);
  if (!to) return refusal(400, 21604, "A 'To' phone number is required.");
  if (!e164.test(to)) return refusal(400, 21211, `Invalid 'To' Phone Number: ${to}`);
  if (!from === !service) return refusal(400, 21603, "A 'From' phone number is required.");
  if (from && !e164.test(from)) return refusal(400, 21212, `Invalid 'From' Phone Number: ${from}`);
  if (service && !/^MG[0-9a-f]{32}$/.test(service)) return refusal(400, 21701, "The Messaging Service does not exist.");
  if (!body) return refusal(400, 21602, "Message body is required.");
  return body.length > 1_600 ? refusal(400, 21617, `The body is too long: ${body}`) : undefined;
}
