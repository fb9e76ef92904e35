import { describe, expect, it, vi } from "vitest";
import type { Entry } from "./history";
import { EditHistory } from "./history";
import { LabelVolume, Stroke } from "./labels";
import { LABEL_MAP, type MaskKind, SEGMENT_BITS } from "./masks";
import { Painting } from "./painting";
import type { SegmentState } from "./state";

// Cornerstone3D wants a browser; nothing of it is needed to change a label.
vi.mock("./frames", () => ({}));

const answers: { runs: number[] }[] = [];
vi.mock("../api/calls", () => ({ operation: async () => answers.shift() }));

const SHAPE: [number, number, number] = [10, 10, 4];

/** A case with three segments that is open for painting; voxels are of 1 mL. */
function roomOf(kind: MaskKind): { room: Painting; entries: Entry[] } {
  const room = new Painting("task", {} as never);
  const entries: Entry[] = [];
  room.stage = "ready";
  room.frames = { phase: 0, shape: SHAPE, spacing_mm: [10, 10, 10] } as never;
  room.labels = LabelVolume.empty(SHAPE, kind);
  room.history = new EditHistory(room.labels);
  room.journal = { push: (entry: Entry) => void entries.push(JSON.parse(JSON.stringify(entry))) } as never;
  room.segments = [1, 2, 32].map(
    (value) => ({ value, name: `segment ${value}`, locked: false, visible: true, volumeMl: 0 }) as SegmentState,
  );
  return { room, entries };
}

function painted(kind: MaskKind, parts: [value: number, first: number, end: number][]): LabelVolume {
  const mask = LabelVolume.empty(SHAPE, kind);
  const stroke = new Stroke(mask);
  for (const [value, first, end] of parts) for (let n = first; n < end; n++) stroke.give(n, value);
  return mask;
}

const volumes = (room: Painting) => room.segments.map((segment) => Math.round(segment.volumeMl));

describe.each([LABEL_MAP, SEGMENT_BITS])("a label of $dtype", (kind) => {
  it("keeps volumes in step with every edit, undo and redo, and is the same after the journal is read again", () => {
    const { room, entries } = roomOf(kind);
    room.proposal = painted(kind, [[1, 0, 40], [2, 20, 50], [32, 30, 35]]);
    room.acceptAll();
    const all = volumes(room);
    expect(all).toEqual(kind === SEGMENT_BITS ? [40, 30, 5] : [20, 25, 5]);
    room.clearSegment(2);
    expect(volumes(room)).toEqual([all[0], 0, all[2]]);
    room.acceptSegment(2);
    expect(volumes(room)).toEqual(kind === SEGMENT_BITS ? all : [20, 25, 5]);
    room.undo();
    room.undo();
    room.redo();
    expect(volumes(room)).toEqual([all[0], 0, all[2]]);
    const again = new EditHistory(LabelVolume.empty(SHAPE, kind));
    for (const entry of entries) again.replay(entry);
    expect(again.labels.data).toEqual(room.labels!.data);
    expect(again.startedFromModel).toBe(true);
  });

  it("no longer calls a segment absent once it has a voxel, the one with the last bit as well", () => {
    const { room } = roomOf(kind);
    room.toggleAbsent(32);
    room.toggleAbsent(2);
    expect([...room.history!.absent]).toEqual([32, 2]);
    room.restore(painted(kind, [[32, 5, 6]]).data.buffer as ArrayBuffer, "Restore", false);
    expect([...room.history!.absent]).toEqual([2]);
    room.toggleAbsent(32);
    expect(room.notice).toContain("has voxels");
    room.undo();
    expect([...room.history!.absent].sort()).toEqual([2, 32]);
    expect(room.unanswered.map((segment) => segment.value)).toEqual([1]);
  });

  it("takes what the service made of a segment, and leaves the others theirs", async () => {
    const { room } = roomOf(kind);
    room.restore(painted(kind, [[1, 0, 20], [32, 20, 30]]).data.buffer as ArrayBuffer, "Restore", false);
    room.activeValue = 32;
    answers.push({ runs: [10, 15] });
    await room.operate("smooth", "Smooth");
    expect(room.notice).toBeNull();
    // Asked for 10..24: in a label map the first ten are the other segment's.
    expect(volumes(room)).toEqual(kind === SEGMENT_BITS ? [20, 0, 15] : [20, 0, 5]);
  });

  it("of another reader is taken whole or by the segment, locked segments stay", () => {
    const { room } = roomOf(kind);
    const other = { title: "Reader A", color: "", labels: painted(kind, [[1, 0, 10], [2, 10, 20]]), model: false, shown: true };
    room.takeFrom(other, 2);
    expect(volumes(room)).toEqual([0, 10, 0]);
    room.segments[1].locked = true;
    room.takeFrom({ ...other, labels: painted(kind, [[1, 5, 15]]) }, null);
    expect(volumes(room)).toEqual(kind === SEGMENT_BITS ? [10, 10, 0] : [5, 10, 0]);
    expect(room.overlapping).toBe(kind === SEGMENT_BITS);
  });
});
