import { describe, expect, it } from "vitest";
import { copyPlane, fill, outlinesOf, paintInside, paintWay, replaceAll, replaceSegment } from "./brushes";
import { EditHistory } from "./history";
import { type Axis, type Index3, LabelVolume, planeOf, Stroke } from "./labels";
import { LABEL_MAP, maskKind, type MaskKind, SEGMENT_BITS } from "./masks";
import { disagreement } from "./review";
import { countOf, runsOf } from "./runs";

const SHAPE: Index3 = [9, 8, 7];
const KINDS = [LABEL_MAP, SEGMENT_BITS];
/** Values whose bits are easily got wrong: the first, the last whose bit is positive as a signed number, the sign. */
const VALUES = [1, 2, 31, 32];

/** A mask of one kind in which every voxel has one of the values, or none; with bits some have two. */
function randomMask(kind: MaskKind, seed: number): LabelVolume {
  const mask = LabelVolume.empty(SHAPE, kind);
  let state = seed;
  const next = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16;
  for (let n = 0; n < mask.data.length; n++) {
    for (let times = next() % 3; times > 0; times--) mask.data[n] = kind.given(mask.data[n], VALUES[next() % 4]);
  }
  return mask;
}

/** Where a mask has a segment, found voxel by voxel. */
function where(mask: LabelVolume, value: number): number[] {
  return [...mask.data.keys()].filter((n) => mask.kind.has(mask.data[n], value));
}

const way = (at: Index3, radiusMm = 2) => ({ a: at, b: at, axis: 2 as Axis, sphere: false, radiusMm, spacingMm: [1, 1, 1] as Index3 });

describe("a voxel", () => {
  it("of a label map has one segment, the last it was given", () => {
    expect(LABEL_MAP.given(3, 7)).toBe(7);
    expect(LABEL_MAP.without(7, 7)).toBe(0);
    expect(LABEL_MAP.without(7, 3)).toBe(7);
    expect([LABEL_MAP.segmentsOf(0), LABEL_MAP.segmentsOf(7)]).toEqual([[], [7]]);
    expect([0, 3, 7].map((voxel) => LABEL_MAP.hasRoom(voxel, 7))).toEqual([true, false, true]);
  });

  it("of segment bits keeps the others, whichever bit it is", () => {
    for (const value of VALUES) {
      const others = VALUES.filter((other) => other !== value);
      const voxel = others.reduce((bits, other) => SEGMENT_BITS.given(bits, other), 0);
      const both = SEGMENT_BITS.given(voxel, value);
      expect(both).toBe(voxel + 2 ** (value - 1));
      expect(SEGMENT_BITS.without(both, value)).toBe(voxel);
      expect(SEGMENT_BITS.without(voxel, value)).toBe(voxel);
      expect(SEGMENT_BITS.segmentsOf(both)).toEqual(VALUES);
      expect(SEGMENT_BITS.segmentsOf(voxel)).toEqual(others);
      expect([SEGMENT_BITS.has(both, value), SEGMENT_BITS.has(voxel, value)]).toEqual([true, false]);
    }
    expect(SEGMENT_BITS.segmentsOf(2 ** 32 - 1)).toEqual(Array.from({ length: 32 }, (_, n) => n + 1));
  });

  it("is of the kind that its project says, and of as many bytes", () => {
    expect([maskKind(false), maskKind(true)]).toEqual(KINDS);
    for (const kind of KINDS) {
      const sent = randomMask(kind, 4);
      const bytes = sent.data.slice().buffer as ArrayBuffer;
      expect(bytes.byteLength).toBe(sent.data.length * kind.bytesPerVoxel);
      expect(LabelVolume.read(SHAPE, kind, bytes).data).toEqual(sent.data);
    }
    expect(() => LabelVolume.read(SHAPE, SEGMENT_BITS, randomMask(LABEL_MAP, 4).data.buffer as ArrayBuffer)).toThrow("expected 504 voxels, got 126");
  });
});

describe("what is protected", () => {
  const [one, two, three] = [1, 2, 4];

  it("stays in a label map where it is", () => {
    const locked = LABEL_MAP.guard({ locked: [2], sparingAllBut: null });
    expect([locked(2, 1), locked(3, 1), locked(0, 1)]).toEqual([2, 1, 1]);
    const sparing = LABEL_MAP.guard({ locked: [], sparingAllBut: 1 });
    expect([sparing(2, 1), sparing(0, 1), sparing(1, 0)]).toEqual([2, 1, 0]);
  });

  it("is of bits the locked segment, not what lies over it", () => {
    const locked = SEGMENT_BITS.guard({ locked: [2, 32], sparingAllBut: null });
    expect(locked(two, two | one)).toBe(two | one);
    expect(locked(two | three, 0)).toBe(two);
    expect(locked(0, one | two)).toBe(one);
    expect(locked(2 ** 31, 0)).toBe(2 ** 31);
    expect(locked(0, 2 ** 31)).toBe(0);
  });

  it("is of bits every voxel with another segment, when others are spared; the own may be taken away there", () => {
    const sparing = SEGMENT_BITS.guard({ locked: [], sparingAllBut: 1 });
    expect([sparing(0, one), sparing(one, 0)]).toEqual([one, 0]);
    expect(sparing(two, two | one)).toBe(two);
    expect(sparing(two | one, two)).toBe(two);
    expect(sparing(two, three)).toBe(two);
  });
});

