import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  verify,
  type webcrypto,
} from "node:crypto";
import { cryptoOf } from "../../shared/mls/suites.ts";
import type { Random } from "./random.ts";

/** What the devices' code finds around it wherever it runs. */
export interface Surroundings {
  /** Ms since 1970. */
  readonly now: number;
  readonly random: Random;
}

/**
 * For the time of a run, the clock and the keys of devices are the world's, so that a run can be repeated. What a world needs
 * most often of WebCrypto happens at once; of the rest it is known how much is still under way.
 */
export async function within<T>(surroundings: Surroundings, work: () => Promise<T>): Promise<T> {
  const { now } = Date;
  if (lent) throw new Error("one world at a time");
  lent = surroundings;
  Date.now = () => surroundings.now;
  lendCrypto(simulated);
  try {
    // What is loaded on first use is loaded before it matters.
    await Promise.all([cryptoOf(1), cryptoOf(83)]);
    return await work();
  } finally {
    lent = undefined;
    verified.clear();
    Date.now = now;
    lendCrypto(real);
  }
}

/** Fulfilled when nothing goes on any more but what waits for the world. */
export async function settled(): Promise<void> {
  do await new Promise(setImmediate);
  while (underWay > 0);
}

function lendCrypto(crypto: typeof real): void {
  Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true });
}

const real = globalThis.crypto;
let lent: Surroundings | undefined;
let underWay = 0;
let last: Promise<unknown> = Promise.resolve();
/** All devices verify the same certificates. */
const verified = new Map<string, boolean>();

/** An Ed25519 key; all others are the engine's own. */
class Key {
  readonly object: KeyObject;
  constructor(object: KeyObject) {
    this.object = object;
  }
}

type Subtle = typeof real.subtle;
type Parameters2<Method extends keyof Subtle> = Subtle[Method] extends (...args: infer Args) => unknown ? Args : never;

/** What ends out of turn ends in turn: with more than one under way a run could not be repeated. */
function inTurn<T>(work: Promise<T>): Promise<T> {
  underWay++;
  const turn = last.then(() => work).finally(() => underWay--);
  last = turn.catch(() => {});
  return turn;
}

const own = {
  digest: async (algorithm: string, data: Uint8Array) => {
    const hash = createHash(algorithm.replace("-", "")).update(new Uint8Array(data)).digest();
    return hash.buffer.slice(hash.byteOffset, hash.byteOffset + hash.byteLength);
  },
  importKey: async (...args: Parameters2<"importKey">) => {
    const [format, data, algorithm] = args;
    if (algorithm !== "Ed25519") return inTurn(real.subtle.importKey(...args));
    const bytes = Buffer.from(data as Uint8Array);
    if (format === "pkcs8") return new Key(createPrivateKey({ key: bytes, format: "der", type: "pkcs8" }));
    const jwk = { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") };
    return new Key(createPublicKey({ key: jwk, format: "jwk" }));
  },
  exportKey: async (format: "jwk", key: Key | webcrypto.CryptoKey) => {
    if (key instanceof Key) return createPublicKey(key.object).export({ format });
    return inTurn(real.subtle.exportKey(format, key));
  },
  sign: async (...args: Parameters2<"sign">) => {
    const [, key, data] = args;
    if (!(key instanceof Key)) return inTurn(real.subtle.sign(...args));
    return sign(null, data as Uint8Array, key.object);
  },
  verify: async (...args: Parameters2<"verify">) => {
    const [, key, signature, data] = args;
    if (!(key instanceof Key)) return inTurn(real.subtle.verify(...args));
    const x = key.object.export({ format: "jwk" }).x;
    const name = `${x} ${Buffer.from(signature as Uint8Array).toString("latin1")} ${Buffer.from(data as Uint8Array).toString("latin1")}`;
    const isRight = verified.get(name) ?? verify(null, data as Uint8Array, key.object, signature as Uint8Array);
    verified.set(name, isRight);
    return isRight;
  },
};

/** Kept by libraries for as long as the process lives: it serves one world after the other. */
const subtle = new Proxy(real.subtle, {
  get: (target, name: keyof Subtle) => {
    if (name in own) return own[name as keyof typeof own];
    const method: unknown = target[name];
    if (typeof method !== "function") return method;
    return (...args: unknown[]) => inTurn(method.apply(target, args) as Promise<unknown>);
  },
});

const simulated = {
  subtle,
  getRandomValues: <T extends Uint8Array>(array: T): T => {
    const random = lent?.random;
    if (!random) throw new Error("nobody lends any chance");
    for (let at = 0; at < array.length; at++) array[at] = random.between(0, 255);
    return array;
  },
  randomUUID: () => {
    throw new Error("not in a simulated world");
  },
} as unknown as typeof real;
