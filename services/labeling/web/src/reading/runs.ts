/** Sets of voxels as runs: [gap, length, gap, length, …] over the linear index i + I·(j + J·k), as the services write them. */

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

/** Where `values` equals `value`. */
export function runsOf(values: Uint8Array, value: number): Runs {
  const writer = new RunWriter();
  const size = values.length;
  let at = values.indexOf(value);
  while (at >= 0 && at < size) {
    let end = at + 1;
    while (end < size && values[end] === value) end++;
    writer.add(at, end - at);
    at = values.indexOf(value, end);
  }
  return writer.runs;
}