describe.each(KINDS)("a mask of $dtype", (kind) => {
  it("says where each segment is, how many voxels it has, and the same of every plane", () => {
    const mask = randomMask(kind, 5);
    const back = LabelVolume.empty(SHAPE, kind);
    for (const value of VALUES) {
      const runs = runsOf(mask.data, value);
      expect(countOf(runs)).toBe(where(mask, value).length);
      expect(mask.counts().get(value)).toBe(where(mask, value).length);
      const stroke = new Stroke(back);
      replaceSegment(stroke, mask, value);
    }
    expect(back.data).toEqual(mask.data);
    expect([...mask.counts().keys()].sort((a, b) => a - b)).toEqual(VALUES);
    for (const axis of [0, 1, 2] as Axis[]) {
      const plane = planeOf(mask, axis, 4, new Uint8Array(1));
      expect(plane.constructor).toBe(mask.data.constructor);
      expect(plane[3]).toBe(mask.data[mask.indexOf(...([[4, 3, 0], [3, 4, 0], [3, 0, 4]] as Index3[])[axis])]);
    }
  });

  it("is changed by strokes that come back as changes, both ways, through the journal's JSON", () => {
    const mask = randomMask(kind, 11);
    const before = mask.data.slice();
    const stroke = new Stroke(mask, kind.guard({ locked: [2], sparingAllBut: null }));
    paintWay(stroke, { ...way([4, 4, 3], 3), sphere: true }, { value: 32 });
    paintWay(stroke, way([2, 2, 3]), { value: 1, erase: true });
    const changes = JSON.parse(JSON.stringify(stroke.changes())) as ReturnType<Stroke["changes"]>;
    expect(changes.every(({ from, to }) => from >= 0 && to >= 0 && kind.has(from, 2) === kind.has(to, 2))).toBe(true);
    const after = mask.data.slice();
    expect(after).not.toEqual(before);
    mask.apply(changes, true);
    expect(mask.data).toEqual(before);
    mask.apply(changes);
    expect(mask.data).toEqual(after);
  });

  it("takes over another one whole, a segment of it, or its plane", () => {
    const wanted = randomMask(kind, 7);
    const mask = randomMask(kind, 8);
    replaceSegment(new Stroke(mask), wanted, 32);
    expect(where(mask, 32)).toEqual(where(wanted, 32));
    const stroke = new Stroke(mask);
    replaceAll(stroke, wanted);
    expect(mask.data).toEqual(wanted.data);
    mask.apply(stroke.changes(), true);
    expect(where(mask, 32)).toEqual(where(wanted, 32));
    expect(mask.data).not.toEqual(wanted.data);
    const inPlane = where(mask, 31).filter((n) => Math.floor(n / mask.sliceSize) === 3).map((n) => n + mask.sliceSize);
    expect(copyPlane(new Stroke(mask), 2, 3, 4, 31)).toBe(inPlane.length);
    expect(where(mask, 31)).toEqual(expect.arrayContaining(inPlane));
  });

  it("comes back whole from the journal with what can be undone and redone", () => {
    const history = new EditHistory(LabelVolume.empty(SHAPE, kind));
    const entries: unknown[] = [];
    for (const value of VALUES) {
      const stroke = new Stroke(history.labels);
      paintWay(stroke, way([3 + (value % 3), 4, 3]), { value });
      const edit = { label: `Brush ${value}`, changes: stroke.changes() };
      history.record(edit);
      entries.push({ op: "edit", ...edit });
    }
    history.undo();
    const again = new EditHistory(LabelVolume.empty(SHAPE, kind));
    for (const entry of JSON.parse(JSON.stringify([...entries, { op: "undo" }]))) again.replay(entry);
    expect(again.labels.data).toEqual(history.labels.data);
    for (const each of [again, history]) each.redo();
    expect(again.labels.data).toEqual(history.labels.data);
    expect(again.labels.counts().get(32)).toBe(13);
    for (const _ of VALUES) again.undo();
    expect(again.labels.counts().size).toBe(0);
  });

  it("is compared with others voxel by voxel", () => {
    const [first, second] = [randomMask(kind, 1), randomMask(kind, 2)];
    const found = disagreement([first, second])!;
    expect(found.data).toEqual(Uint8Array.from(first.data, (voxel, n) => (voxel === second.data[n] ? 0 : 255)));
  });
});

