/** Changing a label: every deed is written into the mask, the history and the draft journal as one edit. */

import * as calls from "../api/calls";
import { copyPlane, type Dab, fill, paintInside, paintWay, replaceAll, replaceSegment, voxelMl } from "./brushes";
import type { StreamedVolume } from "./frames";
import { clampIndex } from "./geometry";
import type { AbsentChange, Edit } from "./history";
import { type Axis, type Change, type Index3, IN_PLANE, LabelVolume, Stroke } from "./labels";
import { Looking } from "./looking";
import type { Measure } from "./overlay";
import type { PlaneHost } from "./PlaneView";
import { countOf, eachRun, runsOf } from "./runs";
import type { Other } from "./state";
import type { PlaneViewport } from "./views";

export class Painting extends Looking implements PlaneHost {
  private stroke: Stroke | null = null;
  private strokeTool: { label: string; last: Index3; plane: PlaneViewport } | null = null;

  // --- edits ----------------------------------------------------------------------------------------------------------

  private record(edit: Edit): void {
    if (!edit.changes.length && !edit.absent?.length && !edit.measures) return;
    this.history!.record(edit);
    this.journal!.push({ op: "edit", ...edit });
    this.measureVolumes(edit);
    this.changed();
  }

  private newStroke(): Stroke {
    const locked = this.segments.filter((segment) => segment.locked).map((segment) => segment.value);
    const sparingAllBut = this.onlyBackground ? this.activeValue : null;
    return new Stroke(this.labels!, this.labels!.kind.guard({ locked, sparingAllBut }));
  }

  private get activeLocked(): boolean {
    return this.segments.some((segment) => segment.value === this.activeValue && segment.locked);
  }

  /** Write by a function and make one edit of it. */
  private deed(label: string, write: (stroke: Stroke) => void, more: Partial<Edit> = {}): void {
    if (!this.mayEdit || !this.labels) return;
    const stroke = this.newStroke();
    write(stroke);
    stroke.show();
    const changes = stroke.changes();
    const absent = [...(more.absent ?? []), ...this.noLongerAbsent(changes)];
    this.record({ label, changes, ...more, ...(absent.length ? { absent } : {}) });
  }

  private noLongerAbsent(changes: readonly Change[]): AbsentChange[] {
    const present = new Set(changes.flatMap(({ to }) => this.labels!.kind.segmentsOf(to)));
    return [...present].filter((value) => this.history!.absent.has(value)).map((value) => ({ value, from: true, to: false }));
  }

  undo(): void {
    if (!this.mayEdit || !this.history!.nextUndo) return;
    const edit = this.history!.undo()!;
    this.journal!.push({ op: "undo" });
    this.notice = `Undone: ${edit.label}`;
    this.measureVolumes();
    this.changed();
  }

  redo(): void {
    if (!this.mayEdit || !this.history!.nextRedo) return;
    const edit = this.history!.redo()!;
    this.journal!.push({ op: "redo" });
    this.notice = `Done again: ${edit.label}`;
    this.measureVolumes();
    this.changed();
  }

  protected measureVolumes(edit?: Edit): void {
    if (!this.labels || !this.frames) return;
    const ml = voxelMl(this.frames.spacing_mm);
    if (edit) {
      const change = new Map<number, number>();
      const add = (voxel: number, count: number) => {
        for (const value of this.labels!.kind.segmentsOf(voxel)) change.set(value, (change.get(value) ?? 0) + count);
      };
      for (const { from, to, runs } of edit.changes) {
        add(from, -countOf(runs));
        add(to, countOf(runs));
      }
      for (const segment of this.segments) segment.volumeMl += (change.get(segment.value) ?? 0) * ml;
      return;
    }
    const counts = this.labels.counts();
    for (const segment of this.segments) segment.volumeMl = (counts.get(segment.value) ?? 0) * ml;
  }

  // --- the pen --------------------------------------------------------------------------------------------------------

  get paints(): boolean {
    return this.tool === "brush" || this.tool === "eraser" || this.tool === "threshold";
  }

  private dab(erase: boolean): Dab {
    const [low, high] = this.threshold;
    const { columns } = this.frames!;
    const size = columns * this.frames!.rows;
    const slices = new Map<number, ReturnType<StreamedVolume["slice"]>>();
    const accept =
      this.tool === "threshold" && !erase
        ? (index: number, k: number) => {
            if (!slices.has(k)) slices.set(k, this.volume!.slice(k));
            const value = slices.get(k)?.[index - k * size];
            return value !== undefined && value >= low && value <= high;
          }
        : undefined;
    return { value: this.activeValue, erase, accept };
  }

