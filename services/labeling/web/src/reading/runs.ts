/** Sets of voxels as runs: [gap, length, gap, length, …] over the linear index i + I·(j + J·k), as the services write them. */

import { kindOf, type Voxels } from "./masks";

export type Runs = number[];

/** Collects ascending indices, or stretches of them, into runs. */
export class RunWriter {
  readonly runs: Runs = [];
  private end = 0;

  /** Add `length` voxels from `start`; starts must ascend. */
  add(start: number, length: number): void {
    const last = this.runs.length - 1;
    if (last > 0 && start === this.end) this.runs[last] += length;
    else this.runs.push(start - this.end, length);
    this.end = start + length;
  }
}

/** Call with the start and the length of every run. */
export function eachRun(runs: Runs, call: (start: number, length: number) => void): void {
  let at = 0;
  for (let n = 0; n + 1 < runs.length; n += 2) {
    at += runs[n];
    call(at, runs[n + 1]);
    at += runs[n + 1];
  }
}

/** Number of voxels in runs. */
export function countOf(runs: Runs): number {
  let count = 0;
  for (let n = 1; n < runs.length; n += 2) count += runs[n];
  return count;
}

/** Where a mask has a segment. */
export function runsOf(voxels: Voxels, value: number): Runs {
  const kind = kindOf(voxels);
  const writer = new RunWriter();
  let at = kind.next(voxels, value, 0);
  while (at >= 0) {
    let end = at + 1;
    while (end < voxels.length && kind.has(voxels[end], value)) end++;
    writer.add(at, end - at);
    at = kind.next(voxels, value, end);
  }
  return writer.runs;
}
