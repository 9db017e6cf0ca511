import { handleMessage } from "./delivery.ts";
import type { PushEnv } from "./env.ts";
import { providersOf } from "./providers.ts";

export default {
  async queue(batch, env) {
    const providers = providersOf(env);
    await Promise.all(batch.messages.map((message) => handleMessage(message, providers)));
  },
} satisfies ExportedHandler<PushEnv>;
