import type { CiphersuiteName } from "ts-mls/crypto/ciphersuite.js";
import { suiteOf } from "../../shared/mls/suites.ts";
import { MlsError, type Suite } from "./mls.ts";

/** @throws MlsError unsupported */
export function suiteNamed(name: CiphersuiteName): Suite {
  const suite = suiteOf(name);
  if (suite === undefined) throw new MlsError("unsupported");
  return suite;
}
