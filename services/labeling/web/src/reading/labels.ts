/** The mask in hand, and strokes: what changes it, and remembers what was there. */

import { type Guard, kindOf, LABEL_MAP, type MaskKind, type Voxels } from "./masks";
import { eachRun, type Runs, RunWriter } from "./runs";

export type Index3 = [number, number, number];
/** 0: planes of constant i; 1: of constant j; 2: of constant k. */
export type Axis = 0 | 1 | 2;

/** Voxels that went from one content to another: values of a label map, or segment bits up to 2³² - 1. */
export interface Change {
  from: number;
  to: number;
  runs: Runs;
}

/** The two axes that lie in a plane, the faster one first. */
export const IN_PLANE: Record<Axis, [Axis, Axis]> = { 0: [1, 2], 1: [0, 2], 2: [0, 1] };

/** A mask, shape (I, J, K), i fastest: a label map (uint8), or segment bits (uint32) where segments may overlap. */
export class LabelVolume {
  readonly data: Voxels;
  readonly kind: MaskKind;
  /** Grows with every change; views compare it to know whether to draw anew. */
  revision = 0;

  constructor(readonly shape: Index3, data?: Voxels) {
    const size = shape[0] * shape[1] * shape[2];
    if (data && data.length !== size) throw new Error(`expected ${size} voxels, got ${data.length}`);
    this.data = data ?? LABEL_MAP.empty(size);
    this.kind = kindOf(this.data);
  }

  static empty(shape: Index3, kind: MaskKind): LabelVolume {
    return new LabelVolume(shape, kind.empty(shape[0] * shape[1] * shape[2]));
  }

  /** Take up bytes of a mask of this kind as the services send them. */
  static read(shape: Index3, kind: MaskKind, raw: ArrayBuffer): LabelVolume {
    return new LabelVolume(shape, kind.read(raw));
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

  /** Number of voxels of each segment that occurs. */
  counts(): Map<number, number> {
    return this.kind.counts(this.data);
  }
}

/** One plane of a mask, the faster axis first: width × height voxels of its type. */
export function planeOf(source: LabelVolume, axis: Axis, slice: number, into?: Voxels): Voxels {
  const [I, J, K] = source.shape;
  const { data } = source;
  if (axis === 2) return data.subarray(slice * I * J, (slice + 1) * I * J);
  const width = axis === 0 ? J : I;
  const plane = into && into.length === width * K && kindOf(into) === source.kind ? into : source.kind.empty(width * K);
  if (axis === 1) {
    for (let k = 0; k < K; k++) plane.set(data.subarray((k * J + slice) * I, (k * J + slice) * I + I), k * I);
  } else {
    for (let k = 0, at = 0; k < K; k++) {
      for (let j = 0, from = slice + k * I * J; j < J; j++, from += I) plane[at++] = data[from];
    }
  }
  return plane;
}

/** Writes into a mask and keeps what was there, slice by slice, so that the whole becomes one edit. */
export class Stroke {
  private readonly before = new Map<number, Voxels>();
  /** First and last index touched in each slice. */
  private readonly extent = new Map<number, [number, number]>();

  constructor(readonly labels: LabelVolume, private readonly guard: Guard = (_, wanted) => wanted) {}

  /** Give the voxel of a linear index a segment, as far as it may be changed. */
  give(index: number, value: number): void {
    this.write(index, this.labels.kind.given(this.labels.data[index], value));
  }

  /** Take a segment from the voxel of a linear index. */
  take(index: number, value: number): void {
    this.write(index, this.labels.kind.without(this.labels.data[index], value));
  }

  /** Write a voxel as it is to be as a whole. */
  write(index: number, wanted: number): void {
    const { data } = this.labels;
    const old = data[index];
    if (old === wanted) return;
    const voxel = this.guard(old, wanted);
    if (old === voxel) return;
    const size = this.labels.sliceSize;
    const k = Math.floor(index / size);
    const touched = this.extent.get(k);
    if (!touched) {
      this.before.set(k, data.slice(k * size, (k + 1) * size));
      this.extent.set(k, [index, index]);
    } else {
      if (index < touched[0]) touched[0] = index;
      if (index > touched[1]) touched[1] = index;
    }
    data[index] = voxel;
  }

  /** Tell that something was written, so that views draw it while the stroke goes on. */
  show(): void {
    this.labels.revision++;
  }

  /** Return what has changed, from the first touch to now; nothing where it was all put back. */
  changes(): Change[] {
    const { data } = this.labels;
    const size = this.labels.sliceSize;
    const changes: Change[] = [];
    const writers = new Map<number, Map<number, RunWriter>>();
    const writerOf = (from: number, to: number) => {
      if (!writers.has(from)) writers.set(from, new Map());
      const known = writers.get(from)!.get(to);
      if (known) return known;
      const writer = new RunWriter();
      writers.get(from)!.set(to, writer);
      changes.push({ from, to, runs: writer.runs });
      return writer;
    };
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
        writerOf(from, to).add(at, end - at);
        at = end;
      }
    }
    return changes;
  }
}
