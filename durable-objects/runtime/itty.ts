import { createDurable } from "itty-durable/itty-durable.js";
import { proxyDurable } from "itty-durable/proxy-durable.js";

/**
 * The part of itty-durable that is used here, with types; its own are `any`. An object of its kind keeps its public
 * fields in one stored value, and is called by name through requests that only its own stub makes.
 */
export interface IttyDurable {
  readonly state: DurableObjectState;
  fetch(request: Request): Promise<Response>;
  /** Reads the fields, once; `fetch` does so by itself, an alarm does not. */
  loadFromStorage(): Promise<void>;
  /** Writes the fields. */
  persist(): Promise<void>;
}

/** The class to extend. @param onError answers a request whose method threw */
export function ittyDurable(
  onError: (error: unknown) => Response,
): new (
  state: DurableObjectState,
  env: object,
) => IttyDurable {
  return createDurable({ onError }) as unknown as ReturnType<typeof ittyDurable>;
}

/** The methods of the object with this name; each answers what the object's method answered, as JSON carries it. */
export function ittyStub<Methods>(namespace: DurableObjectNamespace, name: string): Methods {
  return proxyDurable(namespace, { parse: true }).get(name);
}
