import type { Message } from "../../client/index.ts";
import type { Device, Outgoing } from "./device.ts";
import type { StepTiming } from "./story.ts";
import type { Terminal } from "./terminal.ts";

interface DeviceSummary {
  readonly device: string;
  readonly sent: number;
  readonly received: number;
  readonly duplicated: number;
  readonly outOfOrder: number;
  readonly missing: number;
  /** Ticks that should have come and did not. */
  readonly missingTicks: number;
}

export interface Summary {
  readonly passed: boolean;
  /** What broke the story off. */
  readonly failure?: string;
  readonly devices: readonly DeviceSummary[];
  readonly steps: readonly StepTiming[];
  readonly totalMs: number;
}

/** Compares what each device was told, and what it has, with what was sent. */
export async function summarize(
  devices: readonly Device[],
  steps: readonly StepTiming[],
  { failure, totalMs }: { failure: string | undefined; totalMs: number },
): Promise<Summary> {
  const everySent = devices.flatMap(({ outgoing }) => outgoing);
  const summaries: DeviceSummary[] = [];
  for (const device of devices) summaries.push(await summarizeDevice(device, everySent));
  const isRight = summaries.every((s) => s.duplicated + s.outOfOrder + s.missing + s.missingTicks === 0);
  const passed = isRight && failure === undefined;
  return { passed, ...(failure !== undefined && { failure }), devices: summaries, steps, totalMs };
}

async function summarizeDevice(device: Device, everySent: readonly Outgoing[]): Promise<DeviceSummary> {
  const stored = await device.stored();
  const has = new Set(stored.filter(({ seq }) => seq !== undefined).map(({ id }) => id));
  const entitled = everySent.filter(({ conversation }) => conversation.includes(device.user));
  const { outgoing, received } = device;
  return {
    device: device.name,
    sent: outgoing.filter(({ sentMs }) => sentMs !== undefined).length,
    received: received.length,
    duplicated: repeats(received) + repeats(stored),
    outOfOrder: descents(received) + descents(stored),
    missing: entitled.filter(({ id }) => !has.has(id)).length,
    missingTicks: outgoing.flatMap((m) => [m.sentMs, m.deliveredMs, m.readMs]).filter((ms) => ms === undefined).length,
  };
}

function repeats(messages: readonly Message[]): number {
  return messages.length - new Set(messages.map(({ id }) => id)).size;
}

/** Messages that stand behind one of a later place in their chat. */
function descents(messages: readonly Message[]): number {
  const last = new Map<string, number>();
  return messages.filter(({ conversation, seq = Number.POSITIVE_INFINITY }) => {
    const before = last.get(conversation) ?? 0;
    last.set(conversation, Math.max(before, seq));
    return seq < before;
  }).length;
}

const columns = [
  ["sent", "sent"],
  ["received", "received"],
  ["duplicated", "duplicated"],
  ["out of order", "outOfOrder"],
  ["missing", "missing"],
  ["missing ticks", "missingTicks"],
] as const;

export function printSummary({ passed, failure, devices, steps, totalMs }: Summary, terminal: Terminal): void {
  terminal.line(`\n${terminal.paint("bold", "Summary")}\n`);
  const heads = columns.map(([head]) => head);
  terminal.line(terminal.paint("dim", `   ${"".padEnd(15)}${heads.map((head) => `  ${head}`).join("")}`));
  for (const summary of devices) {
    const cells = columns.map(([head, field]) => `  ${String(summary[field]).padStart(head.length)}`);
    terminal.line(`   ${summary.device.padEnd(15)}${cells.join("")}`);
  }
  terminal.line();
  for (const [index, { title, ms }] of steps.entries()) {
    terminal.line(`   ${index + 1}  ${title.padEnd(54)}${`${ms} ms`.padStart(9)}`);
  }
  terminal.line(`\n   ${(totalMs / 1000).toFixed(1)} s in all`);
  if (failure !== undefined) terminal.line(`\n   ${failure}`);
  const [style, verdict] = passed
    ? (["green", "✓ Nothing lost, nothing doubled, everything in order, every tick came."] as const)
    : (["red", "✗ Something is wrong: see above."] as const);
  terminal.line(`\n${terminal.paint(style, verdict)}`);
}
