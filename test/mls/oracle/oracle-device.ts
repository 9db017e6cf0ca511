import { raw } from "mls-ts";
import { encodeKeyPackage } from "ts-mls/keyPackage.js";
import { readMessage } from "../../../client/mls/wire.ts";
import { text, utf8 } from "../device.ts";

/** MLSMessage, mls10, mls_key_package (RFC 9420 §6): what the oracle leaves off a key package. */
const KEY_PACKAGE_HEADER = Uint8Array.of(0, 1, 0, 5);

export interface OracleAddition {
  readonly welcome: Uint8Array;
  readonly tree: Uint8Array;
  /** In this order; both are PrivateMessages, the commit refers to the proposal. */
  readonly handshakes: readonly [proposal: Uint8Array, commit: Uint8Array];
}

/** A device on OpenMLS. It can add others and write; it cannot remove anybody or renew its keys by itself. */
export class OracleDevice {
  readonly name: string;
  readonly #provider = new raw.Provider();
  readonly #identity: raw.Identity;
  #group: raw.Group | undefined;

  constructor(name: string) {
    this.name = name;
    this.#identity = new raw.Identity(this.#provider, name);
  }

  keyPackage(): Uint8Array {
    return Uint8Array.of(...KEY_PACKAGE_HEADER, ...this.#identity.key_package(this.#provider).to_bytes());
  }

  create(groupId: string): void {
    this.#group = raw.Group.create_new(this.#provider, this.#identity, groupId);
  }

  join(welcome: Uint8Array, tree: Uint8Array): void {
    this.#group = raw.Group.join(this.#provider, welcome, raw.RatchetTree.from_bytes(tree));
  }

  add(keyPackage: Uint8Array): OracleAddition {
    const bare = encodeKeyPackage(readMessage(keyPackage, "mls_key_package").keyPackage);
    const read = raw.KeyPackage.from_bytes(bare);
    const { welcome, proposal, commit } = this.group.propose_and_commit_add(this.#provider, this.#identity, read);
    this.group.merge_pending_commit(this.#provider);
    return { welcome, tree: this.group.export_ratchet_tree().to_bytes(), handshakes: [proposal, commit] };
  }

  seal(said: string): Uint8Array {
    return this.group.create_message(this.#provider, this.#identity, utf8(said));
  }

  /** @returns what a message says, and nothing for a handshake message */
  receive(message: Uint8Array): string {
    return text(this.group.process_message(this.#provider, message));
  }

  /** The same for all who are in the same epoch of the same history. */
  exported(): string {
    return Buffer.from(this.group.export_key(this.#provider, "agreement", new Uint8Array(), 32)).toString("hex");
  }

  get group(): raw.Group {
    if (!this.#group) throw new Error(`${this.name} is in no group`);
    return this.#group;
  }
}
