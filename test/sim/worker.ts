import { parentPort, workerData } from "node:worker_threads";
import { examine } from "./examine.ts";
import type { Choices } from "./simulate.ts";

export interface Share {
  readonly from: number;
  readonly to: number;
  /** Every so many seeds; the others are other workers'. */
  readonly stride: number;
  readonly choices: Choices;
}

const { from, to, stride, choices } = workerData as Share;
for (let seed = from; seed < to; seed += stride) parentPort?.postMessage(await examine(seed, choices));
