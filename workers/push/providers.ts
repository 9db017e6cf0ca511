import type { PushEnv } from "./env.ts";
import { logProvider } from "./log-provider.ts";
import type { Provider } from "./provider.ts";

/** The providers through which a device may be reached here. */
export function providersOf(env: PushEnv): readonly Provider[] {
  return env.ENVIRONMENT === "development" ? [logProvider(env.DB)] : [];
}
