import { env, exports } from "cloudflare:workers";
import { decodeMlsMessage, encodeMlsMessage, type MLSMessage, type Proposal, type PublicMessage } from "ts-mls";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AccountKey } from "../../client/identity/account-key.ts";
import type { MadeCommit } from "../../client/mls/mls.ts";
import { submitCommit, viewEpoch, viewGroup } from "../../shared/api/encryption.ts";
import { directConversation } from "../../shared/ids.ts";
import { additionBucket, MAX_INLINE_GROUP_BYTES, personBuckets } from "../../shared/limits.ts";
import { readFraming } from "../../shared/mls/framing.ts";
import { toBase64url } from "../../workers/gateway/encryption/base64url.ts";
import { sealedBytes } from "../sealed.ts";
import { requestOf } from "./accounts.ts";
import { refusalOf } from "./asking.ts";
import { type Addable, addable, crowd, MlsDevice, mls, newKeys } from "./mls-device.ts";
import { conversation, entriesFor, person, rowsOf, tablesOf } from "./objects.ts";

let alice: MlsDevice;
let bob: MlsDevice;
let chat: string;

beforeEach(async () => {
  [alice, bob] = [await MlsDevice.signUp(), await MlsDevice.signUp()];
  chat = directConversation(alice.user, bob.user);
});
afterEach(() => vi.restoreAllMocks());

const nothing = { delivered: 0, read: 0, kept: 0 };

async function appended(id: string, by: MlsDevice, body: Uint8Array<ArrayBuffer>): Promise<string | number> {
  const messages = [{ id: ulid(), device: by.device, body }];
  const { results } = await conversation(id).append({ user: by.user, messages, watermark: nothing, requestId: "r" });
  const [result] = results;
  return result?.ok ? result.seq : (result?.code ?? "");
}

const message = (id: string, epoch: number) => sealedBytes(id, epoch, "hello");

