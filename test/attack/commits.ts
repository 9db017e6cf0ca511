import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { GroupInfo } from "ts-mls/groupInfo.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import type { Group, MadeCommit } from "../../client/mls/mls.ts";
import { submitCommit } from "../../shared/api/encryption.ts";
import { type ConversationId, directConversation } from "../../shared/ids.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import { decodeMessage } from "../../shared/mls/wire.ts";
import { cases } from "./case.ts";
import { mls, type Submitted } from "./groups.ts";
import { type Answer, expectRefusal, granted } from "./http.ts";
import type { Line } from "./line.ts";
import type { Account, World } from "./world.ts";

/** So long an answer may take at most, on a busy machine too. */
const QUICK_MS = 2_000;
/** What members check of a commit and the server does not, by where its last byte lies, from the end; each behind its length. */
const CHECKED = { "membership tag": 1, "confirmation tag": 1 + 33, signature: 1 + 33 + 33 };

/** A device alone in the group of a conversation of its own, and the commit that it would make next. */
interface Scene {
  readonly mallory: Account;
  readonly conversation: ConversationId;
  readonly before: MadeCommit;
  readonly made: MadeCommit;
}

async function begin(world: World): Promise<Scene> {
  const mallory = await world.signUp();
  const conversation = directConversation(mallory.user, mallory.user);
  const before = await world.groups.found(mallory, conversation);
  expectTaken(await world.groups.submit(mallory, conversation, before));
  return { mallory, conversation, before, made: await mls.commit(before.group, {}) };
}

function expectTaken(answer: Answer): void {
  assert.equal(granted(submitCommit, answer).accepted, true, "the commit is not taken");
}

/** One by one, at once, and without a trace: what was to be done is done afterwards. */
async function expectRefused(
  world: World,
  { mallory, conversation, made }: Scene,
  forgeries: Readonly<Record<string, Partial<Submitted>>>,
): Promise<void> {
  for (const [what, forged] of Object.entries(forgeries)) {
    const began = performance.now();
    const answer = await world.groups.submit(mallory, conversation, { ...made, ...forged });
    const ms = performance.now() - began;
    expectRefusal(answer, 400, "bad_frame", what);
    assert.ok(ms < QUICK_MS, `${what} took ${Math.round(ms)} ms`);
  }
  expectTaken(await world.groups.submit(mallory, conversation, made));
}

/** What may be left of good bytes when somebody has been at them. */
function damaged(what: string, good: Uint8Array): Record<string, Uint8Array> {
  const places = Array.from({ length: 12 }, (_, index) => Math.floor((good.length * index) / 12));
  return Object.fromEntries([
    ...places.slice(1).map((end) => [`${what} up to ${end}`, good.subarray(0, end)] as const),
    ...places.map((at) => [`${what} with another byte ${at}`, good.with(at, (good[at] ?? 0) ^ 0xff)] as const),
    [`${what} and more`, Buffer.concat([good, Buffer.from([0])])] as const,
    ...[1, 100, 10_000].map((bytes) => [`${bytes} random bytes for ${what}`, randomBytes(bytes)] as const),
    ...[1, 2, 3, 4, 5].map((format) => {
      const noise = Buffer.concat([Buffer.from([0, 1, 0, format]), randomBytes(200)]);
      return [`noise of format ${format} for ${what}`, noise] as const;
    }),
  ]);
}

function as(part: keyof Submitted, all: Record<string, Uint8Array>): Record<string, Partial<Submitted>> {
  return Object.fromEntries(Object.entries(all).map(([what, bytes]) => [what, { [part]: bytes }]));
}

/** The same commit, but for what it says that it changes. */
function withoutProposals(bytes: Uint8Array): Uint8Array {
  const { publicMessage } = decodeMessage(bytes, ["mls_public_message"])!;
  const { content } = publicMessage;
  assert.ok(content.contentType === "commit");
  const silent = { ...content, commit: { ...content.commit, proposals: [] } };
  const message = { ...publicMessage, content: silent };
  return encodeMlsMessage({ version: "mls10", wireformat: "mls_public_message", publicMessage: message });
}

/** A device in a group, which keeps the group's state itself. */
class Member {
  readonly #world: World;
  readonly #account: Account;
  readonly #conversation: ConversationId;
  group: Group;
  /** The commit by which it has come in. */
  joinedBy: Uint8Array;

