/** Labels under review: several readers' answers and the model's of one case, to be looked at together. */

import * as calls from "../api/calls";
import type { Frames, Segment } from "../api/types";
import { StreamedVolume } from "./frames";
import { clampIndex } from "./geometry";
import { type Index3, LabelVolume } from "./labels";
import { maskKind } from "./masks";
import type { Preview, Scene } from "./overlay";
import type { PlaneHost } from "./PlaneView";
import type { PlaneViewport, Views } from "./views";

export interface Shown {
  title: string;
  color: string;
  labels: LabelVolume;
  model: boolean;
}

export const MODEL_COLOR = "#ffffff";

/** 255 where not all masks say the same. */
export function disagreement(masks: readonly LabelVolume[]): LabelVolume | null {
  if (masks.length < 2) return null;
  const found = new LabelVolume(masks[0].shape);
  const [first, ...others] = masks;
  for (const other of others) {
    for (let n = 0; n < found.data.length; n++) if (first.data[n] !== other.data[n]) found.data[n] = 255;
  }
  return found;
}

export class ReviewRoom implements PlaneHost {
  readonly tool = "point";
  readonly radiusMm = 0;
  window = { center: 0, width: 1 };
  frames: Frames | null = null;
  segments: Segment[] = [];
  shown: Shown[] = [];
  difference: LabelVolume | null = null;
  showDifference = true;
  volume: StreamedVolume | null = null;
  views: Views | null = null;
  activePlane: PlaneViewport | null = null;
  pen: Scene["pen"] = null;
  crosshair: Index3 | null = null;
  /** Slices, where the graphics card has no room for the volume. */
  private preview: Preview | null = null;
  sideBySide = false;
  stage: "opening" | "ready" | "failed" = "opening";
  failure: Error | null = null;
  version = 0;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly caseId: string,
    private readonly projectId: string,
    private readonly wanted: readonly { labelVersionId: string; title: string; color: string }[],
    private readonly withModel: boolean,
    private readonly onCrosshair: (index: Index3) => void,
  ) {}

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };
  readonly snapshot = () => this.version;
  readonly changed = () => {
    this.version++;
    for (const listener of this.listeners) listener();
  };
  readonly seen = () => {};

  async open(): Promise<void> {
    try {
      const [frames, project] = await Promise.all([calls.caseFrames(this.caseId), calls.segments(this.projectId)]);
      this.frames = frames;
      this.segments = project.segments;
      this.window = { ...frames.window };
      this.crosshair = clampIndex(frames.shape.map((n) => (n - 1) / 2), frames.shape);
      const kind = maskKind(project.overlapping_segments);
      const read = async (bytes: Promise<{ data: ArrayBuffer }>) => LabelVolume.read(frames.shape, kind, (await bytes).data);
      const model = this.withModel ? read(calls.casePrediction(this.caseId)).catch(() => null) : Promise.resolve(null);
      const labels = await Promise.all(
        this.wanted.map(async ({ labelVersionId, title, color }) => ({
          title, color, model: false, labels: await read(calls.labelRaw(labelVersionId)),
        })),
      );
      const predicted = await model;
      this.difference = disagreement(labels.map((each) => each.labels));
      this.shown = predicted ? [...labels, { title: "Model", color: MODEL_COLOR, model: true, labels: predicted }] : labels;
      this.volume = new StreamedVolume(`review/${this.caseId}`, frames, ({ loaded, total }) => {
        this.views?.arrived(loaded === total);
        this.changed();
      });
      await this.volume.open(Math.floor(frames.slices.length / 2));
      this.stage = "ready";
      this.onCrosshair(this.crosshair);
    } catch (error) {
      this.failure = error as Error;
      this.stage = "failed";
    }
    this.changed();
  }

  close(): void {
    this.volume?.close();
  }

  /** Draw in other elements from now on. */
  async show(views: Views): Promise<void> {
    if (this.views) await this.volume!.renew();
    this.views = views;
    this.activePlane = views.planes[0];
    for (const plane of views.planes) if (this.crosshair) plane.setSlice(this.crosshair[plane.view.axis]);
    this.changed();
    const volume = this.volume!;
    const drawn = await views.show(volume.volumeId, this.window);
    this.preview = drawn ? null : { slices: volume, window: this.window };
    this.changed();
  }

  get showsModel(): boolean {
    return this.shown.some((each) => each.model);
  }

  goTo(index: readonly number[], except?: PlaneViewport): void {
    if (!this.frames || !this.views) return;
    this.crosshair = clampIndex(index, this.frames.shape);
    for (const plane of this.views.planes) {
      if (plane !== except) {
        plane.setSlice(this.crosshair[plane.view.axis]);
        plane.reveal(this.crosshair);
      }
      plane.apply();
    }
    this.onCrosshair(this.crosshair);
    this.changed();
  }

  scroll(plane: PlaneViewport, by: number): void {
    if (!this.views || !plane.setSlice(plane.slice + by)) return;
    if (this.crosshair) this.crosshair[plane.view.axis] = plane.slice;
    if (plane.view.axis === 2) this.volume?.hurry(plane.slice);
    for (const each of this.views.planes) {
      if (each.view.axis !== plane.view.axis) continue;
      each.setSlice(plane.slice);
      each.apply();
    }
    if (this.crosshair) this.onCrosshair(this.crosshair);
    this.changed();
  }

  moved(plane: PlaneViewport): void {
    for (const each of this.views?.planes ?? []) {
      if (each === plane || each.name !== plane.name) continue;
      each.follow(plane);
      each.apply();
    }
  }

  setRadius(): void {}

  setWindow(center: number, width: number): void {
    this.window = { center, width: Math.max(1e-3, width) };
    if (this.preview) this.preview.window = this.window;
    this.views?.setWindow(this.window);
    this.changed();
  }

  penDown(plane: PlaneViewport, x: number, y: number): void {
    this.goTo(plane.voxelAt(x, y), plane);
  }

  penMove(): void {}
  penUp(): void {}

  scene(plane: PlaneViewport): Scene {
    const alone = this.sideBySide ? this.shown[Number(plane.id)] : undefined;
    return {
      preview: this.preview,
      labels: alone?.labels ?? null,
      segments: this.segments.map(({ value, color }) => ({ value, color, visible: true, opacity: 0.35 })),
      activeValue: 0,
      ghosts: this.sideBySide ? [] : this.shown.map(({ labels, color, model }) => ({ labels, color, dashed: model })),
      heat: this.showDifference ? this.difference : null,
      marks: [],
      crosshair: this.crosshair,
      showCrosshair: true,
      measures: [],
      spacingMm: this.frames?.spacing_mm ?? [1, 1, 1],
      pen: null,
    };
  }
}
