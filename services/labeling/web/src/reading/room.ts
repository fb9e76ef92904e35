/** One case open before one reader: what is in hand, what may be done with it, and where each deed goes (label, history, journal). */

import * as calls from "../api/calls";
import { Problem } from "../api/http";
import type { Doubt, Frames, Me, Segment, Task } from "../api/types";
import { ActiveTime } from "./activity";
import { copyPlane, fill, paintInside, paintWay, replaceAll, replaceSegment, voxelMl } from "./brushes";
import { automaticWindow, localVolume, removeLocal, StreamedVolume } from "./frames";
import { clampIndex } from "./geometry";
import { type AbsentChange, type Edit, EditHistory, type Entry } from "./history";
import { DraftJournal, inBrowser, type Unsent } from "./journal";
import { type Axis, type Index3, LabelVolume, Stroke } from "./labels";
import type { Measure, Preview, Scene, SegmentStyle } from "./overlay";
import { runsOf } from "./runs";
import { packed } from "./packing";
import type { PlaneHost } from "./PlaneView";
import type { PlaneViewport, Views } from "./views";

export type ToolName = "brush" | "eraser" | "threshold" | "scissors" | "fill" | "length" | "window" | "pan";

/** What stands in the way of going on as before, and what its reader can choose. */
export type Trouble =
  | { kind: "lease-ended"; problem: Problem }
  | { kind: "somebody-else"; problem: Problem }
  | { kind: "another-window"; problem: Problem }
  | { kind: "withdrawn"; problem: Problem }
  | { kind: "closed"; problem: Problem }
  | { kind: "refused"; problem: Problem };

export interface SegmentState extends Segment, SegmentStyle {
  locked: boolean;
  volumeMl: number;
}

/** Another answer for the same case, for an adjudicator to take from. */
export interface Other {
  title: string;
  color: string;
  labels: LabelVolume;
  model: boolean;
  shown: boolean;
}

const OTHER_COLORS = ["#4cc9f0", "#f72585", "#b8f35a", "#ffd166"];
const MODEL_COLOR = "#ffffff";
const OPACITY = 0.35;
const TIME_EVERY_S = 20;
/** Voxels above which the browser is warned before it loads: 4 bytes a voxel and more are needed in memory and on the GPU. */
const LARGE_VOXELS = 300_000_000;

/** How a lease or a journal that was refused is called. */
export function troubleOf(problem: Problem): Trouble {
  switch (problem.code) {
    case "lease-expired":
    case "lease-replaced":
      return { kind: "lease-ended", problem };
    case "lease-foreign":
    case "task-held":
      return { kind: "somebody-else", problem };
    case "draft-sequence":
      return { kind: "another-window", problem };
    case "study-withdrawn":
    case "case-unknown":
    case "task-unknown":
      return { kind: "withdrawn", problem };
    case "task-closed":
    case "illegal-transition":
      return { kind: "closed", problem };
    default:
      return { kind: "refused", problem };
  }
}

export class ReadingRoom implements PlaneHost {
  // --- what is open ---------------------------------------------------------------------------------------------------
  task: Task | null = null;
  frames: Frames | null = null;
  segments: SegmentState[] = [];
  projectVersion = 0;
  overlapping = false;
  labels: LabelVolume | null = null;
  history: EditHistory | null = null;
  journal: DraftJournal | null = null;
  volume: StreamedVolume | null = null;
  views: Views | null = null;
  readOnly = false;
  stage: "opening" | "ready" | "failed" = "opening";
  failure: Problem | Error | null = null;
  trouble: Trouble | null = null;
  /** What waited in this browser from before, until its reader decides. */
  unsent: Unsent | null = null;
  busy: string | null = null;
  notice: string | null = null;
  submitted = false;
  loaded = 0;
  failedSlices = 0;
  /** When things happened, in ms since the page was loaded, and how long what is sent took: for the benchmark. */
  readonly timings: Record<string, number> = {};