  /** The pen touches a plane at a pixel. */
  penDown(plane: PlaneViewport, x: number, y: number, erase: boolean): void {
    if (!this.ownPhase) {
      this.notice = `This phase is here to look at. The label belongs to phase ${(this.frames?.phase ?? 0) + 1}.`;
      this.changed();
    }
    if (!this.mayEdit) return;
    if (this.activeLocked && this.tool !== "length") {
      this.notice = "The segment is locked: unlock it in the list, or choose another.";
      this.changed();
      return;
    }
    this.activePlane = plane;
    const at = plane.voxelAt(x, y);
    if (this.paints) {
      this.stroke = this.newStroke();
      const erasing = erase || this.tool === "eraser";
      this.strokeTool = { label: erasing ? "Eraser" : this.tool === "threshold" ? "Threshold brush" : "Brush", last: at, plane };
      this.paintTo(plane, at, erasing);
    } else if (this.tool === "scissors") {
      this.pen = { plane, x, y, radiusMm: 0, lasso: [[x, y]], measure: null };
    } else if (this.tool === "fill") {
      this.fillAt(clampIndex(at, this.labels!.shape), plane.view.axis);
    } else if (this.tool === "length") {
      const point = this.onPlane(plane, at);
      const measure: Measure = { id: crypto.randomUUID(), axis: plane.view.axis, slice: plane.slice, a: point, b: point };
      this.pen = { plane, x, y, radiusMm: 0, lasso: null, measure };
    }
  }

  /** The pen moves; returns whether something in this plane is to be drawn. */
  penMove(plane: PlaneViewport, x: number, y: number, erase: boolean): void {
    const at = plane.voxelAt(x, y);
    const value = this.valueAt(at);
    const unit = this.frames?.quantity === "arbitrary" ? "" : ` ${this.frames?.quantity ?? ""}`;
    this.readout = value === undefined ? null : { plane, text: `${Number(value.toFixed(3))}${unit}` };
    if (this.stroke) {
      this.pen = { plane, x, y, radiusMm: this.radiusMm, lasso: null, measure: null };
      this.paintTo(plane, at, erase || this.tool === "eraser");
    } else if (this.pen?.lasso) {
      this.pen = { ...this.pen, x, y, lasso: [...this.pen.lasso, [x, y]] };
    } else if (this.pen?.measure) {
      this.pen = { ...this.pen, x, y, measure: { ...this.pen.measure, b: this.onPlane(plane, at) } };
    } else {
      this.pen = { plane, x, y, radiusMm: this.paints ? this.radiusMm : 0, lasso: null, measure: null };
    }
  }

  /** The pen is lifted: what it did becomes one edit. */
  penUp(erase: boolean): void {
    if (this.stroke && this.strokeTool) {
      const changes = this.stroke.changes();
      const label = this.strokeTool.label;
      this.stroke = this.strokeTool = null;
      const absent = this.noLongerAbsent(changes);
      this.record({ label, changes, ...(absent.length ? { absent } : {}) });
    } else if (this.pen?.lasso) {
      const { plane, lasso } = this.pen;
      this.pen = null;
      const line = lasso.map(([x, y]) => this.onPlane(plane, plane.voxelAt(x, y)));
      const place = { axis: plane.view.axis, slice: plane.slice, through: this.through };
      this.deed(erase ? "Scissors (cut)" : "Scissors (fill)", (stroke) => paintInside(stroke, line, place, this.dab(erase)));
    } else if (this.pen?.measure) {
      const { measure } = this.pen;
      this.pen = null;
      if (Math.hypot(measure.a[0] - measure.b[0], measure.a[1] - measure.b[1]) > 0.5) {
        this.record({ label: "Length", changes: [], measures: { added: [measure], removed: [] } });
      }
    }
    this.changed();
  }

  /** Take back what the pen is just doing; false where it does nothing. */
  cancelPen(): boolean {
    if (!this.drawing) return false;
    if (this.stroke) {
      this.labels!.apply(this.stroke.changes(), true);
      this.stroke = this.strokeTool = null;
    }
    this.pen = null;
    this.changed();
    return true;
  }

  get drawing(): boolean {
    return this.stroke !== null || Boolean(this.pen?.lasso) || Boolean(this.pen?.measure);
  }

  private onPlane(plane: PlaneViewport, at: readonly number[]): [number, number] {
    const [u, v] = IN_PLANE[plane.view.axis];
    return [at[u], at[v]];
  }

  private paintTo(plane: PlaneViewport, at: Index3, erase: boolean): void {
    paintWay(
      this.stroke!,
      {
        a: this.strokeTool!.last,
        b: at,
        axis: plane.view.axis,
        sphere: this.sphere,
        radiusMm: this.radiusMm,
        spacingMm: this.frames!.spacing_mm,
      },
      this.dab(erase),
    );
    this.strokeTool!.last = at;
    this.stroke!.show();
  }

  private fillAt(seed: Index3, axis: Axis): void {
    let enclosed = true;
    this.deed("Fill", (stroke) => {
      enclosed = fill(stroke, seed, axis, this.activeValue);
    });
    if (!enclosed) this.notice = "Nothing is filled: the region is open to the edge of the image. Close its outline first.";
    this.changed();
  }

