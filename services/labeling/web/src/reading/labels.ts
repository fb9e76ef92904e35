/** The label map in hand, and strokes: what changes it, and remembers what was there. */

import { eachRun, type Runs, RunWriter } from "./runs";

export type Index3 = [number, number, number];
/** 0: planes of constant i; 1: of constant j; 2: of constant k. */
export type Axis = 0 | 1 | 2;

/** Voxels that went from one value to another. */
export interface Change {
  from: number;
  to: number;
  runs: Runs;
}

/** The two axes that lie in a plane, the faster one first. */
export const IN_PLANE: Record<Axis, [Axis, Axis]> = { 0: [1, 2], 1: [0, 2], 2: [0, 1] };

/** A label map: uint8, shape (I, J, K), i fastest. */
export class LabelVolume {
  readonly data: Uint8Array;
  /** Grows with every change; views compare it to know whether to draw anew. */
  revision = 0;

  constructor(readonly shape: Index3, data?: Uint8Array) {
    const size = shape[0] * shape[1] * shape[2];
    if (data && data.length !== size) throw new Error(`expected ${size} voxels, got ${data.length}`);
    this.data = data ?? new Uint8Array(size);
  }

  get sliceSize(): number {
    return this.shape[0] * this.shape[1];
  }

  indexOf(i: number, j: number, k: number): number {
    return i + this.shape[0] * (j + this.shape[1] * k);
  }

  contains(i: number, j: number, k: number): boolean {
    const [I, J, K] = this.shape;
    return i >= 0 && j >= 0 && k >= 0 && i < I && j < J && k < K;
  }

  /** Apply changes as they are, or backwards. */
  apply(changes: readonly Change[], backwards = false): void {
    // Backwards in the reverse order: a voxel may occur in several changes of one edit.
    const ordered = backwards ? [...changes].reverse() : changes;
    for (const change of ordered) {
      const value = backwards ? change.from : change.to;
      eachRun(change.runs, (start, length) => this.data.fill(value, start, start + length));
    }
    this.revision++;
  }

  /** Voxels of each value that occurs, without the background. */
  counts(): Map<number, number> {
    const counts = new Uint32Array(256);
    const { data } = this;
    // Four voxels at a time: most of a label map is background.
    const words = data.byteOffset % 4 ? new Uint32Array(0) : new Uint32Array(data.buffer, data.byteOffset, data.length >> 2);
    for (let word = 0; word < words.length; word++) {
      if (words[word] === 0) continue;
      for (let n = word * 4; n < word * 4 + 4; n++) counts[data[n]]++;
    }
    for (let n = words.length * 4; n < data.length; n++) counts[data[n]]++;
    const found = new Map<number, number>();
    for (let value = 1; value < 256; value++) if (counts[value]) found.set(value, counts[value]);
    return found;
  }
}

/** One plane of a label map, the faster axis first: uint8, width × height. */
export function planeOf(source: LabelVolume, axis: Axis, slice: number, into?: Uint8Array): Uint8Array {
  const [I, J, K] = source.shape;
  const { data } = source;
  if (axis === 2) return data.subarray(slice * I * J, (slice + 1) * I * J);
  const width = axis === 0 ? J : I;
  const plane = into && into.length === width * K ? into : new Uint8Array(width * K);
  if (axis === 1) {
    for (let k = 0; k < K; k++) plane.set(data.subarray((k * J + slice) * I, (k * J + slice) * I + I), k * I);
  } else {
    for (let k = 0, at = 0; k < K; k++) {
      for (let j = 0, from = slice + k * I * J; j < J; j++, from += I) plane[at++] = data[from];
    }
  }
  return plane;
}

/** Writes into a label map and keeps what was there, slice by slice, so that the whole becomes one edit. */
export class Stroke {
  private readonly before = new Map<number, Uint8Array>();
  /** First and last index touched in each slice. */
  private readonly extent = new Map<number, [number, number]>();

  /** `mayChange[v]`: whether voxels that have the value v may be changed (their segment is not locked). */
  constructor(readonly labels: LabelVolume, private readonly mayChange: (value: number) => boolean = () => true) {}

  /** Give one voxel a value, if it lies in the volume and may be changed. */
  set(i: number, j: number, k: number, value: number): void {
    if (!this.labels.contains(i, j, k)) return;
    this.write(this.labels.indexOf(i, j, k), k, value);
  }

  /** The same by linear index. */
  setIndex(index: number, value: number): void {
    this.write(index, Math.floor(index / this.labels.sliceSize), value);
  }

  /** Give every voxel of runs a value. */
  setRuns(runs: Runs, value: number): void {
    eachRun(runs, (start, length) => {
      for (let index = start; index < start + length; index++) this.setIndex(index, value);
    });
  }

  private write(index: number, k: number, value: number): void {
    const { data } = this.labels;
    const old = data[index];
    if (old === value || !this.mayChange(old)) return;
    const touched = this.extent.get(k);
    if (!touched) {
      const size = this.labels.sliceSize;
      this.before.set(k, data.slice(k * size, (k + 1) * size));
      this.extent.set(k, [index, index]);
    } else {
      if (index < touched[0]) touched[0] = index;
      if (index > touched[1]) touched[1] = index;
    }
    data[index] = value;
  }

  /** Tell that something was written, so that views draw it while the stroke goes on. */
  show(): void {
    this.labels.revision++;
  }

  /** Return what has changed, from the first touch to now; nothing where it was all put back. */
  changes(): Change[] {
    const { data } = this.labels;
    const size = this.labels.sliceSize;
    const writers = new Map<number, RunWriter>();
    for (const k of [...this.before.keys()].sort((a, b) => a - b)) {
      const before = this.before.get(k)!;
      const [first, last] = this.extent.get(k)!;
      const base = k * size;
      let at = first;
      while (at <= last) {
        const from = before[at - base];
        const to = data[at];
        if (from === to) {
          at++;
          continue;
        }
        let end = at + 1;
        while (end <= last && before[end - base] === from && data[end] === to) end++;
        const pair = from * 256 + to;
        let writer = writers.get(pair);
        if (!writer) writers.set(pair, (writer = new RunWriter()));
        writer.add(at, end - at);
        at = end;
      }
    }
    return [...writers].map(([pair, writer]) => ({ from: pair >> 8, to: pair & 255, runs: writer.runs }));
  }
}
