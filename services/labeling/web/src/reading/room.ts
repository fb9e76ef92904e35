/** One case open before one reader, from its lease to its answer. What it is made of: `state`, `looking`, `painting`. */

import * as calls from "../api/calls";
import { Problem } from "../api/http";
import type { Task } from "../api/types";
import { removeLocal, StreamedVolume } from "./frames";
import { clampIndex } from "./geometry";
import { EditHistory, type Entry } from "./history";
import { DraftJournal, inBrowser, isGone } from "./journal";
import { LabelVolume } from "./labels";
import { maskKind } from "./masks";
import { packed } from "./packing";
import { Painting } from "./painting";
import { OPACITY, type Trouble } from "./state";

export type { SegmentState, ToolName, Trouble } from "./state";

const OTHER_COLORS = ["#4cc9f0", "#f72585", "#b8f35a", "#ffd166"];
const MODEL_COLOR = "#ffffff";
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

export class ReadingRoom extends Painting {
  private timeKept = 0;
  private renewal: ReturnType<typeof setInterval> | undefined;
  private leaseRefused = false;

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
      this.projectVersion = project.project_version;
      this.segments = [...project.segments]
        .sort((a, b) => a.value - b.value)
        .map((segment) => ({ ...segment, visible: true, locked: false, opacity: OPACITY, volumeMl: 0 }));
      this.activeValue = this.segments[0]?.value ?? 1;
      this.threshold = [frames.window.center, frames.window.center + frames.window.width / 2];
      this.radiusMm = Math.max(2 * frames.spacing_mm[0], 0.02 * Math.max(...frames.shape.map((n, axis) => n * frames.spacing_mm[axis])));
      const kind = maskKind(project.overlapping_segments);
      const voxels = frames.shape[0] * frames.shape[1] * frames.shape[2];
      if (voxels > LARGE_VOXELS) {
        const gigabytes = ((voxels * (4 + kind.bytesPerVoxel)) / 2 ** 30).toFixed(1);
        this.notice = `A large volume (${frames.shape.join(" × ")}): about ${gigabytes} GiB of memory are needed, and it takes a while.`;
      }
      this.labels = LabelVolume.empty(frames.shape, kind);
      this.history = new EditHistory(this.labels);
      this.crosshair = clampIndex(frames.shape.map((n) => (n - 1) / 2), frames.shape);
      this.volume = new StreamedVolume(`${this.taskId}/${frames.phase}/0`, frames, (progress) => this.progress(progress));
      this.volumes.set(frames.phase, this.volume);
      await Promise.all([this.bringDraft(written), this.volume.open(Math.floor(frames.slices.length / 2))]);
      // An empty mask is not looked through: its memory is only taken once something is painted there.
      if (this.history.count) this.measureVolumes();
      this.stage = "ready";
      this.changed();
      if (!this.readOnly) this.keepLease();
      void this.loadModel();
      void this.loadOthers();
      void this.loadComment();
    } catch (error) {
      if (isGone(error)) void inBrowser.delete(this.key).catch(() => {});
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
    const read = async (bytes: Promise<{ data: ArrayBuffer }>) => LabelVolume.read(labels.shape, labels.kind, (await bytes).data);
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
      if (found) this.proposal = LabelVolume.read(labels.shape, labels.kind, found.data);
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

  // --- answers --------------------------------------------------------------------------------------------------------

  private keepTime(): void {
    if (!this.mayEdit || this.time.seconds - this.timeKept < TIME_EVERY_S) return;
    this.timeKept = this.time.seconds;
    this.journal!.push({ op: "time", active_s: Math.round(this.time.seconds * 10) / 10 });
  }

  private async form(): Promise<FormData> {
    const { labels, frames, history, journal } = this;
    const form = new FormData();
    form.set("label", new File([await packed(labels!)], "label.raw.gz"));
    form.set("format", "raw");
    form.set("lease_id", journal!.leaseId);
    form.set("geometry", JSON.stringify({ shape: frames!.shape, affine_lps: frames!.affine_lps, dtype: labels!.kind.dtype }));
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
      this.restore(data, `Take ${file.name}`, false);
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
