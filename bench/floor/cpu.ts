// User and system time used so far, from Linux' /proc, where it is counted in ticks of 10 ms.

import { readFileSync } from "node:fs";

const TICK_MS = 10;

export function processCpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // Field 2, the command in parentheses, may hold spaces. User and system time are fields 14 and 15.
  const fieldsFrom3 = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fieldsFrom3[11]) + Number(fieldsFrom3[12])) * TICK_MS;
}

/** Of everything that runs on this machine, and what its host took away. */
export function machineCpuMs(): number {
  const [firstLine = ""] = readFileSync("/proc/stat", "latin1").split("\n");
  const [, user, nice, system, _idle, _ioWait, irq, softIrq, steal] = firstLine.split(/ +/).map(Number);
  return [user, nice, system, irq, softIrq, steal].reduce<number>((sum, ticks) => sum + (ticks ?? 0), 0) * TICK_MS;
}