  private constructor(world: World, account: Account, conversation: ConversationId, joined: MadeCommit) {
    [this.#world, this.#account, this.#conversation] = [world, account, conversation];
    [this.group, this.joinedBy] = [joined.group, joined.commit];
  }

  static async join(world: World, account: Account, conversation: ConversationId): Promise<Member> {
    return new Member(world, account, conversation, await world.groups.join(account, conversation));
  }

  /** In the place that it had. */
  async joinAnew(): Promise<void> {
    const { commit, group } = await this.#world.groups.join(this.#account, this.#conversation);
    [this.group, this.joinedBy] = [group, commit];
  }

  /** @returns what it says, if it is a message */
  async open(bytes: Uint8Array): Promise<string | undefined> {
    const opened = await mls.open(this.group, bytes);
    if (opened.kind === "removed") throw new Error("it is not in the group any more");
    this.group = opened.group;
    return opened.kind === "message" ? new TextDecoder().decode(opened.plaintext) : undefined;
  }

  /** @returns what it has sealed, once the server has given it a place */
  async write(line: Line, text: string): Promise<Uint8Array> {
    const id = line.newId();
    const { message, group } = await mls.seal(this.group, id, new TextEncoder().encode(text));
    this.group = group;
    line.up({ type: "send", id, conversation: this.#conversation }, message);
    await line.next("sent", ({ messages }) => messages.some((sent) => sent.id === id));
    return message;
  }
}

export const commits = cases("Groups", {
  "a commit whose group info is junk, or signed by nobody": async (world) => {
    const scene = await begin(world);
    const { groupInfo, commit, tree } = scene.made;
    await expectRefused(world, scene, {
      ...as("groupInfo", damaged("a group info", groupInfo)),
      "a group info signed by nobody": {
        groupInfo: groupInfo.map((byte, at) => (at < groupInfo.length - 64 ? byte : 0)),
      },
      "a commit for a group info": { groupInfo: commit },
      "a tree for a group info": { groupInfo: tree },
    });
  },

  "a commit with the group info of another group, of another's, or of another epoch": async (world) => {
    const scene = await begin(world);
    const { mallory, conversation, before, made } = scene;
    const [friend, stranger] = [await world.signUp(), await world.signUp()];
    const other = await world.groups.found(mallory, directConversation(mallory.user, friend.user));
    const twin = await world.groups.found(mallory, conversation);
    const twins = await mls.commit(twin.group, {});
    const theirs = await mls.commit((await world.groups.found(stranger, conversation)).group, {});
    const later = await mls.commit(made.group, {});
    const all = {
      "another group": other,
      "its twin": twins,
      "a stranger's": theirs,
      "the epoch before": before,
      later,
    };
    const forgeries = Object.entries(all).map(([whose, { groupInfo }]) => [whose, { groupInfo }] as const);
    await expectRefused(world, scene, Object.fromEntries(forgeries));
  },

  "a commit whose maker has signed a group info that is of no use": async (world) => {
    const scene = await begin(world);
    const { mallory, made } = scene;
    const elsewhere = groupIdOf(directConversation(mallory.user, (await world.signUp()).user));
    const inContext =
      (change: Partial<GroupInfo["groupContext"]>) =>
      ({ groupContext }: GroupInfo) => ({
        groupContext: { ...groupContext, ...change },
      });
    const { epoch } = decodeMessage(made.groupInfo, ["mls_group_info"])!.groupInfo.groupContext;
    const lies: Readonly<Record<string, (info: GroupInfo) => Partial<GroupInfo>>> = {
      "of another group": inContext({ groupId: elsewhere }),
      "of the epoch before": inContext({ epoch: epoch - 1n }),
      "of the last epoch that there can be": inContext({ epoch: 2n ** 64n - 1n }),
      "of another tree": inContext({ treeHash: randomBytes(32) }),
      "of another suite": inContext({ cipherSuite: "MLS_256_XWING_AES256GCM_SHA512_Ed25519" }),
      "of nobody": () => ({ signer: 7 }),
      "without a key to join by": () => ({ extensions: [] }),
      "with a key to join by that is none": ({ extensions }) => ({
        extensions: extensions.map((extension) => ({ ...extension, extensionData: Buffer.from([1, 0]) })),
      }),
    };
    const signed = Object.entries(lies).map(async ([what, lie]) => {
      const groupInfo = await world.groups.resign(mallory, made.groupInfo, lie);
      return [`a group info ${what}`, { groupInfo }] as const;
    });
    await expectRefused(world, scene, Object.fromEntries(await Promise.all(signed)));
  },

  "a commit with a group info of a tree in which somebody is missing whom it does not say that it removes": async (
    world,
  ) => {
    const [mallory, friend] = await world.friends();
    const conversation = directConversation(mallory.user, friend.user);
    const before = await world.groups.found(mallory, conversation);
    expectTaken(await world.groups.submit(mallory, conversation, before));
    const { joinedBy } = await Member.join(world, friend, conversation);
    const joined = await mls.open(before.group, joinedBy);
    assert.ok(joined.kind === "commit");
    const { group } = joined;
    const alone = await mls.commit(group, { remove: group.members.map(({ leaf }) => leaf).filter((leaf) => leaf > 0) });
    const made = await mls.commit(group, {});
    await expectRefused(
      world,
      { mallory, conversation, before, made },
      {
        "a group without the friend": { groupInfo: alone.groupInfo, commit: withoutProposals(alone.commit) },
      },
    );
  },

  "a commit that no member can read is taken, and whoever is in the group joins anew and writes": async (world) => {
    const [owner, mallory] = await world.friends();
    const laptop = await world.link(owner);
    const conversation = directConversation(owner.user, mallory.user);
    expectTaken(await world.groups.submit(owner, conversation, await world.groups.found(owner, conversation)));
    const enemy = await Member.join(world, mallory, conversation);
    const [one, two] = [await Member.join(world, owner, conversation), await Member.join(world, laptop, conversation)];
    for (const { joinedBy } of [one, two]) await enemy.open(joinedBy);
    await one.open(two.joinedBy);
    const line = await world.connect(owner);
    for (const [what, fromEnd] of Object.entries(CHECKED)) {
      const made = await mls.commit(enemy.group, {});
      const commit = made.commit.with(-fromEnd, (made.commit.at(-fromEnd) ?? 0) ^ 0xff);
      expectTaken(await world.groups.submit(mallory, conversation, { ...made, commit }));
      enemy.group = made.group;
      for (const member of [one, two]) {
        await assert.rejects(member.open(commit), `a commit with another ${what} was opened`);
        await member.joinAnew();
        await enemy.open(member.joinedBy);
      }
      await one.open(two.joinedBy);
      assert.equal(await two.open(await one.write(line, what)), what);
    }
    await line.close();
  },
});
