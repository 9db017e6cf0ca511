import type { Authenticate, Mls } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { decodeCertificate } from "../../shared/certificate.ts";
import { Refusal } from "../../shared/errors.ts";
import type { ConversationId } from "../../shared/ids.ts";
import type { LeafOwner, SubmitCommit, Suite } from "../../shared/rpc.ts";
import {
  type GroupBytes,
  type ReadSubmission,
  readSubmission,
} from "../../workers/gateway/encryption/read-submission.ts";
import { FakeMls, keyOf, readCommit, readEntrance } from "../fake/mls.ts";

export type MlsKind = "fake" | "real";

/** What devices seal and open with, and how a gateway reads it. */
export interface MlsModule {
  /** @param random what the module would otherwise draw by itself */
  open(authenticate: Authenticate, random: () => number): Mls;
  /** @throws Refusal */
  readSubmission(bytes: GroupBytes, conversation: ConversationId, caller: LeafOwner): Promise<ReadSubmission>;
  inspect(keyPackage: Uint8Array, now: number): Promise<{ ref: string; suite: Suite; notAfter: number }>;
  /** Names the key that a message was sealed with; undefined if only its receivers know. */
  keyOf(message: Uint8Array): string | undefined;
}

const nobody = async () => true;
const [anyFake, anyReal] = [new FakeMls({ authenticate: nobody }), createMls({ authenticate: nobody })];

const fake: MlsModule = {
  open: (authenticate, random) => new FakeMls({ authenticate, random }),
  readSubmission: async ({ commit, welcome, groupInfo, tree }, _conversation, caller) => {
    const { epoch, leaf, own, adds, remove } = readCommit(commit);
    const { user, device, digest } = addedLeaf(own);
    if (user !== caller.user || device !== caller.device) throw new Refusal("not_allowed");
    if ((welcome !== undefined) !== adds.length > 0) throw new Refusal("bad_frame");
    const { suite, keys } = readEntrance(groupInfo, tree);
    const leaves = keys.map((key) => key && digestOf(key));
    return { epoch, leaf, own: digest, adds: adds.map(addedLeaf), removes: [...remove], suite, leaves };
  },
  inspect: (keyPackage, now) => anyFake.inspectKeyPackage(keyPackage, now),
  keyOf,
};

const realModule: MlsModule = {
  open: (authenticate) => createMls({ authenticate }),
  readSubmission: async (bytes, conversation, caller) => (await readSubmission(bytes, conversation, caller)).read,
  inspect: (keyPackage, now) => anyReal.inspectKeyPackage(keyPackage, now),
  keyOf: () => undefined,
};

export const mlsModules: Readonly<Record<MlsKind, MlsModule>> = { fake, real: realModule };

function addedLeaf({ credential, key }: { credential: Uint8Array; key: string }): SubmitCommit["adds"][number] {
  const { user, device } = decodeCertificate(credential);
  return { user, device, digest: digestOf(key) };
}

/** The key of a leaf is its own, and stays. @param key hex */
function digestOf(key: string): string {
  return key.slice(0, 43);
}
