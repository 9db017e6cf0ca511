import type { keySet } from "../../shared/api/service.ts";
import { keyRing, reportKeyOf } from "./auth/keys.ts";
import type { Serve } from "./serve.ts";

/** For whoever verifies our tokens or seals a report. A new key stands here before it signs. */
export const answerKeySet: Serve<typeof keySet> = async ({ c }) => {
  const { publicKeys } = await keyRing(c.env.TOKEN_KEYS);
  const keys = [...publicKeys, ...reportKeyOf(c.env.REPORT_KEY)];
  return c.json({ keys }, 200, { "cache-control": "public, max-age=300" });
};
