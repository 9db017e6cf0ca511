import type { Authenticate, Mls } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { decodeCertificate } from "../../shared/certificate.ts";
import { Refusal } from "../../shared/errors.ts";
import type { ConversationId } from "../../shared/ids.ts";
import type { LeafOwner, Suite } from "../../shared/rpc.ts";
import { type GroupBytes, type ReadCommit, readCommit } from "../../workers/gateway/encryption/read-commit.ts";
import { FakeMls, keyOf, readCommit as readFakeCommit } from "../fake/mls.ts";

export type MlsKind = "fake" | "real";

/** What devices seal and open with, and how a gateway reads it. */
export interface MlsModule {
  /** @param random what the module would otherwise draw by itself */
  open(authenticate: Authenticate, random: () => number): Mls;
  /** @throws Refusal */
  readCommit(bytes: GroupBytes, conversation: ConversationId, caller: LeafOwner): ReadCommit;
  inspect(keyPackage: Uint8Array, now: number): Promise<{ ref: string; suite: Suite; notAfter: number }>;
  /** Names the key that a message was sealed with; undefined if only its receivers know. */
  keyOf(message: Uint8Array): string | undefined;
}

const nobody = async () => true;
const [anyFake, anyReal] = [new FakeMls({ authenticate: nobody }), createMls({ authenticate: nobody })];

const fake: MlsModule = {
  open: (authenticate, random) => new FakeMls({ authenticate, random }),
  readCommit: ({ commit, welcome }, _conversation, caller) => {
    const { epoch, leaf, maker, credentials, remove } = readFakeCommit(commit);
    const { user, device } = decodeCertificate(maker);
    if (user !== caller.user || device !== caller.device) throw new Refusal("not_allowed");
    if ((welcome !== undefined) !== credentials.length > 0) throw new Refusal("bad_frame");
    return { epoch, leaf, adds: credentials.map(ownerOf), removes: [...remove] };
  },
  inspect: (keyPackage, now) => anyFake.inspectKeyPackage(keyPackage, now),
  keyOf,
};

const realModule: MlsModule = {
  open: (authenticate) => createMls({ authenticate }),
  readCommit: (bytes, conversation, caller) => readCommit(bytes, conversation, caller).commit,
  inspect: (keyPackage, now) => anyReal.inspectKeyPackage(keyPackage, now),
  keyOf: () => undefined,
};

export const mlsModules: Readonly<Record<MlsKind, MlsModule>> = { fake, real: realModule };

function ownerOf(credential: Uint8Array): LeafOwner {
  const { user, device } = decodeCertificate(credential);
  return { user, device };
}
