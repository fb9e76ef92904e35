/**
 * What a voxel of a mask says: in a label map the value of its one segment, 0 for none; as segment bits, where a project's segments
 * may overlap, bit `value - 1` is set for each (docs/adr/0011). All that differs between the two is here.
 */

export type Voxels = Uint8Array | Uint32Array;

/** Returns what a voxel may become when something else is wanted of it. */
export type Guard = (old: number, wanted: number) => number;

/** What is not to be touched. */
export interface Protected {
  /** Values of locked segments. */
  locked: readonly number[];
  /** The segment in hand, where all others are to be left as they are. */
  sparingAllBut: number | null;
}

export interface MaskKind {
  /** Type of a voxel, as the services name it. */
  readonly dtype: "uint8" | "uint32";
  readonly bytesPerVoxel: number;
  /** An empty mask of so many voxels. */
  empty(size: number): Voxels;
  /** Take up bytes as the services send them; in little-endian order, as every browser's machine has it. */
  read(bytes: ArrayBuffer): Voxels;
  /** Whether a voxel has a segment. */
  has(voxel: number, value: number): boolean;
  /** The voxel once it is given a segment. */
  given(voxel: number, value: number): number;
  /** The voxel once a segment is taken from it. */
  without(voxel: number, value: number): number;
  /** Values of the voxel's segments, ascending. */
  segmentsOf(voxel: number): number[];
  /** Whether a voxel can be given a segment while no other one loses it. */
  hasRoom(voxel: number, value: number): boolean;
  /** Index of the next voxel that has a segment, from an index on; -1 where there is none. */
  next(voxels: Voxels, value: number, from: number): number;
  /** Number of voxels of each segment that occurs. */
  counts(voxels: Voxels): Map<number, number>;
  /** In a label map a protected voxel stays as it is; of segment bits the protected ones do. */
  guard(what: Protected): Guard;
  /** What filling goes over from a voxel on: which voxels belong to its region, and whether the region has to be enclosed. */
  regionOf(voxel: number, value: number): { belongs(voxel: number): boolean; enclosed: boolean };
}

export const LABEL_MAP: MaskKind = {
  dtype: "uint8",
  bytesPerVoxel: 1,
  empty: (size) => new Uint8Array(size),
  read: (bytes) => new Uint8Array(bytes),
  has: (voxel, value) => voxel === value,
  given: (_, value) => value,
  without: (voxel, value) => (voxel === value ? 0 : voxel),
  segmentsOf: (voxel) => (voxel ? [voxel] : []),
  hasRoom: (voxel, value) => voxel === 0 || voxel === value,
  next: (voxels, value, from) => voxels.indexOf(value, from),
  counts(voxels) {
    const counts = new Uint32Array(256);
    // Four voxels at a time: most of a label map is background.
    const words = voxels.byteOffset % 4 ? new Uint32Array(0) : new Uint32Array(voxels.buffer, voxels.byteOffset, voxels.length >> 2);
    for (let word = 0; word < words.length; word++) {
      if (words[word] === 0) continue;
      for (let n = word * 4; n < word * 4 + 4; n++) counts[voxels[n]]++;
    }
    for (let n = words.length * 4; n < voxels.length; n++) counts[voxels[n]]++;
    const found = new Map<number, number>();
    for (let value = 1; value < 256; value++) if (counts[value]) found.set(value, counts[value]);
    return found;
  },
  guard({ locked, sparingAllBut }) {
    const kept = new Set(locked);
    const spared = (old: number) => sparingAllBut !== null && old !== 0 && old !== sparingAllBut;
    return (old, wanted) => (kept.has(old) || spared(old) ? old : wanted);
  },
  // Another segment's region becomes this one's; the background is filled only where something surrounds it.
  regionOf: (voxel) => ({ belongs: (other) => other === voxel, enclosed: voxel === 0 }),
};

/** The bits of a voxel that has one segment only. Operators on bits give signed numbers: `>>> 0` makes them what is stored. */
function bit(value: number): number {
  return (1 << (value - 1)) >>> 0;
}

/** Values of the bits that are set, ascending. */
function valuesOf(bits: number): number[] {
  const values: number[] = [];
  for (let rest = bits >>> 0; rest; rest = (rest & (rest - 1)) >>> 0) values.push(32 - Math.clz32(rest & -rest));
  return values;
}

export const SEGMENT_BITS: MaskKind = {
  dtype: "uint32",
  bytesPerVoxel: 4,
  empty: (size) => new Uint32Array(size),
  read: (bytes) => new Uint32Array(bytes),
  has: (voxel, value) => (voxel & bit(value)) !== 0,
  given: (voxel, value) => (voxel | bit(value)) >>> 0,
  without: (voxel, value) => (voxel & ~bit(value)) >>> 0,
  segmentsOf: valuesOf,
  hasRoom: () => true,
  next(voxels, value, from) {
    const wanted = bit(value);
    for (let n = from; n < voxels.length; n++) if (voxels[n] & wanted) return n;
    return -1;
  },
  counts(voxels) {
    const ofVoxel = new Map<number, number>();
    for (let n = 0; n < voxels.length; ) {
      const voxel = voxels[n];
      const first = n;
      while (n < voxels.length && voxels[n] === voxel) n++;
      if (voxel) ofVoxel.set(voxel, (ofVoxel.get(voxel) ?? 0) + n - first);
    }
    const found = new Map<number, number>();
    for (const [voxel, count] of ofVoxel) for (const value of valuesOf(voxel)) found.set(value, (found.get(value) ?? 0) + count);
    return found;
  },
  guard({ locked, sparingAllBut }) {
    const lockedBits = locked.reduce((bits, value) => bits | bit(value), 0);
    const own = sparingAllBut === null ? 0 : bit(sparingAllBut);
    return (old, wanted) => {
      // Beside other segments a spared voxel can only lose the one that is painted.
      const kept = sparingAllBut !== null && (old & ~own) !== 0 ? old & (wanted | ~own) : wanted;
      return ((kept & ~lockedBits) | (old & lockedBits)) >>> 0;
    };
  },
  // Other segments say nothing about where this one ends.
  regionOf: (_, value) => ({ belongs: (other) => (other & bit(value)) === 0, enclosed: true }),
};

/** The kind of the masks of a project. */
export function maskKind(overlappingSegments: boolean): MaskKind {
  return overlappingSegments ? SEGMENT_BITS : LABEL_MAP;
}

/** The kind of voxels in hand. */
export function kindOf(voxels: Voxels): MaskKind {
  return maskKind(voxels instanceof Uint32Array);
}
