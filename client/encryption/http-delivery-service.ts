import { listDevices } from "../../shared/api/devices.ts";
import * as api from "../../shared/api/encryption.ts";
import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import type { ConversationId, DeviceId, UserId } from "../../shared/ids.ts";
import { ChatError, hasCode } from "../chat-error.ts";
import type { DeviceSession } from "../device-session.ts";
import type { Suite } from "../mls/mls.ts";
import type {
  ClaimedKeyPackages,
  CommitAnswer,
  DeliveryService,
  EpochOnServer,
  GroupOnServer,
  KeysOnServer,
  KeyUpload,
  SubmittedCommit,
} from "./delivery-service.ts";

/** The delivery service behind the server's HTTP surface (shared/api/encryption.ts). */
export class HttpDeliveryService implements DeliveryService {
  readonly #session: Pick<DeviceSession, "call">;

  constructor(session: Pick<DeviceSession, "call">) {
    this.#session = session;
  }

  async keys(): Promise<KeysOnServer> {
    const { accountKey, left } = await this.#session.call(api.viewKeys);
    return { accountKey: optional(accountKey), left };
  }

  async uploadKeys({ accountKey, reset, packages }: KeyUpload): Promise<KeysOnServer["left"]> {
    const body = {
      accountKey: toBase64url(accountKey),
      reset,
      packages: packages.map(({ keyPackage, lastResort }) => ({ keyPackage: toBase64url(keyPackage), lastResort })),
    };
    return (await this.#session.call(api.uploadKeys, { body })).left;
  }

  async claim(user: UserId, suite: Suite, except: readonly DeviceId[]): Promise<ClaimedKeyPackages> {
    const body = { suite, except: [...except] };
    const { packages, missing } = await this.#session.call(api.claimKeyPackages, { params: { user }, body });
    const claimed = packages.map(({ device, keyPackage }) => ({ device, keyPackage: bytes(keyPackage) }));
    return { packages: claimed, missing };
  }

  async submit(conversation: ConversationId, submitted: SubmittedCommit): Promise<CommitAnswer> {
    const { id, commit, groupInfo, welcome, after } = submitted;
    const group = { commit: toBase64url(commit), groupInfo: toBase64url(groupInfo) };
    const body = { id, ...group, ...(welcome && { welcome: toBase64url(welcome) }), after };
    const answer = await this.#session.call(api.submitCommit, { params: { conversation }, body });
    if (answer.accepted) return { accepted: true, seq: answer.seq };
    const missed = answer.entries.map((entry) => ({ ...entry, conversation, body: bytes(entry.body) }));
    return { accepted: false, epoch: answer.epoch, missed, through: answer.through };
  }

  async group(conversation: ConversationId): Promise<GroupOnServer | undefined> {
    const found = await orNothing(this.#session.call(api.viewGroup, { params: { conversation } }));
    return found && { ...found, groupInfo: bytes(found.groupInfo), tree: bytes(found.tree) };
  }

  async epoch(conversation: ConversationId, seq: number): Promise<EpochOnServer> {
    const found = await orNothing(this.#session.call(api.viewEpoch, { params: { conversation, seq } }));
    const parts = Object.entries(found ?? {}).flatMap(([name, text]) => (text ? [[name, bytes(text)] as const] : []));
    return Object.fromEntries(parts);
  }

  async devices(): Promise<DeviceId[]> {
    return (await this.#session.call(listDevices)).devices.map(({ device }) => device);
  }
}

async function orNothing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (hasCode(error, "not_found")) return undefined;
    throw error;
  }
}

function optional(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : bytes(text);
}

/** @throws ChatError unavailable: the server does not speak our language */
function bytes(text: string): Uint8Array {
  const decoded = fromBase64url(text);
  if (!decoded) throw new ChatError("unavailable");
  return decoded;
}