  // --- how it is shown ------------------------------------------------------------------------------------------------
  tool: ToolName = "brush";
  sphere = false;
  radiusMm = 4;
  threshold: [number, number] = [0, 1];
  onlyBackground = false;
  through = false;
  activeValue = 1;
  labelsShown = true;
  crosshair: Index3 | null = null;
  showCrosshair = true;
  window = { center: 0, width: 1 };
  smooth = true;
  activePlane: PlaneViewport | null = null;
  large: PlaneViewport | null = null;
  maximised: string | null = null;
  proposal: LabelVolume | null = null;
  showProposal = true;
  heat: LabelVolume | null = null;
  showHeat = false;
  doubts: Doubt[] = [];
  doubt = -1;
  /** Slices as they come, until the volume is drawn as a whole. */
  preview: Preview | null = null;
  /** What came back with a returned label: the reviewer's words, and where they point. */
  comment: { text: string; pin: Index3 | null } | null = null;
  /** For an adjudication: the readers' answers, and the model's. */
  others: Other[] = [];
  phase = 0;
  channel = 0;
  playing = false;
  pen: Scene["pen"] = null;
  /** The value under the pointer, in words. */
  readout: Scene["readout"] = null;

  readonly time = new ActiveTime();
  private timeKept = 0;
  private stroke: Stroke | null = null;
  private strokeTool: { label: string; last: Index3; plane: PlaneViewport } | null = null;
  private renewal: ReturnType<typeof setInterval> | undefined;
  private readonly listeners = new Set<() => void>();
  private leaseRefused = false;
  /** Volumes of the phases that were looked at, the case's own among them. */
  readonly volumes = new Map<number, StreamedVolume>();
  private readonly channelIds = new Map<number, string>();
  private readonly channelValues = new Map<number, ArrayLike<number>>();
  version = 0;

  constructor(readonly taskId: string, readonly me: Me) {}

