import { describe, expect, test } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { History } from "../crash/history.ts";
import { assess, percentile } from "../crash/report.ts";
import type { Op } from "../history/record.ts";

const [ada, grace] = ["01AAAAAAAAAAAAAAAAAAAAAAAA", "01GGGGGGGGGGGGGGGGGGGGGGGG"] as const;
const conversation = directConversation(ada, grace);
const MESSAGES = 400;

/** Ada writes, the server dies while she waits for the last ✓, and Grace has what `isThere` says. */
function played(isThere: (seq: number) => boolean) {
  const history = new History();
  const add = (user: string, type: "invoke" | "ok" | "info", op: Op, more: object = {}) =>
    history.add({ user, device: user, type, op, ...more });
  for (const user of [ada, grace]) add(user, "ok", "register");
  for (let seq = 1; seq <= MESSAGES; seq++) {
    const message = { conversation, hash: `hash ${seq}`, seq, messageId: `id ${seq}` };
    add(ada, "invoke", "send", { conversation, hash: message.hash });
    if (seq === MESSAGES) add(ada, "info", "fault", { fault: "server-killed" });
    add(ada, "ok", "send", message);
    for (const user of [ada, grace]) if (user === ada || isThere(seq)) add(user, "ok", "apply", message);
  }
  const recoveries = [{ ms: 12, isTold: true }];
  return { history, problems: [] as string[], recoveries, kills: { random: 1, failpoint: 0, app: 0 }, deviceCount: 2 };
}

function assessed(run: ReturnType<typeof played>) {
  for (const user of [ada, grace]) {
    const applied = run.history.records.filter((record) => record.op === "apply" && record.user === user);
    run.history.add({ user, device: user, type: "ok", op: "final" });
    for (const record of applied) run.history.add({ ...record, op: "view" });
  }
  return assess(run, {
    seed: 1,
    cycles: [{ endsAt: "random", loadMs: 0, isTold: true, fallsSilent: false, killsApp: false }],
  });
}

describe("the report of a crash run", () => {
  test("is valid where everything has arrived", () => {
    const { report, complaints } = assessed(played(() => true));
    expect(complaints).toEqual([]);
    expect(report).toMatchObject({ acked: MESSAGES, valid: true, lost: 0, recoveryP99Ms: 12 });
  });

  test("is not valid where a ✓ message is lost", () => {
    const { report, complaints } = assessed(played((seq) => seq !== 17));
    expect(report).toMatchObject({ valid: false, lost: 1 });
    expect(complaints).toEqual([`lost: ${grace} lacks ${conversation} 17`]);
  });

  test("is not valid where something happened that no history shows", () => {
    const run = played(() => true);
    run.problems.push("Ada-1: gave up for good");
    expect(assessed(run).report.valid).toBe(false);
  });

  test("complains of too little to know anything", () => {
    const run = played(() => true);
    run.history.records.length = 10;
    const { complaints } = assessed(run);
    expect(complaints).toHaveLength(2);
    expect(complaints.join()).toMatch(/never struck.*too few/);
  });
});

test("a percentile is by nearest rank", () => {
  const values = Array.from({ length: 30 }, (_, index) => 30 - index);
  expect([percentile(values, 50), percentile(values, 99), percentile([], 50)]).toEqual([15, 30, undefined]);
});
