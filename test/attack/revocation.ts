import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { revokeDevice } from "../../shared/api/devices.ts";
import { closeCodes } from "../../shared/errors.ts";
import { directConversation } from "../../shared/ids.ts";
import { personBuckets } from "../../shared/limits.ts";
import { percentile } from "../crash/report.ts";
import { sealedBytes } from "../sealed.ts";
import { cases } from "./case.ts";
import { FIRST_EPOCH } from "./groups.ts";
import type { Line } from "./line.ts";
import type { Account, World } from "./world.ts";

const CLOSED_WITHIN_MS = 1_000;
const SEND_EVERY_MS = 10;
/** Once the person has a message that was sent after the removal, the removed device would have it this long after. */
const AFTERMATH_MS = 20;
/** One person can link no more devices at a time. */
const TRIALS_PER_PERSON = personBuckets.device_link.capacity;
const PEOPLE_AT_ONCE = 3;

interface Trial {
  /** From the answer to the revocation until the device's socket was closed. */
  readonly closedMs: number;
  /** Messages that came to the device though they were sent after that answer. */
  readonly laterMessages: number;
}

/** A friend writes to the person all the time, so that at every moment there is something to come through. */
class Chatter {
  readonly #line: Line;
  readonly #conversation: string;
  readonly #timer: NodeJS.Timeout;
  #sent = 0;
  /** When each message was sent, by its number. */
  readonly sentAt: number[] = [];

  constructor(line: Line, conversation: string) {
    this.#line = line;
    this.#conversation = conversation;
    this.#timer = setInterval(() => this.#write(), SEND_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #write(): void {
    this.sentAt[this.#sent] = performance.now();
    const body = sealedBytes(this.#conversation, FIRST_EPOCH, `note ${this.#sent++}`);
    this.#line.up({ type: "send", id: this.#line.newId(), conversation: this.#conversation }, body);
  }
}

async function trialsOfOnePerson(world: World, count: number): Promise<Trial[]> {
  const [owner, friend] = await world.friends();
  const [phone, friendsLine] = [await world.connect(owner), await world.connect(friend)];
  await friendsLine.begin?.(directConversation(owner.user, friend.user));
  const chatter = new Chatter(friendsLine, directConversation(owner.user, friend.user));
  const trials: Trial[] = [];
  try {
    while (trials.length < count) trials.push(await tryOnce(world, owner, phone, chatter));
  } finally {
    chatter.stop();
  }
  await Promise.all([phone.close(), friendsLine.close()]);
  return trials;
}

async function tryOnce(world: World, owner: Account, phone: Line, chatter: Chatter): Promise<Trial> {
  const lost = await world.link(owner);
  const line = await world.connect(lost);
  const before = line.received.length;
  await line.until("a live message", () => line.received.length > before || undefined);
  await world.http.get(revokeDevice, world.as(owner, { params: { device: lost.device } }));
  const answeredAt = performance.now();
  const { code, at } = await line.end();
  assert.equal(code, closeCodes.revoked);
  assert.equal(line.of("bye")[0]?.code, "revoked");
  const sentLater = ({ text }: { text: string }) => (chatter.sentAt[Number(text.slice(5))] ?? 0) > answeredAt;
  await phone.until("a message sent after the removal", () => phone.received.findLast(sentLater));
  await sleep(AFTERMATH_MS);
  return { closedMs: Math.max(0, at - answeredAt), laterMessages: line.received.filter(sentLater).length };
}

export const revocation = cases("Revocation", {
  "a removed device's socket closes within a second, and nothing sent later reaches it, time and again": async (
    world,
  ) => {
    const left = Array.from({ length: Math.ceil(world.trials / TRIALS_PER_PERSON) }, (_, index) =>
      Math.min(TRIALS_PER_PERSON, world.trials - index * TRIALS_PER_PERSON),
    );
    const trials: Trial[] = [];
    const people = Array.from({ length: PEOPLE_AT_ONCE }, async () => {
      for (let count = left.pop(); count !== undefined; count = left.pop()) {
        trials.push(...(await trialsOfOnePerson(world, count)));
      }
    });
    await Promise.all(people);
    const times = trials.map(({ closedMs }) => closedMs);
    const round = (ms: number | undefined): number => Math.round((ms ?? Number.NaN) * 10) / 10;
    const laterMessages = trials.reduce((sum, trial) => sum + trial.laterMessages, 0);
    world.figures.revocationTrials = trials.length;
    world.figures.revocationMaxMs = round(percentile(times, 100));
    world.figures.revocationP99Ms = round(percentile(times, 99));
    world.figures.messagesAfterRevocation = laterMessages;
    assert.equal(trials.length, world.trials);
    assert.ok(Math.max(...times) <= CLOSED_WITHIN_MS, `the slowest closed after ${Math.max(...times)} ms`);
    assert.equal(laterMessages, 0, "a removed device was sent further messages");
  },
});
