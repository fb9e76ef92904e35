import { describe, expect, it } from "vitest";
import { copyPlane, fill, outlinesOf, paintInside, paintWay, replaceAll, replaceSegment } from "./brushes";
import { EditHistory } from "./history";
import { type Axis, type Index3, LabelVolume, planeOf, Stroke } from "./labels";
import { LABEL_MAP } from "./masks";
import { countOf, runsOf, RunWriter } from "./runs";

const SHAPE: Index3 = [9, 8, 7];

function randomVolume(seed: number): LabelVolume {
  const volume = new LabelVolume(SHAPE);
  let state = seed;
  for (let n = 0; n < volume.data.length; n++) {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    volume.data[n] = (state >> 16) % 4;
  }
  return volume;
}

function disc(volume: LabelVolume, options: Partial<Parameters<typeof paintWay>[1]> & { value?: number } = {}) {
  const stroke = new Stroke(volume);
  const at: Index3 = [4, 4, 3];
  paintWay(
    stroke,
    { a: at, b: at, axis: 2, sphere: false, radiusMm: 2, spacingMm: [1, 1, 1], ...options },
    { value: options.value ?? 1 },
  );
  return stroke;
}

describe("runs", () => {
  it("join stretches that touch", () => {
    const writer = new RunWriter();
    writer.add(3, 2);
    writer.add(5, 1);
    writer.add(9, 4);
    expect(writer.runs).toEqual([3, 3, 3, 4]);
    expect(countOf(writer.runs)).toBe(7);
  });

  it("say where a value is", () => {
    const volume = randomVolume(5);
    const back = new LabelVolume(SHAPE);
    for (const value of [1, 2, 3]) back.apply([{ from: 0, to: value, runs: runsOf(volume.data, value) }]);
    expect(back.data).toEqual(volume.data);
    expect(runsOf(new Uint8Array([7, 7]), 7)).toEqual([0, 2]);
    expect(runsOf(new Uint8Array(4), 1)).toEqual([]);
  });
});

describe("planes", () => {
  it.each([0, 1, 2] as Axis[])("of axis %i hold the voxels of that plane", (axis) => {
    const volume = randomVolume(3);
    const plane = planeOf(volume, axis, 4);
    const [u, v] = ([[1, 2], [0, 2], [0, 1]] as const)[axis];
    for (let y = 0; y < SHAPE[v]; y++) {
      for (let x = 0; x < SHAPE[u]; x++) {
        const at: Index3 = [4, 4, 4];
        at[u] = x;
        at[v] = y;
        expect(plane[x + SHAPE[u] * y]).toBe(volume.data[volume.indexOf(...at)]);
      }
    }
  });
});

describe("counts", () => {
  it("are those of every voxel, whatever the length and the place in memory", () => {
    for (const [offset, shape] of [[0, [9, 8, 7]], [1, [5, 3, 1]], [4, [3, 1, 1]]] as [number, Index3][]) {
      const size = shape[0] * shape[1] * shape[2];
      const data = new Uint8Array(new ArrayBuffer(offset + size), offset, size);
      for (let n = 0; n < size; n += 3) data[n] = 1 + (n % 2);
      const volume = new LabelVolume(shape, data);
      for (const [value, count] of volume.counts()) expect(count).toBe(data.filter((each) => each === value).length);
      expect([...volume.counts().keys()].sort()).toEqual([...new Set(data)].filter(Boolean).sort());
    }
  });
});

