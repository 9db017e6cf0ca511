import type { Authenticate, Mls } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { decodeCertificate } from "../../shared/certificate.ts";
import { Refusal } from "../../shared/errors.ts";
import type { ConversationId } from "../../shared/ids.ts";
import type { LeafOwner, SubmitCommit, Suite } from "../../shared/rpc.ts";
import { type Entrance, treeAfter } from "../../workers/gateway/encryption/group-after.ts";
import { readCommit } from "../../workers/gateway/encryption/read-commit.ts";
import { FakeMls, keyOf, readCommit as readFakeCommit, treeIn } from "../fake/mls.ts";

export type MlsKind = "fake" | "real";

/** A commit as a device hands it in. */
interface Handed {
  readonly commit: Uint8Array;
  readonly groupInfo: Uint8Array;
  readonly welcome: Uint8Array | undefined;
}

/** What a gateway reads of it. */
export interface ReadCommit {
  readonly change: Pick<SubmitCommit, "epoch" | "leaf" | "adds" | "removes">;
  /** @throws Refusal */
  treeAfter(before: Entrance | undefined, now: number): Promise<Uint8Array>;
}

/** What devices seal and open with, and how a gateway reads it. */
export interface MlsModule {
  /** @param random what the module would otherwise draw by itself */
  open(authenticate: Authenticate, random: () => number): Mls;
  /** @throws Refusal */
  read(handed: Handed, conversation: ConversationId, caller: LeafOwner): ReadCommit;
  inspect(keyPackage: Uint8Array, now: number): Promise<{ ref: string; suite: Suite; notAfter: number }>;
  /** Names the key that a message was sealed with; undefined if only its receivers know. */
  keyOf(message: Uint8Array): string | undefined;
}

const nobody = async () => true;
const [anyFake, anyReal] = [new FakeMls({ authenticate: nobody }), createMls({ authenticate: nobody })];

const fake: MlsModule = {
  open: (authenticate, random) => new FakeMls({ authenticate, random }),
  read: ({ commit, welcome }, _conversation, caller) => {
    const { epoch, leaf, maker, credentials, remove } = readFakeCommit(commit);
    const { user, device } = decodeCertificate(maker);
    if (user !== caller.user || device !== caller.device) throw new Refusal("not_allowed");
    if ((welcome !== undefined) !== credentials.length > 0) throw new Refusal("bad_frame");
    const change = { epoch, leaf, adds: credentials.map(ownerOf), removes: [...remove] };
    return { change, treeAfter: async () => treeIn(commit) };
  },
  inspect: (keyPackage, now) => anyFake.inspectKeyPackage(keyPackage, now),
  keyOf,
};

const realModule: MlsModule = {
  open: (authenticate) => createMls({ authenticate }),
  read: (handed, conversation, caller) => {
    const read = readCommit(handed, conversation, caller);
    const { epoch, leaf, adds, removes } = read;
    const change = { epoch, leaf, adds: adds.map(({ user, device }) => ({ user, device })), removes: [...removes] };
    return { change, treeAfter: (before, now) => treeAfter(before, read, handed.groupInfo, conversation, now) };
  },
  inspect: (keyPackage, now) => anyReal.inspectKeyPackage(keyPackage, now),
  keyOf: () => undefined,
};

export const mlsModules: Readonly<Record<MlsKind, MlsModule>> = { fake, real: realModule };

function ownerOf(credential: Uint8Array): LeafOwner {
  const { user, device } = decodeCertificate(credential);
  return { user, device };
}
