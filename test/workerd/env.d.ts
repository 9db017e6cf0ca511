import type { Env as Bindings } from "../../durable-objects/runtime/env.ts";

/** What `import { env, exports } from "cloudflare:workers"` gives to a test. */
declare global {
  namespace Cloudflare {
    interface Env extends Bindings {}
    interface GlobalProps {
      mainModule: typeof import("../../workers/gateway/worker.ts");
    }
  }
}