describe("a disc", () => {
  it.each([0, 1, 2] as Axis[])("of axis %i has the voxels within its radius, in its plane only", (axis) => {
    const volume = new LabelVolume(SHAPE);
    disc(volume, { axis });
    let found = 0;
    for (let k = 0; k < SHAPE[2]; k++) {
      for (let j = 0; j < SHAPE[1]; j++) {
        for (let i = 0; i < SHAPE[0]; i++) {
          const inside = (i - 4) ** 2 + (j - 4) ** 2 + (k - 3) ** 2 <= 4 && [i, j, k][axis] === [4, 4, 3][axis];
          expect(volume.data[volume.indexOf(i, j, k)]).toBe(inside ? 1 : 0);
          found += inside ? 1 : 0;
        }
      }
    }
    expect(found).toBe(13);
  });

  it("counts millimetres, not voxels", () => {
    const volume = new LabelVolume(SHAPE);
    disc(volume, { spacingMm: [1, 4, 1] });
    expect(volume.counts().get(1)).toBe(5);
  });

  it("smaller than a voxel paints the voxel it is on", () => {
    const volume = new LabelVolume(SHAPE);
    disc(volume, { radiusMm: 0.1 });
    expect(volume.counts().get(1)).toBe(1);
  });

  it("at the edge, or beyond it, stays inside the volume", () => {
    const volume = new LabelVolume(SHAPE);
    disc(volume, { a: [0, 0, 0], b: [0, 0, 0] });
    expect(volume.counts().get(1)).toBe(6);
    disc(volume, { a: [4, 4, 9], b: [4, 4, 9], value: 2 });
    expect(volume.counts().get(2)).toBeUndefined();
  });

  it("drawn along a way leaves no gaps", () => {
    const volume = new LabelVolume([40, 8, 3]);
    disc(volume, { a: [4, 4, 1], b: [35, 4, 1], radiusMm: 1 });
    for (let i = 3; i <= 36; i++) expect(volume.data[volume.indexOf(i, 4, 1)]).toBe(1);
    expect(volume.counts().get(1)).toBe(32 * 3 + 2);
  });

  it("in space is a sphere", () => {
    const volume = new LabelVolume(SHAPE);
    disc(volume, { sphere: true });
    expect(volume.counts().get(1)).toBe(33);
  });
});

describe("a stroke", () => {
  it("leaves locked segments alone and comes back as changes from each value", () => {
    const volume = randomVolume(11);
    const before = volume.data.slice();
    const stroke = new Stroke(volume, LABEL_MAP.guard({ locked: [2], sparingAllBut: null }));
    paintWay(
      stroke,
      { a: [4, 4, 3], b: [4, 4, 3], axis: 2, sphere: true, radiusMm: 3, spacingMm: [1, 1, 1] },
      { value: 1 },
    );
    const changes = stroke.changes();
    expect(changes.every((change) => change.from !== 2 && change.to === 1)).toBe(true);
    const after = volume.data.slice();
    volume.apply(changes, true);
    expect(volume.data).toEqual(before);
    volume.apply(changes);
    expect(volume.data).toEqual(after);
  });

  it("that puts everything back has no changes", () => {
    const volume = new LabelVolume(SHAPE);
    const stroke = new Stroke(volume);
    stroke.give(volume.indexOf(1, 1, 1), 3);
    stroke.take(volume.indexOf(1, 1, 1), 3);
    expect(stroke.changes()).toEqual([]);
  });

  it("paints only what is accepted, and spares other segments where asked", () => {
    const volume = new LabelVolume(SHAPE);
    volume.data[volume.indexOf(4, 4, 3)] = 2;
    const stroke = new Stroke(volume, LABEL_MAP.guard({ locked: [], sparingAllBut: 1 }));
    const way = { a: [4, 4, 3] as Index3, b: [4, 4, 3] as Index3, axis: 2 as Axis, sphere: false, radiusMm: 2, spacingMm: [1, 1, 1] as Index3 };
    paintWay(stroke, way, { value: 1, accept: (index) => index % 9 >= 4 });
    expect(volume.data[volume.indexOf(4, 4, 3)]).toBe(2);
    expect(volume.counts().get(1)).toBe(8);
  });
});

describe("scissors", () => {
  it("take what lies inside the line, here or through all slices", () => {
    const volume = new LabelVolume(SHAPE);
    const line: [number, number][] = [[1.5, 1.5], [5.5, 1.5], [5.5, 4.5], [1.5, 4.5]];
    paintInside(new Stroke(volume), line, { axis: 2, slice: 3, through: false }, { value: 1 });
    expect(volume.counts().get(1)).toBe(12);
    paintInside(new Stroke(volume), line, { axis: 2, slice: 3, through: true }, { value: 1 });
    expect(volume.counts().get(1)).toBe(12 * 7);
    paintInside(new Stroke(volume), line.slice(0, 2), { axis: 2, slice: 3, through: true }, { value: 1, erase: true });
    expect(volume.counts().get(1)).toBe(12 * 7);
  });
});

describe("fill", () => {
  it.each([0, 1, 2] as Axis[])("closes a ring of axis %i and refuses what is open", (axis) => {
    const volume = new LabelVolume([9, 9, 9]);
    const stroke = new Stroke(volume);
    for (let x = 2; x <= 6; x++) {
      for (let y = 2; y <= 6; y++) {
        if (x === 2 || y === 2 || x === 6 || y === 6) {
          const at: Index3 = [4, 4, 4];
          const [u, v] = ([[1, 2], [0, 2], [0, 1]] as const)[axis];
          at[u] = x;
          at[v] = y;
          stroke.give(volume.indexOf(...at), 1);
        }
      }
    }
    expect(fill(stroke, [0, 0, 0], axis, 1)).toBe(false);
    expect(volume.counts().get(1)).toBe(16);
    expect(fill(stroke, [4, 4, 4], axis, 1)).toBe(true);
    expect(volume.counts().get(1)).toBe(25);
  });
});