  // --- for React ------------------------------------------------------------------------------------------------------
  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };
  readonly snapshot = () => this.version;
  /** Say that something has changed. */
  readonly changed = () => {
    this.version++;
    for (const listener of this.listeners) listener();
  };

  // --- opening and closing --------------------------------------------------------------------------------------------

  /** Lease the task, load the case, bring the draft back. Slices go on streaming after it. */
  async open(): Promise<void> {
    try {
      // Asked for beside the lease; if that is refused, its own refusal says more than those of the others.
      const [asked, written] = [calls.frames(this.taskId), calls.draft(this.taskId, 0)];
      asked.catch(() => {});
      written.catch(() => {});
      this.task = await this.take();
      const [frames, project] = await Promise.all([asked, calls.segments(this.task.project_id)]);
      this.frames = frames;
      this.window = { ...frames.window };
      this.phase = frames.phase;
      this.overlapping = project.overlapping_segments;
      this.projectVersion = project.project_version;
      this.segments = [...project.segments]
        .sort((a, b) => a.value - b.value)
        .map((segment) => ({ ...segment, visible: true, locked: false, opacity: OPACITY, volumeMl: 0 }));
      this.activeValue = this.segments[0]?.value ?? 1;
      this.threshold = [frames.window.center, frames.window.center + frames.window.width / 2];
      this.radiusMm = Math.max(2 * frames.spacing_mm[0], 0.02 * Math.max(...frames.shape.map((n, axis) => n * frames.spacing_mm[axis])));
      const voxels = frames.shape[0] * frames.shape[1] * frames.shape[2];
      if (voxels > LARGE_VOXELS) {
        const gigabytes = ((voxels * 5) / 2 ** 30).toFixed(1);
        this.notice = `A large volume (${frames.shape.join(" × ")}): about ${gigabytes} GiB of memory are needed, and it takes a while.`;
      }
      this.labels = new LabelVolume(frames.shape);
      this.history = new EditHistory(this.labels);
      this.crosshair = clampIndex(frames.shape.map((n) => (n - 1) / 2), frames.shape);
      this.volume = new StreamedVolume(`${this.taskId}/${frames.phase}/0`, frames, (progress) => this.progress(progress));
      this.volumes.set(frames.phase, this.volume);
      await Promise.all([this.bringDraft(written), this.volume.open(Math.floor(frames.slices.length / 2))]);
      this.measureVolumes();
      this.stage = "ready";
      this.changed();
      if (!this.readOnly) this.keepLease();
      void this.loadModel();
      void this.loadOthers();
      void this.loadComment();
    } catch (error) {
      this.failure = error as Error;
      this.stage = "failed";
      this.changed();
    }
  }

  private async take(): Promise<Task> {
    try {
      return await calls.takeTask(this.taskId);
    } catch (error) {
      if (!(error instanceof Problem) || (error.status !== 403 && error.status !== 409)) throw error;
      if (error.code === "study-withdrawn") throw error;
      const task = await calls.getTask(this.taskId);
      this.readOnly = true;
      this.notice = `Read only. ${error.message}`;
      return task;
    }
  }

  private get key(): string {
    return `${this.me.pseudonym}/${this.taskId}`;
  }

  private async bringDraft(first: Promise<calls.DraftPage>): Promise<void> {
    const task = this.task!;
    let after = 0;
    if (!(this.readOnly && task.draft_sequence === 0)) {
      for (;;) {
        const page = after === 0 ? await first : await calls.draft(this.taskId, after);
        for (const { entry } of page.entries) this.history!.replay(entry as Entry);
        after = page.entries.at(-1)?.sequence ?? page.sequence;
        if (after >= page.sequence) break;
      }
    }
    this.time.seconds = this.timeKept = this.history!.activeS;
    this.journal = new DraftJournal(this.taskId, this.key, task.lease?.lease_id ?? "", after, () => this.journalMoved());
    const waiting = await inBrowser.get(this.key).catch(() => undefined);
    if (waiting?.entries.length && !this.readOnly) this.unsent = waiting;
  }

  /** Why the last answer came back, in the reviewer's words. */
  private async loadComment(): Promise<void> {
    if (!this.task?.returned.length) return;
    try {
      const { versions } = await calls.versions(this.taskId);
      const last = versions.filter((version) => version.mine && version.kind === "submitted").at(-1);
      if (!last) return;
      const verdict = await calls.verdict(last.label_version_id);
      this.comment = { text: verdict.comment, pin: verdict.pin?.index ?? null };
      if (this.comment.pin) this.goTo(this.comment.pin);
    } catch (error) {
      this.notice = `The reviewer's comment could not be loaded. ${(error as Error).message}`;
    }
    this.changed();
  }

  /** What an adjudicator decides between: every reader's label, and the model as one more. */
  private async loadOthers(): Promise<void> {
    const { task, labels } = this;
    if (task?.reading !== "adjudication" || !labels) return;
    const read = async (bytes: Promise<{ data: ArrayBuffer }>) => new LabelVolume(labels.shape, new Uint8Array((await bytes).data));
    try {
      const readers = await Promise.all(task.label_version_ids.map((id) => read(calls.labelRaw(id))));
      const model = await read(calls.casePrediction(task.case_id)).catch(() => null);
      this.others = readers.map((each, n) => ({
        title: `Reader ${"ABCDEFGH"[n]}`, color: OTHER_COLORS[n % OTHER_COLORS.length], labels: each, model: false, shown: true,
      }));
      if (model) this.others.push({ title: "Model", color: MODEL_COLOR, labels: model, model: true, shown: false });
    } catch (error) {
      this.notice = `The readers' labels could not be loaded. ${(error as Error).message}`;
    }
    this.changed();
  }

  private async loadModel(): Promise<void> {
    const { task, labels } = this;
    if (!task || task.blind || !labels) return;
    const optional = async <T>(call: Promise<T>): Promise<T | null> => {
      try {
        return await call;
      } catch (error) {
        if (error instanceof Problem && (error.status === 404 || error.status === 403)) return null;
        this.notice = `The model's part could not be loaded. ${(error as Error).message}`;
        return null;
      }
    };
    if (task.proposal_available) {
      const found = await optional(calls.proposal(this.taskId));
      if (found) this.proposal = new LabelVolume(labels.shape, new Uint8Array(found.data));
      this.changed();
    }
    if (task.uncertainty_available) {
      const [places, heat] = await Promise.all([optional(calls.doubts(this.taskId)), optional(calls.uncertainty(this.taskId))]);
      this.doubts = places?.places ?? [];
      if (heat) this.heat = new LabelVolume(labels.shape, new Uint8Array(heat.data));
      this.changed();
    }
  }

  private keepLease(): void {
    const leaseS = this.task?.lease?.lease_s || 300;
    clearInterval(this.renewal);
    this.renewal = setInterval(() => void this.renew(), Math.max(5, Math.min(60, leaseS / 3)) * 1000);
  }

  private async renew(): Promise<void> {
    if (!this.journal || this.leaseRefused || this.submitted) return;
    this.keepTime();
    try {
      await calls.renewLease(this.taskId, this.journal.leaseId);
    } catch (error) {
      if (error instanceof Problem && !error.away && error.status !== 401) this.refuse(error);
    }
  }

  private refuse(problem: Problem): void {
    this.leaseRefused = true;
    this.trouble = troubleOf(problem);
    this.changed();
  }

  private journalMoved(): void {
    const { state } = this.journal!;
    if (state.kind === "refused") this.refuse(state.problem);
    this.changed();
  }

  private progress({ loaded, failed, total }: { loaded: number; failed: number; total: number }): void {
    this.loaded = loaded;
    this.failedSlices = failed;
    if (loaded === total) this.timings.allSlicesAt ??= performance.now();
    this.views?.arrived(loaded === total);
    this.changed();
  }

  /** The case is closed; what was not sent stays in the browser. */
  close(): void {
    clearInterval(this.renewal);
    this.playing = false;
    if (this.journal && !this.readOnly && !this.submitted) this.keepTime();
    if (this.journal && !this.leaseRefused && !this.readOnly && !this.submitted) void this.journal.flush();
    this.journal?.close();
    this.views?.destroy();
    for (const volume of this.volumes.values()) volume.close();
    for (const id of this.channelIds.values()) removeLocal(id);
  }

  // --- what was not sent, and leases ----------------------------------------------------------------------------------

  /** Put what waited in this browser onto the label, and send it. */
  takeUnsent(): void {
    const { unsent, history, journal } = this;
    if (!unsent || !history || !journal) return;
    for (const entry of unsent.entries) history.replay(entry);
    this.unsent = null;
    for (const entry of unsent.entries) journal.push(entry);
    this.measureVolumes();
    this.changed();
  }

  async dropUnsent(): Promise<void> {
    this.unsent = null;
    await this.journal?.discard();
    this.changed();
  }

  /** Lease the task once more and send what waits. */
  async leaseAgain(): Promise<void> {
    try {
      this.task = await calls.takeTask(this.taskId);
      const { sequence } = await calls.draft(this.taskId, 1_000_000_000);
      this.leaseRefused = false;
      this.trouble = null;
      this.journal!.resume(this.task.lease!.lease_id, sequence);
      this.keepLease();
    } catch (error) {
      if (error instanceof Problem) this.trouble = troubleOf(error);
    }
    this.changed();
  }

  get mayEdit(): boolean {
    return this.stage === "ready" && this.ownPhase && !this.readOnly && !this.submitted && this.unsent === null && this.trouble === null;
  }

  // --- edits ----------------------------------------------------------------------------------------------------------

  private record(edit: Edit): void {
    if (!edit.changes.length && !edit.absent?.length && !edit.measures) return;
    this.history!.record(edit);
    this.journal!.push({ op: "edit", ...edit });
    this.measureVolumes(edit);
    this.changed();
  }

  private newStroke(): Stroke {
    const locked = new Set(this.segments.filter((segment) => segment.locked).map((segment) => segment.value));
    return new Stroke(this.labels!, (value) => !locked.has(value) && !(this.onlyBackground && value !== 0 && value !== this.activeValue));
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
    const present = new Set(changes.filter((change) => change.to !== 0).map((change) => change.to));
    const absent = [...(more.absent ?? []), ...this.noLongerAbsent(present)];
    this.record({ label, changes, ...more, ...(absent.length ? { absent } : {}) });
  }

  private noLongerAbsent(values: Set<number>): AbsentChange[] {
    return [...values].filter((value) => this.history!.absent.has(value)).map((value) => ({ value, from: true, to: false }));
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

  private measureVolumes(edit?: Edit): void {
    if (!this.labels || !this.frames) return;
    const ml = voxelMl(this.frames.spacing_mm);
    if (edit) {
      const change = new Map<number, number>();
      for (const { from, to, runs } of edit.changes) {
        let count = 0;
        for (let n = 1; n < runs.length; n += 2) count += runs[n];
        change.set(from, (change.get(from) ?? 0) - count);
        change.set(to, (change.get(to) ?? 0) + count);
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

  private dab(erase: boolean) {
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
    const value = erase ? 0 : this.activeValue;
    const over = erase ? (old: number) => old === this.activeValue : undefined;
    return { value, accept, over };
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
      const absent = this.noLongerAbsent(new Set(changes.filter((change) => change.to).map((change) => change.to)));
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
    const [u, v] = ([[1, 2], [0, 2], [0, 1]] as const)[plane.view.axis];
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

  get active(): SegmentState | undefined {
    return this.segments.find((segment) => segment.value === this.activeValue);
  }

  /** Show only the edges of some segments, or their insides again. */
  toggleOutline(segments: readonly SegmentState[]): void {
    const filled = segments.some((segment) => segment.opacity > 0);
    for (const segment of segments) segment.opacity = filled ? 0 : OPACITY;
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
    this.deed("Clear segment", (stroke) => stroke.setRuns(runsOf(this.labels!.data, value), 0));
  }

  acceptAll(): void {
    if (!this.proposal) return;
    this.deed("Accept the proposal", (stroke) => replaceAll(stroke, this.proposal!.data), { fromModel: true });
    this.notice = "The model's proposal is taken over. Correct it, or submit it.";
    this.changed();
  }

  acceptSegment(value: number): void {
    if (!this.proposal) return;
    const name = this.segments.find((segment) => segment.value === value)?.name ?? value;
    this.deed(`Accept ${name}`, (stroke) => replaceSegment(stroke, this.proposal!.data, value, value), { fromModel: true });
  }

  /** Take a segment, or the whole label, from another answer. */
  takeFrom(other: Other, value: number | null): void {
    const what = value === null ? "the label" : (this.segments.find((segment) => segment.value === value)?.name ?? "a segment");
    this.deed(
      `Take ${what} of ${other.title}`,
      (stroke) => (value === null ? replaceAll(stroke, other.labels.data) : replaceSegment(stroke, other.labels.data, value, value)),
      other.model ? { fromModel: true } : {},
    );
  }

  /** Make the label be another version of it. */
  restore(data: Uint8Array, label: string, fromModel: boolean): void {
    this.deed(label, (stroke) => replaceAll(stroke, data), { fromModel });
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
      const wanted = new LabelVolume(labels.shape);
      wanted.apply([{ from: 0, to: 1, runs }]);
      this.busy = null;
      // What others have is left to them: the service knows of this segment only.
      this.deed(label, (stroke) => {
        const { data } = labels;
        for (let index = 0; index < data.length; index++) {
          if (wanted.data[index] === 1) {
            if (data[index] === 0) stroke.setIndex(index, activeValue);
          } else if (data[index] === activeValue) stroke.setIndex(index, 0);
        }
      });
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

  // --- moving about ---------------------------------------------------------------------------------------------------

  /** Whether something of a model's is on the screen. */
  get showsModel(): boolean {
    const other = this.others.some((each) => each.model && each.shown);
    return other || (this.proposal !== null && this.showProposal) || (this.heat !== null && this.showHeat);
  }

  readonly seen = () => this.time.seen();

  /** Put the crosshair on a voxel and bring every plane there. */
  goTo(index: readonly number[], except?: PlaneViewport): void {
    if (!this.labels || !this.views) return;
    this.crosshair = clampIndex(index, this.labels.shape);
    for (const plane of this.views.planes) {
      if (plane !== except) {
        plane.setSlice(this.crosshair[plane.view.axis]);
        plane.reveal(this.crosshair);
      }
      plane.apply();
    }
    this.changed();
  }

  scroll(plane: PlaneViewport, by: number): void {
    if (!plane.setSlice(plane.slice + by)) return;
    if (this.crosshair) this.crosshair[plane.view.axis] = plane.slice;
    plane.apply();
    this.changed();
  }

  nextDoubt(step: 1 | -1): void {
    if (!this.doubts.length) return;
    this.doubt = (this.doubt + step + this.doubts.length) % this.doubts.length;
    this.goTo(this.doubts[this.doubt].index);
  }

  setWindow(center: number, width: number): void {
    this.window = { center, width: Math.max(1e-3, width) };
    if (this.preview) this.preview.window = this.window;
    this.views?.setWindow(this.window);
    this.changed();
  }

  /** Show another phase of a 4-D series; the label stays that of its own phase. */
  async showPhase(phase: number): Promise<void> {
    const { frames, views } = this;
    if (!frames || !views || phase === this.phase || phase < 0 || phase >= frames.phase_count) return;
    let volume = this.volumes.get(phase);
    this.phase = phase;
    this.changed();
    try {
      if (!volume) {
        const other = await calls.frames(this.taskId, phase);
        volume = new StreamedVolume(`${this.taskId}/${phase}/0`, other, ({ loaded, total }) => {
          this.views?.arrived(loaded === total);
          this.changed();
        });
        this.volumes.set(phase, volume);
        await volume.open(Math.floor(other.slices.length / 2));
      }
      if (this.phase === phase) await views.show(volume.volumeId, this.window);
    } catch (error) {
      this.notice = (error as Error).message;
      this.playing = false;
    }
    this.changed();
  }

  /** Show another channel of the case; what is painted belongs to all of them. */
  async showChannel(channel: number): Promise<void> {
    const { frames, views } = this;
    if (!frames || !views || channel === this.channel || channel < 0 || channel >= frames.channels) return;
    this.channel = channel;
    this.changed();
    try {
      let id = this.volume!.volumeId;
      if (channel > 0) {
        if (!this.channelIds.has(channel)) {
          this.busy = "Loading the channel …";
          this.changed();
          const { data, headers } = await calls.channelImage(this.taskId, channel);
          const local = localVolume(`${this.taskId}/channel-${channel}`, frames, data, headers.get("X-Dtype") ?? "");
          this.channelIds.set(channel, local.volumeId);
          this.channelValues.set(channel, local.values);
        }
        id = this.channelIds.get(channel)!;
      }
      // Channels are of different quantities: each is shown in its own automatic window.
      const window = channel === 0 ? frames.window : automaticWindow(id);
      this.window = { ...window };
      if (this.channel === channel) await views.show(id, this.window);
    } catch (error) {
      this.notice = (error as Error).message;
    } finally {
      this.busy = null;
    }
    this.changed();
  }

  /** Value of the phase and channel on the screen at a voxel, once it is here. */
  valueAt(index: readonly number[]): number | undefined {
    const { labels } = this;
    const [i, j, k] = index.map(Math.round);
    if (!labels?.contains(i, j, k)) return undefined;
    if (this.channel > 0) return this.channelValues.get(this.channel)?.[labels.indexOf(i, j, k)];
    return this.volumes.get(this.phase)?.valueAt([i, j, k]);
  }

  get ownPhase(): boolean {
    return this.phase === this.frames?.phase;
  }

  async play(): Promise<void> {
    const { frames } = this;
    if (!frames || frames.phase_count < 2) return;
    this.playing = !this.playing;
    this.changed();
    while (this.playing) {
      const began = performance.now();
      await this.showPhase((this.phase + 1) % frames.phase_count);
      await new Promise((resolve) => setTimeout(resolve, Math.max(20, 100 - (performance.now() - began))));
    }
  }

  // --- what overlays show ---------------------------------------------------------------------------------------------

  scene(): Scene {
    return {
      preview: this.preview,
      labels: this.labelsShown && this.ownPhase ? this.labels : null,
      segments: this.segments,
      activeValue: this.activeValue,
      ghosts: [
        ...(this.proposal && this.showProposal && this.ownPhase ? [{ labels: this.proposal, dashed: true }] : []),
        ...this.others.filter((other) => other.shown).map(({ labels, color, model }) => ({ labels, color, dashed: model })),
      ],
      heat: this.showHeat && this.ownPhase ? this.heat : null,
      marks: this.comment?.pin ? [this.comment.pin] : this.doubt >= 0 && this.doubts.length ? [this.doubts[this.doubt].index] : [],
      crosshair: this.crosshair,
      showCrosshair: this.showCrosshair,
      measures: [...(this.history?.measures.values() ?? [])],
      spacingMm: this.frames?.spacing_mm ?? [1, 1, 1],
      pen: this.pen,
      readout: this.readout,
    };
  }

  // --- answers --------------------------------------------------------------------------------------------------------

  private keepTime(): void {
    if (!this.mayEdit || this.time.seconds - this.timeKept < TIME_EVERY_S) return;
    this.timeKept = this.time.seconds;
    this.journal!.push({ op: "time", active_s: Math.round(this.time.seconds * 10) / 10 });
  }

  /** Segments of which nothing is painted, and of which nobody has said that they are absent. */
  get unanswered(): SegmentState[] {
    return this.segments.filter((segment) => segment.volumeMl <= 1e-9 && !this.history?.absent.has(segment.value));
  }

  private async form(): Promise<FormData> {
    const { labels, frames, history, journal } = this;
    const form = new FormData();
    form.set("label", new File([await packed(labels!)], "label.raw.gz"));
    form.set("format", "raw");
    form.set("lease_id", journal!.leaseId);
    form.set("geometry", JSON.stringify({ shape: frames!.shape, affine_lps: frames!.affine_lps }));
    const counts = labels!.counts();
    const states = this.segments.map(({ value }) => ({
      value,
      state: counts.has(value) ? "annotated" : history!.absent.has(value) ? "absent" : "not-annotated",
    }));
    form.set("segments", JSON.stringify(states));
    form.set("started_from_model", String(history!.startedFromModel));
    form.set("active_time_s", this.time.seconds.toFixed(1));
    return form;
  }

  /** Take a label from a file: it becomes a version, checked by the service, and then an edit of the label in hand. */
  async takeFile(file: File): Promise<Problem | Error | null> {
    if (!this.mayEdit) return new Error("The case cannot be changed now.");
    const name = file.name.toLowerCase();
    const format = /\.nii(\.gz)?$/.test(name) ? "nifti" : /\.dcm$/.test(name) ? "dicom-seg" : null;
    if (!format) return new Error("Expected a file .nii, .nii.gz or .dcm (DICOM SEG), got another kind.");
    const form = new FormData();
    form.set("label", file);
    form.set("format", format);
    form.set("lease_id", this.journal!.leaseId);
    form.set("active_time_s", this.time.seconds.toFixed(1));
    try {
      const made = await calls.saveVersion(this.taskId, form);
      const { data } = await calls.labelRaw(made.label_version_id);
      this.restore(new Uint8Array(data), `Take ${file.name}`, false);
      return null;
    } catch (error) {
      return error as Error;
    }
  }

  /** Make a version of the label as it stands; the task goes on. Returns how long it took, in ms. */
  async save(): Promise<number | null> {
    return this.send("Saving", async () => {
      await calls.saveVersion(this.taskId, await this.form());
      this.notice = "Saved as a version.";
    });
  }

  /** Answer the task. */
  async submit(): Promise<boolean> {
    const took = await this.send("Submitting", async () => {
      await calls.submitLabel(this.taskId, await this.form());
      this.submitted = true;
      clearInterval(this.renewal);
    });
    return took !== null;
  }

  private async send(label: string, call: () => Promise<void>): Promise<number | null> {
    if (!this.mayEdit || this.busy) return null;
    this.busy = `${label} …`;
    this.changed();
    const began = performance.now();
    try {
      this.time.seen();
      // What the journal holds is on the service's side before the answer is.
      if (!(await this.journal!.flush())) return null;
      await call();
      this.timings[label] = performance.now() - began;
      return this.timings[label];
    } catch (error) {
      if (error instanceof Problem && error.status === 409) this.refuse(error);
      else this.notice = (error as Error).message;
      return null;
    } finally {
      this.busy = null;
      this.changed();
    }
  }

  async skip(reason: string, note: string): Promise<boolean> {
    const took = await this.send("Skipping", async () => {
      await calls.skipTask(this.taskId, this.journal!.leaseId, reason, note);
      this.submitted = true;
      clearInterval(this.renewal);
    });
    return took !== null;
  }

  async report(reason: string, note: string): Promise<boolean> {
    try {
      await calls.report(this.task!.case_id, reason, note);
      this.notice = "Reported. The note stays at this site.";
      return true;
    } catch (error) {
      this.notice = (error as Error).message;
      return false;
    } finally {
      this.changed();
    }
  }

  async giveBack(): Promise<boolean> {
    if (!this.journal || this.readOnly) return true;
    await this.journal.flush();
    try {
      await calls.releaseLease(this.taskId, this.journal.leaseId);
      this.submitted = true;
      return true;
    } catch (error) {
      this.notice = (error as Error).message;
      this.changed();
      return false;
    }
  }
}
