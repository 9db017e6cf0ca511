import type { Group, MadeCommit } from "../../client/mls/mls.ts";

/** Takes the first commit of an epoch, and keeps what is needed to join. */
export class DeliveryService {
  #standing: MadeCommit;
  epoch: number;

  constructor(first: MadeCommit) {
    this.#standing = first;
    this.epoch = first.group.epoch;
  }

  get groupInfo(): Uint8Array {
    return this.#standing.groupInfo;
  }

  get tree(): Uint8Array {
    return this.#standing.tree;
  }

  /** @param group the one that the commit was made in; undefined: from outside, with what stands here */
  submit(made: MadeCommit, group?: Group): boolean {
    if (group && group.epoch !== this.epoch) return false;
    if (made.group.epoch !== this.epoch + 1) return false;
    this.#standing = made;
    this.epoch++;
    return true;
  }
}