describe("segments that overlap", () => {
  const disc = (mask: LabelVolume, value: number, at: Index3, guard = SEGMENT_BITS.guard({ locked: [], sparingAllBut: null })) => {
    const stroke = new Stroke(mask, guard);
    paintWay(stroke, way(at), { value });
    return stroke;
  };

  it("are painted over one another and erased one by one", () => {
    const mask = LabelVolume.empty(SHAPE, SEGMENT_BITS);
    disc(mask, 1, [4, 4, 3]);
    disc(mask, 32, [5, 4, 3]);
    expect(mask.counts()).toEqual(new Map([[1, 13], [32, 13]]));
    expect(mask.data[mask.indexOf(5, 4, 3)]).toBe(2 ** 31 + 1);
    paintWay(new Stroke(mask), way([5, 4, 3]), { value: 1, erase: true });
    expect(mask.counts().get(32)).toBe(13);
    expect(mask.counts().get(1)).toBe(5);
    paintInside(new Stroke(mask), [[-1, -1], [9, -1], [9, 9], [-1, 9]], { axis: 2, slice: 3, through: true }, { value: 32, erase: true });
    expect(mask.counts()).toEqual(new Map([[1, 5]]));
  });

  it("may be painted under a locked one, and keep to the free voxels when others are spared", () => {
    const mask = LabelVolume.empty(SHAPE, SEGMENT_BITS);
    disc(mask, 1, [4, 4, 3]);
    disc(mask, 2, [4, 4, 3], SEGMENT_BITS.guard({ locked: [1], sparingAllBut: null }));
    expect(mask.counts()).toEqual(new Map([[1, 13], [2, 13]]));
    disc(mask, 3, [6, 4, 3], SEGMENT_BITS.guard({ locked: [], sparingAllBut: 3 }));
    expect(where(mask, 3).some((n) => mask.kind.has(mask.data[n], 1))).toBe(false);
    expect(mask.counts().get(3)).toBeGreaterThan(0);
  });

  it("are filled inside their own outline, whatever lies under it", () => {
    const mask = LabelVolume.empty([9, 9, 3], SEGMENT_BITS);
    const stroke = new Stroke(mask);
    // The left half has another segment; the ring lies half on it.
    paintInside(stroke, [[-1, -1], [4.5, -1], [4.5, 9], [-1, 9]], { axis: 2, slice: 1, through: false }, { value: 1 });
    expect(fill(stroke, [2, 2, 1], 2, 2)).toBe(false);
    for (let n = 2; n <= 6; n++) {
      for (const [i, j] of [[n, 2], [n, 6], [2, n], [6, n]]) stroke.give(mask.indexOf(i, j, 1), 2);
    }
    expect(fill(stroke, [0, 0, 1], 2, 2)).toBe(false);
    expect(fill(stroke, [3, 4, 1], 2, 2)).toBe(true);
    expect(mask.counts()).toEqual(new Map([[1, 45], [2, 25]]));
  });

  it("grow over others where a segment is replaced, also by what a service made of it", () => {
    const wanted = LabelVolume.empty(SHAPE, SEGMENT_BITS);
    disc(wanted, 2, [4, 4, 3]);
    const mask = LabelVolume.empty(SHAPE, SEGMENT_BITS);
    disc(mask, 1, [4, 4, 3]);
    replaceSegment(new Stroke(mask), wanted, 2, true);
    expect(mask.counts()).toEqual(new Map([[1, 13], [2, 13]]));
    // In a label map they would take the voxels of the other one.
    const map = LabelVolume.empty(SHAPE, LABEL_MAP);
    paintWay(new Stroke(map), way([4, 4, 3]), { value: 1 });
    const wantedMap = LabelVolume.empty(SHAPE, LABEL_MAP);
    paintWay(new Stroke(wantedMap), way([5, 4, 3]), { value: 2 });
    replaceSegment(new Stroke(map), wantedMap, 2, true);
    expect(map.counts()).toEqual(new Map([[1, 13], [2, 5]]));
  });

  it("have outlines of their own", () => {
    // Four voxels in a row: 1, 1 and 2, 2, nothing.
    const outlines = outlinesOf(new Uint32Array([1, 3, 2, 0]), 4);
    expect([...outlines.keys()]).toEqual([1, 2]);
    expect(outlines.get(1)!.length).toBe(6 * 4);
    expect(outlines.get(2)).toEqual([0.5, -0.5, 0.5, 0.5, 0.5, -0.5, 1.5, -0.5, 0.5, 0.5, 1.5, 0.5, 2.5, -0.5, 2.5, 0.5, 1.5, -0.5, 2.5, -0.5, 1.5, 0.5, 2.5, 0.5]);
  });
});
