import { CryptoError, CryptoVerificationError } from "ts-mls/mlsError.js";
import { MlsError } from "./mls.ts";

/** Runs what works on foreign bytes: whatever goes wrong in it gets a code, and keeps its cause. */
export async function coded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toMlsError(error);
  }
}

/** What the library does not understand it refuses in many ways, a TypeError among them. */
function toMlsError(error: unknown): MlsError {
  if (error instanceof MlsError) return error;
  const isForged = error instanceof CryptoError || error instanceof CryptoVerificationError;
  return new MlsError(isForged ? "undecryptable" : "malformed", { cause: error });
}