  /** One dab at the crosshair, for those who work by keys alone. */
  stamp(erase: boolean): void {
    const plane = this.activePlane;
    if (!plane || !this.crosshair || !this.mayEdit || this.activeLocked) return;
    const at = this.crosshair;
    if (this.tool === "fill") return this.fillAt(at, plane.view.axis);
    const erasing = erase || this.tool === "eraser";
    this.deed(erasing ? "Eraser" : "Brush", (stroke) =>
      paintWay(
        stroke,
        { a: at, b: at, axis: plane.view.axis, sphere: this.sphere, radiusMm: this.radiusMm, spacingMm: this.frames!.spacing_mm },
        this.dab(erasing),
      ),
    );
  }

  setRadius(radiusMm: number): void {
    const smallest = Math.min(...(this.frames?.spacing_mm ?? [1])) / 2;
    this.radiusMm = Math.min(150, Math.max(smallest, radiusMm));
    if (this.pen && !this.pen.lasso && !this.pen.measure) this.pen = { ...this.pen, radiusMm: this.radiusMm };
    this.changed();
  }

  // --- deeds on a whole segment ---------------------------------------------------------------------------------------

  toggleAbsent(value: number): void {
    const from = this.history!.absent.has(value);
    if (!from && this.segments.find((segment) => segment.value === value)!.volumeMl > 1e-9) {
      this.notice = "The segment has voxels: erase them before you say that it is absent.";
      this.changed();
      return;
    }
    this.deed(from ? "Not absent" : "Absent", () => {}, { absent: [{ value, from, to: !from }] });
  }

  clearSegment(value: number): void {
    this.deed("Clear segment", (stroke) =>
      eachRun(runsOf(stroke.labels.data, value), (start, length) => {
        for (let index = start; index < start + length; index++) stroke.take(index, value);
      }),
    );
  }

  acceptAll(): void {
    if (!this.proposal) return;
    this.deed("Accept the proposal", (stroke) => replaceAll(stroke, this.proposal!), { fromModel: true });
    this.notice = "The model's proposal is taken over. Correct it, or submit it.";
    this.changed();
  }

  acceptSegment(value: number): void {
    if (!this.proposal) return;
    const name = this.segments.find((segment) => segment.value === value)?.name ?? value;
    this.deed(`Accept ${name}`, (stroke) => replaceSegment(stroke, this.proposal!, value), { fromModel: true });
  }

  /** Take a segment, or the whole label, from another answer. */
  takeFrom(other: Other, value: number | null): void {
    const what = value === null ? "the label" : (this.segments.find((segment) => segment.value === value)?.name ?? "a segment");
    this.deed(
      `Take ${what} of ${other.title}`,
      (stroke) => (value === null ? replaceAll(stroke, other.labels) : replaceSegment(stroke, other.labels, value)),
      other.model ? { fromModel: true } : {},
    );
  }

  /** Make the label be another version of it. */
  restore(raw: ArrayBuffer, label: string, fromModel: boolean): void {
    const version = LabelVolume.read(this.labels!.shape, this.labels!.kind, raw);
    this.deed(label, (stroke) => replaceAll(stroke, version), { fromModel });
  }

  copyFrom(step: 1 | -1): void {
    const plane = this.activePlane;
    if (!plane) return;
    const { axis } = plane.view;
    let copied = 0;
    this.deed("Copy from the neighbour slice", (stroke) => {
      copied = copyPlane(stroke, axis, plane.slice + step, plane.slice, this.activeValue);
    });
    if (!copied) this.notice = "The neighbour slice has nothing of this segment.";
    this.changed();
  }

  /** Let the service do what needs the whole segment. */
  async operate(name: calls.OperationName, label: string): Promise<void> {
    const { labels, journal, activeValue } = this;
    if (!this.mayEdit || !labels || this.busy || this.activeLocked) return;
    this.busy = `${label} …`;
    this.changed();
    const before = labels.revision;
    try {
      const { runs } = await calls.operation(this.taskId, name, {
        lease_id: journal!.leaseId,
        segment: activeValue,
        axis: this.activePlane?.view.axis ?? 2,
        shape: labels.shape,
        runs: runsOf(labels.data, activeValue),
      });
      if (labels.revision !== before) throw new Error("The label was changed meanwhile: do it again");
      const wanted = LabelVolume.empty(labels.shape, labels.kind);
      wanted.apply([{ from: 0, to: labels.kind.given(0, activeValue), runs }]);
      this.busy = null;
      // What others have is left to them: the service knows of this segment only.
      this.deed(label, (stroke) => replaceSegment(stroke, wanted, activeValue, true));
    } catch (error) {
      this.notice = (error as Error).message;
    } finally {
      this.busy = null;
      this.changed();
    }
  }

  removeMeasures(): void {
    const removed = [...this.history!.measures.values()];
    if (removed.length) this.record({ label: "Remove lengths", changes: [], measures: { added: [], removed } });
  }
}
