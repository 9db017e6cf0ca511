import { coded } from "./codes.ts";
import type { GroupState } from "./epoch.ts";
import { type Group, MlsError } from "./mls.ts";

/** What stands behind a group; nothing, once it was used up. */
interface Slot {
  state: GroupState | undefined;
  /** Ends when the work that was asked for last has ended. */
  last: Promise<unknown>;
}

const slots = new WeakMap<Group, Slot>();

export function makeGroup(state: GroupState): Group {
  const { library, suite, number, ownLeaf, members } = state.epoch;
  const { groupId } = library.groupContext;
  const group: Group = Object.freeze({ groupId, suite, epoch: number, ownLeaf, members });
  slots.set(group, { state, last: Promise.resolve() });
  return group;
}

/** @throws MlsError used_up */
export function stateOf(group: Group): GroupState {
  const state = slots.get(group)?.state;
  if (!state) throw new MlsError("used_up");
  return state;
}

/** Works with a state and leaves it as it is. One piece of work follows another. */
export function borrow<T>(group: Group, work: (state: GroupState) => Promise<T>): Promise<T> {
  return coded(() => {
    const slot = slots.get(group);
    const done = (slot?.last ?? Promise.resolve()).then(() => work(stateOf(group)));
    if (slot) slot.last = done.catch(() => {});
    return done;
  });
}

/**
 * Works with a state that nothing is left of if the work succeeds: a second message sealed with the same keys would be
 * lost to everybody (RFC 9420 §9), and one sealed with keys that are overwritten would be readable.
 */
export function spend<T>(group: Group, work: (state: GroupState) => Promise<T>): Promise<T> {
  return borrow(group, async (state) => {
    const result = await work(state);
    drop(group);
    return result;
  });
}

/** @returns what was left of the group, if anything was */
export function drop(group: Group): GroupState | undefined {
  const slot = slots.get(group);
  const state = slot?.state;
  if (slot) slot.state = undefined;
  return state;
}
