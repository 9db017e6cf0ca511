const NONCE_BYTES = 12;
const ALGORITHM = "AES-GCM";

/** Where a value stands: the object store, the key there, and which of the row's values it is. */
export type Place = readonly [store: string, ...key: (string | number)[]];

/**
 * Encrypts what a database keeps with AES-256-GCM: a nonce of its own for each value, then the ciphertext and the tag. A
 * value opens at its place alone: whoever can write to the disk cannot put one in the place of another. Nonces are random,
 * so that one key is good for 2^32 values (NIST SP 800-38D §8.3), more than a device will ever write.
 */
export class ValueCipher {
  readonly #key: CryptoKey;

  constructor(key: CryptoKey) {
    this.#key = key;
  }

  /** Scripts can use the key and never read it. */
  static makeKey(): Promise<CryptoKey> {
    return crypto.subtle.generateKey({ name: ALGORITHM, length: 256 }, false, ["encrypt", "decrypt"]);
  }

  async seal(place: Place, value: Uint8Array): Promise<Uint8Array> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const ciphertext = await crypto.subtle.encrypt(parameters(place, nonce), this.#key, value as BufferSource);
    const sealed = new Uint8Array(NONCE_BYTES + ciphertext.byteLength);
    sealed.set(nonce);
    sealed.set(new Uint8Array(ciphertext), NONCE_BYTES);
    return sealed;
  }

  /** @throws OperationError if these bytes were not sealed for this place */
  async open(place: Place, sealed: Uint8Array): Promise<Uint8Array> {
    const nonce = sealed.slice(0, NONCE_BYTES);
    const ciphertext = sealed.subarray(NONCE_BYTES) as BufferSource;
    return new Uint8Array(await crypto.subtle.decrypt(parameters(place, nonce), this.#key, ciphertext));
  }
}

function parameters(place: Place, iv: Uint8Array<ArrayBuffer>): AesGcmParams {
  return { name: ALGORITHM, iv, additionalData: new TextEncoder().encode(JSON.stringify(place)) };
}