describe("copies", () => {
  it("bring a segment from the neighbour plane and nothing else", () => {
    const volume = new LabelVolume(SHAPE);
    disc(volume);
    volume.data[volume.indexOf(0, 0, 3)] = 2;
    expect(copyPlane(new Stroke(volume), 2, 3, 4, 1)).toBe(13);
    expect(volume.counts()).toEqual(new Map([[1, 26], [2, 1]]));
    expect(copyPlane(new Stroke(volume), 2, -1, 0, 1)).toBe(0);
  });

  it("of a segment or of all give exactly the other map", () => {
    const wanted = randomVolume(7);
    const volume = randomVolume(8);
    const others = volume.data.map((value, n) => (value === 3 || wanted.data[n] === 3 ? 0 : value));
    replaceSegment(new Stroke(volume), wanted, 3);
    expect(runsOf(volume.data, 3)).toEqual(runsOf(wanted.data, 3));
    expect(volume.data.map((value) => (value === 3 ? 0 : value))).toEqual(others);
    replaceAll(new Stroke(volume), wanted);
    expect(volume.data).toEqual(wanted.data);
  });
});

describe("outlines", () => {
  it("run between a value and every other, at the edge of the plane as well", () => {
    const outlines = outlinesOf(new Uint8Array([1, 1, 0, 1, 2, 0]), 3);
    // Value 1 is an L of three squares with eight edges around it, value 2 one square with four.
    expect(outlines.get(1)!.length).toBe(8 * 4);
    expect(outlines.get(2)!.length).toBe(4 * 4);
    expect(outlines.get(2)).toEqual([0.5, 0.5, 0.5, 1.5, 1.5, 0.5, 1.5, 1.5, 0.5, 0.5, 1.5, 0.5, 0.5, 1.5, 1.5, 1.5]);
    expect(outlinesOf(new Uint8Array(6), 3).size).toBe(0);
  });
});

describe("history", () => {
  it("undoes and redoes edits, absent answers and what came from the model", () => {
    const volume = new LabelVolume(SHAPE);
    const history = new EditHistory(volume);
    history.record({ label: "Brush", changes: disc(volume).changes() });
    const stroke = new Stroke(volume);
    replaceAll(stroke, randomVolume(2));
    history.record({ label: "Accept all", changes: stroke.changes(), fromModel: true });
    history.record({ label: "Absent", changes: [], absent: [{ value: 2, from: false, to: true }] });
    expect(history.startedFromModel).toBe(true);
    expect([...history.absent]).toEqual([2]);
    history.undo();
    expect([...history.absent]).toEqual([]);
    history.undo();
    expect(history.startedFromModel).toBe(false);
    expect(volume.counts()).toEqual(new Map([[1, 13]]));
    history.redo();
    expect(volume.data).toEqual(randomVolume(2).data);
    history.undo();
    history.undo();
    expect(volume.counts().size).toBe(0);
    expect(history.undo()).toBeUndefined();
  });

  it("comes back whole from the journal, undo stack included", () => {
    const volume = new LabelVolume(SHAPE);
    const history = new EditHistory(volume);
    const first = { label: "Brush", changes: disc(volume).changes() };
    history.record(first);
    const second = { label: "Brush", changes: disc(volume, { value: 2, a: [2, 2, 2], b: [2, 2, 2] }).changes() };
    history.record(second);
    history.undo();
    const again = new EditHistory(new LabelVolume(SHAPE));
    const journal = JSON.parse(
      JSON.stringify([{ op: "edit", ...first }, { op: "edit", ...second }, { op: "undo" }, { op: "time", active_s: 12 }]),
    );
    for (const entry of journal) again.replay(entry);
    expect(again.labels.data).toEqual(volume.data);
    expect(again.nextRedo).toBe("Brush");
    expect(again.activeS).toBe(12);
    again.redo();
    expect(again.labels.counts().get(2)).toBeGreaterThan(0);
    expect(() => again.replay({ op: "later" } as never)).toThrow("newer release");
  });
});