describe("R16 a group over HTTP", () => {
  it("is begun by one of two who try at once; the other one gets what they have missed, and joins", async () => {
    const [ofAlice, ofBob] = [await alice.addable(), await bob.addable()];
    const [byAlice, byBob] = [await alice.make(chat, [ofBob]), await bob.make(chat, [ofAlice])];
    const answers = await Promise.all([alice.submit(chat, byAlice), bob.submit(chat, byBob)]);
    expect(answers.map(({ accepted }) => accepted).toSorted()).toEqual([false, true]);
    const isAlices = answers[0].accepted;
    const [winner, loser, own, won] = isAlices ? [alice, bob, ofBob, byAlice] : [bob, alice, ofAlice, byBob];
    expect(answers[isAlices ? 1 : 0]).toEqual({
      accepted: false,
      epoch: 1,
      through: 1,
      entries: [
        {
          ...{ seq: 1, id: expect.any(String), user: winner.user, device: winner.device, at: expect.any(Number) },
          body: toBase64url(won.commit),
        },
      ],
    });
    const group = await loser.join(chat, 1, own.own);
    const made = await loser.commit(group, {});
    expect(await loser.submitted(chat, made)).toBe(2);
    expect(await mls.open(won.group, (await entriesFor(winner.user, chat, 1))[0]!.body)).toMatchObject({
      kind: "commit",
    });
    expect(await appended(chat, loser, message(chat, 1))).toBe("epoch_stale");
    expect(await appended(chat, loser, message(chat, 2))).toBe(3);
  });

  it("is joined by who is added, and left by who is removed", async () => {
    const carol = await MlsDevice.signUp();
    const id = ulid();
    const [ofBob, ofCarol] = [await bob.addable(), await carol.addable()];
    const group = await alice.found(id, ofBob);
    const bobs = await bob.join(id, 1, ofBob.own);
    expect(await carol.refusal(id, await bob.commit(bobs, {}))).toBe("not_allowed");
    const adding = await alice.commit(group, { add: [ofCarol] });
    expect(await alice.submitted(id, adding)).toBe(2);
    const carols = await carol.join(id, 2, ofCarol.own);
    expect(carols.members.map(({ leaf }) => leaf)).toEqual([0, 1, 2]);
    const removing = await alice.commit(adding.group, { remove: [1] });
    expect(await alice.submitted(id, removing)).toBe(3);
    expect(await mls.open(carols, (await entriesFor(carol.user, id, 2))[0]!.body)).toMatchObject({ kind: "commit" });
    expect((await entriesFor(bob.user, id)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(await appended(id, bob, message(id, 3))).toBe("not_found");
    expect(await refusalOf(viewGroup, bob.account, { params: { conversation: id } })).toBe("not_found");
    expect(await appended(id, carol, message(id, 3))).toBe(4);
    expect((await entriesFor(bob.user, id)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });

  it("is joined by a new device without help, and again by one that has lost its keys", async () => {
    const ofBob = await bob.addable();
    await alice.found(chat, ofBob);
    const tablet = await MlsDevice.further(bob.user, bob.accountKey);
    const joined = await tablet.joinExternally(chat);
    expect(await tablet.submitted(chat, joined)).toBe(2);
    expect(joined.group.ownLeaf).toBe(2);
    const again = await tablet.joinExternally(chat);
    expect(await tablet.submitted(chat, again)).toBe(3);
    expect(again.group.members).toHaveLength(3);
    expect(await bob.submitted(chat, await bob.joinExternally(chat))).toBe(4);
    const group = await conversation(chat).readGroup({ user: alice.user });
    expect(group.ok && group.leaves.map((leaf) => leaf?.device)).toEqual([alice.device, bob.device, tablet.device]);
  });

  it("R3 answers a commit that comes again as the first time", async () => {
    const made = await alice.make(chat, [await bob.addable()]);
    const id = ulid();
    const first = await alice.submit(chat, made, { id });
    expect(await alice.submit(chat, made, { id })).toEqual(first);
    const other = await alice.make(chat, [await bob.addable()]);
    expect(await alice.refusal(chat, other, { id })).toBe("id_conflict");
    expect(await alice.refusal(chat, other, { id: ulid(Date.now() + 60_000) })).toBe("id_from_future");
  });

  it("counts as a first contact if it is with one other person", async () => {
    const { capacity, refillMs } = personBuckets.first_contact;
    const leftOf = async () => {
      const rows = await rowsOf(
        env.USER.getByName(alice.user),
        "SELECT level FROM bucket WHERE name = 'first_contact'",
      );
      return rows.length === 0 ? capacity : Math.floor(Number(rows[0]?.level) / refillMs);
    };
    await alice.found(ulid(), await bob.addable());
    expect(await leftOf()).toBe(capacity);
    await alice.found(chat, await bob.addable());
    const before = await leftOf();
    expect(before).toBe(capacity - 1);
    await alice.submitted(chat, await alice.joinExternally(chat));
    expect(await leftOf()).toBe(before);
  });

  it("is paid for where somebody is brought in, and refused for a while if one person does it again and again", async () => {
    const others = async (count: number) => {
      for (let number = 0; number < count; number++) {
        expect(await person(bob.user).askAddition({ by: alice.user, commit: ulid() })).toEqual({ ok: true });
      }
    };
    await others(additionBucket.capacity - 1);
    const [group, id] = [ulid(), ulid()];
    const made = await alice.make(group, [await bob.addable()]);
    const answers = await Promise.all([alice.submit(group, made, { id }), alice.submit(group, made, { id })]);
    expect(answers).toEqual([answers[0], answers[0]]);
    const next = ulid();
    const another = await alice.make(next, [await bob.addable()]);
    expect(await alice.refusal(next, another)).toBe("rate_limited");
    expect(await tablesOf(conversation(next))).toEqual([]);
    expect(await alice.submit(group, made, { id })).toEqual(answers[0]);
    const carol = await MlsDevice.signUp();
    await carol.found(ulid(), await bob.addable());
  });

  it("R14 is not begun with somebody who does not exist any more", async () => {
    const ofBob = await bob.addable();
    await env.USER.getByName(bob.user).removePerson({ requestId: "r" });
    expect(await alice.refusal(chat, await alice.make(chat, [ofBob]))).toBe("not_found");
    expect(await tablesOf(conversation(chat))).toEqual([]);
    const id = ulid();
    expect(await alice.refusal(id, await alice.make(id, [ofBob]))).toBe("not_found");
    expect(await tablesOf(conversation(id))).toEqual([]);
  });
});

describe("R6 what belongs to a group", () => {
  it("is not found by others, as if there were none", async () => {
    const id = ulid();
    await alice.found(chat, await bob.addable());
    await alice.found(id, await bob.addable());
    const eve = await MlsDevice.signUp();
    const absent = [directConversation(ulid(), ulid()), ulid()];
    for (const place of [chat, id, ...absent]) {
      const params = { conversation: place };
      expect(await refusalOf(viewGroup, eve.account, { params })).toBe("not_found");
      expect(await refusalOf(viewEpoch, eve.account, { params: { ...params, seq: "1" } })).toBe("not_found");
      const joining = await mls.create(new TextEncoder().encode(place), 1, eve.keys, Date.now());
      const made = await eve.commit((await eve.commit(joining, {})).group, {});
      expect(await eve.refusal(place, made)).toBe("not_found");
    }
    for (const seq of ["0", "x", "1.5", "9999999999999999"]) {
      const params = { conversation: chat, seq };
      expect(await refusalOf(viewEpoch, alice.account, { params })).toBe("not_found");
    }
  });
});

it("R17 nobody is added by a device that only says it is theirs", async () => {
  const carol = await MlsDevice.signUp();
  const { user, device } = carol;
  const id = ulid();
  const made = async (key: AccountKey) => addable(await newKeys(key, user, device), user, device);
  const forged = await alice.make(id, [await made(alice.accountKey)]);
  expect(await alice.refusal(id, forged)).toBe("not_allowed");
  const [theirs, other] = [
    await newKeys(carol.accountKey, user, device),
    await newKeys(alice.accountKey, user, device),
  ];
  const stolen = await alice.make(id, [await addable({ ...other, credential: theirs.credential }, user, device)]);
  expect(await alice.refusal(id, stolen)).toBe("not_allowed");
  await alice.submitted(id, await alice.make(id, [await made(carol.accountKey)]));
});

async function filesOf(id: string): Promise<(string | undefined)[]> {
  const { objects } = await env.MEDIA.list({ prefix: `conversation/${id}/` });
  return objects.map(({ key }) => key.split("/").at(-1)).toSorted();
}

describe("what is too large for a frame", () => {
  it("goes by way of the file store, and from there when nothing needs it any more", { timeout: 60_000 }, async () => {
    const id = ulid();
    const made = await alice.make(id, await crowd(60, alice.accountKey), 83);
    expect(Math.min(made.commit.byteLength, made.tree.byteLength, made.welcome?.byteLength ?? 0)).toBeGreaterThan(
      MAX_INLINE_GROUP_BYTES,
    );
    expect(await alice.submitted(id, made)).toBe(1);
    const [entry] = await entriesFor(alice.user, id);
    const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(made.commit)));
    expect(readFraming(entry!.body)).toEqual({ kind: "reference", bytes: made.commit.byteLength, sha256 });
    expect(await alice.viewEpoch(id, 1)).toEqual({
      commit: toBase64url(made.commit),
      tree: toBase64url(made.tree),
      welcome: toBase64url(made.welcome ?? new Uint8Array()),
    });
    expect(await alice.viewGroup(id)).toMatchObject({ epoch: 1, seq: 1, groupInfo: made.groupInfo, tree: made.tree });
    expect(await filesOf(id)).toEqual(["commit", "tree", "welcome"]);
    const next = await alice.commit(made.group, {});
    expect(await alice.submitted(id, next)).toBe(2);
    const after = await alice.commit(next.group, {});
    expect(await alice.submitted(id, after)).toBe(3);
    // What the log needs, what whoever was added needs, and what whoever joins now needs.
    const left = ["commit", "commit", "commit", "tree", "tree", "welcome"];
    await vi.waitFor(async () => expect(await filesOf(id)).toEqual(left));
    expect((await alice.submit(id, next)).accepted).toBe(false);
    await vi.waitFor(async () => expect(await filesOf(id)).toEqual(left));
    const rows = await rowsOf(conversation(id), "SELECT tree FROM mls_epoch WHERE seq = 1");
    await env.MEDIA.delete(String(rows[0]?.tree));
    expect(await refusalOf(viewEpoch, alice.account, { params: { conversation: id, seq: "1" } })).toBe("not_found");
  });

  it("R14 goes with the conversation, and what could not be deleted is asked for again", {
    timeout: 60_000,
  }, async () => {
    const id = ulid();
    const others = await crowd(45, alice.accountKey);
    await alice.submitted(id, await alice.make(id, others, 83));
    expect(await filesOf(id)).toEqual(["commit", "tree"]);
    const erase = (user: string) => conversation(id).eraseMember({ user, devices: [], requestId: "r" });
    for (const user of new Set(others.map((other) => other.user))) expect(await erase(user)).toEqual({ found: true });
    expect(await filesOf(id)).toEqual(["commit", "tree"]);
    vi.spyOn(env.MEDIA, "delete").mockRejectedValueOnce(new Error("no file store"));
    await expect(Promise.resolve(erase(alice.user))).rejects.toThrow();
    expect(await filesOf(id)).toEqual(["commit", "tree"]);
    expect(await erase(alice.user)).toEqual({ found: false });
    expect(await filesOf(id)).toEqual([]);
    expect(await tablesOf(conversation(id))).toEqual([]);
  });
});

it("R14 deletes no more files at once than the file store takes", async () => {
  const id = ulid();
  await alice.found(id, await bob.addable());
  const stub = conversation(id);
  const numbers = "WITH RECURSIVE n (seq) AS (SELECT -1 UNION ALL SELECT seq - 1 FROM n WHERE seq > -1200)";
  await rowsOf(stub, `${numbers} INSERT INTO mls_epoch (seq, welcome, tree) SELECT seq, 'w' || seq, 't' || seq FROM n`);
  const deleted = vi.spyOn(env.MEDIA, "delete");
  await stub.eraseMember({ user: bob.user, devices: [], requestId: "r" });
  await vi.waitFor(() => expect(deleted.mock.calls.flat(2)).toHaveLength(2_400));
  expect(deleted.mock.calls.map(([names]) => names.length)).toEqual([1_000, 1_000, 400]);
});

/** Bob's commit, large, in a group in which he may add nobody. */
async function forbidden(id: string): Promise<MadeCommit> {
  const ofBob = await bob.addable(83);
  await alice.submitted(id, await alice.make(id, [ofBob], 83));
  return bob.commit(await bob.join(id, 1, ofBob.own), { add: await crowd(45, alice.accountKey) });
}

it("leaves no file behind of somebody who goes away in the middle of it", { timeout: 60_000 }, async () => {
  const id = ulid();
  const { commit, groupInfo, welcome = new Uint8Array() } = await forbidden(id);
  const [next, entrance, invitation] = [commit, groupInfo, welcome].map(toBase64url);
  const body = { id: ulid(), commit: next, groupInfo: entrance, welcome: invitation, after: 0 };
  const { accessToken: token } = bob.account;
  const caller = new AbortController();
  let isStored = false;
  const put = env.MEDIA.put.bind(env.MEDIA) as (name: string, value: Uint8Array) => Promise<R2Object>;
  const slowly = async (name: string, value: Uint8Array) => {
    const written = await put(name, value);
    isStored = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return written;
  };
  vi.spyOn(env.MEDIA, "put").mockImplementation(slowly as typeof env.MEDIA.put);
  const request = requestOf(submitCommit, { token, params: { conversation: id }, body });
  const answer = exports.default.fetch(new Request(request, { signal: caller.signal })).catch(() => "gone");
  await vi.waitFor(() => expect(isStored).toBe(true));
  caller.abort();
  expect(await answer).toBe("gone");
  expect(await filesOf(id)).toHaveLength(1);
  // Nobody takes it.
  await vi.waitFor(async () => expect(await filesOf(id)).toEqual([]), { timeout: 3_000 });
});

describe("R16 a request that was tampered with", () => {
  let made: MadeCommit;
  let carol: Addable;
  /** Alice's group with Bob, in which she is about to add Carol. */
  const id = ulid();

  type Change = (message: PublicMessage) => PublicMessage;

  function tampered(bytes: Uint8Array, change: Change): Uint8Array {
    const [message] = decodeMlsMessage(bytes, 0) ?? [];
    if (message?.wireformat !== "mls_public_message") throw new Error("not a commit");
    return encodeMlsMessage({ ...message, publicMessage: change(message.publicMessage) });
  }

  const content =
    (change: object): Change =>
    (message) =>
      ({ ...message, content: { ...message.content, ...change } }) as PublicMessage;
  const commitOf = (message: PublicMessage) => {
    if (message.content.contentType !== "commit") throw new Error("not a commit");
    return message.content.commit;
  };
  const inCommit =
    (change: (commit: ReturnType<typeof commitOf>) => object): Change =>
    (message) =>
      content({ commit: { ...commitOf(message), ...change(commitOf(message)) } })(message);
  const proposing = (...proposals: object[]): Change =>
    inCommit((commit) => ({
      proposals: [
        ...commit.proposals,
        ...proposals.map((proposal) => ({ proposalOrRefType: "proposal", proposal: proposal as Proposal })),
      ],
    }));
  const certified = (identity: Uint8Array): Change =>
    inCommit(({ path }) => ({
      path: path && { ...path, leafNode: { ...path.leafNode, credential: { credentialType: "basic", identity } } },
    }));

  let place: string;
  beforeEach(async () => {
    place = `${id.slice(0, 16)}${ulid().slice(16)}`;
    const dave = await MlsDevice.signUp();
    carol = await dave.addable();
    const group = await alice.found(place, await bob.addable());
    made = await alice.commit(group, { add: [carol] });
  });

  const refused = (commit: Uint8Array, fields: object = {}) => alice.refusal(place, { ...made, commit }, { ...fields });

  it.each<[string, string, () => Change | Promise<Change>]>([
    ["of another group", "bad_frame", () => content({ groupId: new TextEncoder().encode(chat) })],
    ["of an epoch beyond all numbers", "bad_frame", () => content({ epoch: 2n ** 63n })],
    ["from somebody else's leaf", "not_allowed", () => content({ sender: { senderType: "member", leafIndex: 1 } })],
    ["from a leaf that is not there", "not_allowed", () => content({ sender: { senderType: "member", leafIndex: 9 } })],
    [
      "from outside",
      "not_allowed",
      () => (message) => {
        const sender = { senderType: "external", senderIndex: 0 } as const;
        return { content: { ...message.content, sender }, auth: message.auth, senderType: "external" };
      },
    ],
    ["without a path", "not_allowed", () => inCommit(() => ({ path: undefined }))],
    [
      "with proposals by reference",
      "not_allowed",
      () => inCommit(() => ({ proposals: [{ proposalOrRefType: "reference", reference: new Uint8Array(32) }] })),
    ],
    [
      "that begins the group anew",
      "not_allowed",
      () =>
        proposing({
          proposalType: "reinit",
          reinit: {
            groupId: new Uint8Array(1),
            version: "mls10",
            cipherSuite: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
            extensions: [],
          },
        }),
    ],
    [
      "with a pre-shared key",
      "not_allowed",
      () =>
        proposing({
          proposalType: "psk",
          psk: { preSharedKeyId: { psktype: "external", pskId: new Uint8Array(1), pskNonce: new Uint8Array(1) } },
        }),
    ],
    [
      "that changes the group's extensions",
      "not_allowed",
      () => proposing({ proposalType: "group_context_extensions", groupContextExtensions: { extensions: [] } }),
    ],
    [
      "with a proposal that nobody knows",
      "not_allowed",
      () => proposing({ proposalType: 0xf0f0, proposalData: new Uint8Array(1) }),
    ],
    [
      "with an ExternalInit from inside",
      "not_allowed",
      () => proposing({ proposalType: "external_init", externalInit: { kemOutput: new Uint8Array(1) } }),
    ],
    ["that removes its own leaf", "not_allowed", () => proposing({ proposalType: "remove", remove: { removed: 0 } })],
    [
      "that removes what is not there",
      "not_allowed",
      () => proposing({ proposalType: "remove", remove: { removed: 4_294_967_295 } }),
    ],
    ["with a certificate that is none", "bad_frame", () => certified(new Uint8Array(157))],
    [
      "with the certificate of another device",
      "not_allowed",
      async () => certified((await newKeys(alice.accountKey, alice.user, ulid())).credential),
    ],
    [
      "with the certificate of another person",
      "not_allowed",
      async () => certified((await newKeys(alice.accountKey, bob.user, alice.device)).credential),
    ],
  ])("a commit %s is refused: %s", async (_, code, change) => {
    expect(await refused(tampered(made.commit, await change()))).toBe(code);
    expect(await alice.submitted(place, made)).toBe(2);
  });

  it("bytes that are no commit, or more than one, are refused", async () => {
    const sealed = sealedBytes(place, 1, "hello");
    const cut = made.commit.subarray(0, made.commit.byteLength - 1);
    const more = new Uint8Array([...made.commit, 0]);
    const keyPackage = carol.own.keyPackage;
    for (const commit of [
      sealed,
      cut,
      more,
      keyPackage,
      made.groupInfo,
      made.welcome!,
      crypto.getRandomValues(new Uint8Array(500)),
    ]) {
      expect(await refused(commit)).toBe("bad_frame");
    }
    expect(await refused(made.commit, { commit: "A" })).toBe("bad_frame");
    expect(await refused(made.commit, { commit: "" })).toBe("bad_frame");
    expect(await refused(made.commit, { commit: "!!!!" })).toBe("bad_frame");
    expect(await refused(made.commit, { groupInfo: "" })).toBe("bad_frame");
    expect(await alice.submitted(place, made)).toBe(2);
  });

  it("what goes with a commit belongs to it", async () => {
    const { welcome, group } = await alice.make(chat, [await bob.addable()]);
    const other = toBase64url((await alice.commit(group, {})).groupInfo);
    const before = toBase64url((await alice.viewGroup(place)).groupInfo);
    for (const fields of [{ groupInfo: other }, { groupInfo: before }, { groupInfo: toBase64url(made.commit) }]) {
      expect(await refused(made.commit, fields)).toBe("bad_frame");
    }
    expect(await refused(made.commit, { welcome: undefined })).toBe("bad_frame");
    expect(await refused(made.commit, { welcome: toBase64url(made.groupInfo) })).toBe("bad_frame");
    const empty = await alice.commit((await alice.make(chat, [])).group, {});
    expect(await alice.refusal(chat, empty, { welcome: toBase64url(welcome!) })).toBe("bad_frame");
    expect(await alice.submitted(place, made)).toBe(2);
  });

  it("epochs are numbers", async () => {
    const epoch = 2n ** 60n;
    const [message] = decodeMlsMessage(made.groupInfo, 0) ?? [];
    if (message?.wireformat !== "mls_group_info") throw new Error("no group info");
    const { groupInfo } = message;
    const next = { ...groupInfo, groupContext: { ...groupInfo.groupContext, epoch } };
    const fields = { groupInfo: toBase64url(encodeMlsMessage({ ...message, groupInfo: next })) };
    expect(await refused(tampered(made.commit, content({ epoch })), fields)).toBe("bad_frame");
  });

  it("whoever joins without help proposes nothing else", async () => {
    const joining = await bob.joinExternally(place);
    const init = { proposalType: "external_init", externalInit: { kemOutput: new Uint8Array(1) } };
    const remove = (removed: number) => ({ proposalType: "remove", remove: { removed } });
    const changes: Change[] = [
      proposing(init),
      proposing(remove(0)),
      proposing(addOf(made)),
      inCommit(({ proposals }) => ({ proposals: proposals.filter((p) => !isInit(p)) })),
      inCommit(({ proposals }) => ({ proposals: proposals.filter(isInit) })),
    ];
    for (const [index, change] of changes.entries()) {
      const code = await bob.refusal(place, { ...joining, commit: tampered(joining.commit, change) });
      expect(code, `${index}`).toBe([1, 2, 4].includes(index) ? "bad_frame" : "not_allowed");
    }
    expect(await bob.submitted(place, joining)).toBe(2);
  });

  it("nothing is stored of what is refused", { timeout: 60_000 }, async () => {
    const [large, empty] = [ulid(), ulid()];
    const puts = vi.spyOn(env.MEDIA, "put");
    expect(await bob.refusal(large, await forbidden(large))).toBe("not_allowed");
    expect(puts).toHaveBeenCalled();
    const unheard = await alice.commit((await alice.make(empty, await crowd(45, alice.accountKey), 83)).group, {});
    expect(await alice.refusal(empty, unheard)).toBe("not_found");
    await vi.waitFor(async () => expect([await filesOf(large), await filesOf(empty)]).toEqual([[], []]));
    expect(await tablesOf(conversation(empty))).toEqual([]);
  });

  const isInit = (item: { proposalOrRefType: string; proposal?: Proposal }) =>
    item.proposal?.proposalType === "external_init";

  function addOf({ commit }: MadeCommit): object {
    const [message] = decodeMlsMessage(commit, 0) ?? ([] as MLSMessage[]);
    if (message?.wireformat !== "mls_public_message") throw new Error("not a commit");
    const [item] = commitOf(message.publicMessage).proposals;
    if (item?.proposalOrRefType !== "proposal") throw new Error("no proposal");
    return item.proposal;
  }
});
