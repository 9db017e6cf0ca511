import { decodeCertificate } from "../../shared/certificate.ts";
import type { DeviceId, UserId } from "../../shared/ids.ts";
import { MAX_ADDS_PER_COMMIT } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import { isSameKey } from "../identity/ed25519.ts";
import type { Suite } from "../mls/mls.ts";
import type { ClaimedKeyPackages } from "./delivery-service.ts";
import type { MembershipParts } from "./membership.ts";

/** Whose devices are wanted, but for these. */
export interface Wanted {
  readonly user: UserId;
  readonly except: readonly DeviceId[];
}

export interface Claimed {
  readonly packages: readonly Uint8Array[];
  /** Somebody has a device without key packages of this suite: it can still join from outside. */
  readonly isComplete: boolean;
  /** Of somebody else there is not one. */
  readonly lacksSomebody: boolean;
}

/** Key packages of people's devices, each what it claims to be: the server could hand out anything. */
export class Claims {
  readonly #parts: Pick<MembershipParts, "mls" | "service" | "authenticator" | "owner" | "session">;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /** As many people as fit into one commit. @throws ChatError not_found, tampered */
  async claim(wanted: readonly Wanted[], suite: Suite): Promise<Claimed> {
    const packages: Uint8Array[] = [];
    let isComplete = true;
    let lacksSomebody = false;
    for (const one of wanted) {
      if (packages.length >= MAX_ADDS_PER_COMMIT || lacksSomebody) break;
      const claimed = await this.#claimOf(one, suite);
      packages.push(...claimed.packages.map(({ keyPackage }) => keyPackage));
      isComplete &&= claimed.missing.length === 0;
      lacksSomebody ||= claimed.packages.length === 0 && one.user !== this.#parts.owner.user;
    }
    return { packages: packages.slice(0, MAX_ADDS_PER_COMMIT), isComplete, lacksSomebody };
  }

  async #claimOf({ user, except }: Wanted, suite: Suite): Promise<ClaimedKeyPackages> {
    const { service, owner } = this.#parts;
    const claimed = await service.claim(user, suite, except);
    const accountKeys: Uint8Array[] = [];
    for (const { device, keyPackage } of claimed.packages) {
      accountKeys.push(await this.#inspect(keyPackage, { user, device }, suite));
    }
    // A device under another account key beside theirs is not theirs, whatever it says of itself.
    const [first] = accountKeys;
    if (first && !accountKeys.every((key) => isSameKey(key, first))) throw new ChatError("tampered");
    const isNobody = claimed.packages.length + claimed.missing.length === 0;
    if (isNobody && user !== owner.user) throw new ChatError("not_found");
    return claimed;
  }

  /** @returns the account key that vouches for it */
  async #inspect(
    keyPackage: Uint8Array,
    owner: { readonly user: UserId; readonly device: DeviceId },
    suite: Suite,
  ): Promise<Uint8Array> {
    const { mls, authenticator, session } = this.#parts;
    try {
      const { credential, publicKey, ...inspected } = await mls.inspectKeyPackage(keyPackage, session.now);
      const { user, device, accountKey } = decodeCertificate(credential);
      const isOwners = user === owner.user && device === owner.device && inspected.suite === suite;
      const isTheirs = isOwners && (await authenticator.authenticate(credential, publicKey));
      if (isTheirs && authenticator.isCurrent(user, accountKey)) return accountKey;
    } catch (cause) {
      throw new ChatError("tampered", { cause });
    }
    throw new ChatError("tampered");
  }
}
