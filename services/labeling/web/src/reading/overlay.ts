/** What is drawn over a plane: labels, the model's proposal and doubts, other readers, crosshair, pen. On a plain canvas: fast without a GPU. */

import { outlinesOf } from "./brushes";
import { colorPlane, packedColor, type SegmentStyle } from "./coloring";
import { type Axis, type Index3, IN_PLANE, LabelVolume, planeOf } from "./labels";
import type { Voxels } from "./masks";
import type { PlaneViewport } from "./views";

/** A mask shown as lines: the model's, or another reader's. */
export interface Ghost {
  labels: LabelVolume;
  color?: string;
  dashed: boolean;
}

export interface Measure {
  id: string;
  axis: Axis;
  slice: number;
  a: [number, number];
  b: [number, number];
}

/** A volume slice by slice. */
export interface Slices {
  /** Values of a slice of k, i fastest; nothing where it is not here yet. */
  slice(k: number): ArrayLike<number> | undefined;
  /** How many are here. */
  readonly loaded: number;
}

/** A volume whose slices are still coming, or that has no room in a texture: drawn here until Cornerstone3D has all of it. */
export interface Preview {
  slices: Slices;
  window: { center: number; width: number };
}

/** All that the overlay of a plane shows. */
export interface Scene {
  preview?: Preview | null;
  readout?: { plane: PlaneViewport; text: string } | null;
  labels: LabelVolume | null;
  segments: SegmentStyle[];
  activeValue: number;
  ghosts: Ghost[];
  heat: LabelVolume | null;
  /** Places of doubt, the chosen one first. */
  marks: Index3[];
  crosshair: Index3 | null;
  showCrosshair: boolean;
  measures: Measure[];
  spacingMm: Index3;
  pen: { plane: PlaneViewport; x: number; y: number; radiusMm: number; lasso: [number, number][] | null; measure: Measure | null } | null;
}

const HEAT: [number, number, number][] = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** Colours of values 0..255 for the uncertainty: nothing below a tenth, then from violet to yellow. */
export function heatColors(): Uint32Array {
  const colors = new Uint32Array(256);
  for (let n = 26; n < 256; n++) {
    const at = ((n - 26) / 229) * (HEAT.length - 1);
    const low = Math.min(HEAT.length - 2, Math.floor(at));
    const t = at - low;
    const mixed = HEAT[low].map((c, axis) => Math.round(c + (HEAT[low + 1][axis] - c) * t)) as [number, number, number];
    colors[n] = packedColor(mixed, 0.25 + 0.45 * (n / 255));
  }
  return colors;
}

const HEAT_COLORS = heatColors();

/** Draws one plane's overlay; keeps its canvases between draws. */
export class OverlayPainter {
  private image: ImageData | null = null;
  private readonly canvas = document.createElement("canvas");
  private plane: Voxels | undefined;
  private drawn: { labels: LabelVolume | null; revision: number; slice: number; style: string } | null = null;

  private readonly previewCanvas = document.createElement("canvas");
  private previewed = "";
  private previewedOf: Slices | null = null;

  private readonly outlines = new WeakMap<LabelVolume, { slice: number; revision: number; edges: Map<number, number[]> }>();

  constructor(private readonly view: PlaneViewport) {}

  draw(scene: Scene): void {
    const { overlay } = this.view;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(this.view.width * ratio), Math.round(this.view.height * ratio)];
    if (overlay.width !== width || overlay.height !== height) {
      overlay.width = width;
      overlay.height = height;
    }
    const context = overlay.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const onPlane = () => {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.transform(...this.view.planeTransform);
      context.imageSmoothingEnabled = false;
    };
    onPlane();
    if (scene.preview) this.drawPreview(context, scene.preview);
    if (scene.heat) this.drawHeat(context, scene.heat);
    if (scene.labels) this.drawLabels(context, scene);
    for (const ghost of scene.ghosts) this.drawGhost(context, ghost, scene.segments);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawMarks(context, scene);
    if (scene.crosshair && scene.showCrosshair) this.drawCrosshair(context, scene.crosshair);
    for (const measure of scene.measures) this.drawMeasure(context, measure, scene.spacingMm);
    if (scene.pen?.plane === this.view) this.drawPen(context, scene);
    if (scene.readout?.plane === this.view) this.write(context, scene.readout.text, 8, this.view.height - 28, "#e7edf3");
  }

  private get size(): [number, number] {
    const [u, v] = IN_PLANE[this.view.view.axis];
    return [u, v].map((axis) => this.view.shape[axis]) as [number, number];
  }

  private pixels(): { image: ImageData; words: Uint32Array } {
    const [width, height] = this.size;
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = new ImageData(width, height);
      this.canvas.width = width;
      this.canvas.height = height;
    }
    return { image: this.image, words: new Uint32Array(this.image.data.buffer) };
  }

  private put(context: CanvasRenderingContext2D): void {
    context.drawImage(this.canvas, -0.5, -0.5);
  }

  private drawLabels(context: CanvasRenderingContext2D, scene: Scene): void {
    const labels = scene.labels!;
    const style = JSON.stringify([scene.segments, scene.activeValue]);
    const same =
      !scene.heat && this.drawn && this.drawn.labels === labels && this.drawn.revision === labels.revision &&
      this.drawn.slice === this.view.slice && this.drawn.style === style;
    if (!same) {
      this.plane = planeOf(labels, this.view.view.axis, this.view.slice, this.view.view.axis === 2 ? undefined : this.plane);
      const { image, words } = this.pixels();
      colorPlane(this.plane, this.size[0], scene.segments, scene.activeValue, words);
      this.canvas.getContext("2d")!.putImageData(image, 0, 0);
      this.drawn = { labels, revision: labels.revision, slice: this.view.slice, style };
    }
    this.put(context);
  }

  private drawPreview(context: CanvasRenderingContext2D, { slices, window }: Preview): void {
    // Kept while a hand moves over it: a plane across all slices takes many times as long as labels do.
    const here = this.view.view.axis === 2 ? slices.slice(this.view.slice) !== undefined : slices.loaded;
    const what = [this.view.slice, window.center, window.width, here].join();
    if (this.previewedOf !== slices || this.previewed !== what) {
      [this.previewedOf, this.previewed] = [slices, what];
      this.paintPreview(slices, window);
    }
    context.imageSmoothingEnabled = true;
    context.drawImage(this.previewCanvas, -0.5, -0.5);
    context.imageSmoothingEnabled = false;
  }

  private paintPreview(slices: Slices, window: Preview["window"]): void {
    const [width, height] = this.size;
    const image = new ImageData(width, height);
    const words = new Uint32Array(image.data.buffer);
    const { axis } = this.view.view;
    const [I, J, K] = this.view.shape;
    const low = window.center - window.width / 2;
    const scale = 255 / window.width;
    const grey = (value: number) => {
      const level = Math.min(255, Math.max(0, (value - low) * scale)) | 0;
      return (0xff000000 | (level << 16) | (level << 8) | level) >>> 0;
    };
    words.fill(0xff000000);
    if (axis === 2) {
      const values = slices.slice(this.view.slice);
      if (values) for (let n = 0; n < words.length; n++) words[n] = grey(values[n]);
    } else {
      // One line of the plane in each slice that is here.
      const [count, first, step] = axis === 1 ? [I, this.view.slice * I, 1] : [J, this.view.slice, I];
      for (let k = 0; k < K; k++) {
        const values = slices.slice(k);
        if (values) for (let n = 0, at = first; n < count; n++, at += step) words[k * count + n] = grey(values[at]);
      }
    }
    [this.previewCanvas.width, this.previewCanvas.height] = [width, height];
    this.previewCanvas.getContext("2d")!.putImageData(image, 0, 0);
  }

  private drawHeat(context: CanvasRenderingContext2D, heat: LabelVolume): void {
    const { image, words } = this.pixels();
    const plane = planeOf(heat, this.view.view.axis, this.view.slice);
    for (let n = 0; n < plane.length; n++) words[n] = HEAT_COLORS[plane[n]];
    this.canvas.getContext("2d")!.putImageData(image, 0, 0);
    this.put(context);
    this.drawn = null;
  }

  private drawGhost(context: CanvasRenderingContext2D, ghost: Ghost, segments: readonly SegmentStyle[]): void {
    const kept = this.outlines.get(ghost.labels);
    const fresh = kept?.slice === this.view.slice && kept.revision === ghost.labels.revision;
    const outlines = fresh ? kept.edges : outlinesOf(planeOf(ghost.labels, this.view.view.axis, this.view.slice), this.size[0]);
    if (!fresh) this.outlines.set(ghost.labels, { slice: this.view.slice, revision: ghost.labels.revision, edges: outlines });
    const pixel = 1 / Math.max(1e-6, Math.abs(this.view.planeTransform[0]) + Math.abs(this.view.planeTransform[1]));
    for (const segment of segments) {
      if (!segment.visible) continue;
      const edges = outlines.get(segment.value);
      if (!edges) continue;
      context.beginPath();
      for (let n = 0; n < edges.length; n += 4) {
        context.moveTo(edges[n], edges[n + 1]);
        context.lineTo(edges[n + 2], edges[n + 3]);
      }
      // A dark line under it: seen on bright anatomy, too.
      context.setLineDash([]);
      context.strokeStyle = "rgba(0,0,0,.65)";
      context.lineWidth = 3 * pixel;
      context.stroke();
      context.strokeStyle = ghost.color ?? segment.color;
      context.lineWidth = 1.5 * pixel;
      if (ghost.dashed) context.setLineDash([0.5, 0.5]);
      context.stroke();
      context.setLineDash([]);
    }
  }

  private drawMarks(context: CanvasRenderingContext2D, scene: Scene): void {
    scene.marks.forEach((mark, n) => {
      if (Math.abs(mark[this.view.view.axis] - this.view.slice) > 1) return;
      const [x, y] = this.view.pixelOf(mark);
      context.beginPath();
      context.arc(x, y, n === 0 ? 11 : 8, 0, 2 * Math.PI);
      context.strokeStyle = "#000a";
      context.lineWidth = 4;
      context.stroke();
      context.strokeStyle = n === 0 ? "#ffd166" : "#ffd16699";
      context.lineWidth = 2;
      context.stroke();
    });
  }

  private drawCrosshair(context: CanvasRenderingContext2D, crosshair: Index3): void {
    const [x, y] = this.view.pixelOf(crosshair);
    const { width, height } = this.view;
    const gap = 14;
    context.strokeStyle = "rgba(120, 220, 255, .75)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [x1, y1, x2, y2] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
    }
    context.stroke();
  }

  private drawMeasure(context: CanvasRenderingContext2D, measure: Measure, spacingMm: Index3): void {
    if (measure.axis !== this.view.view.axis || measure.slice !== this.view.slice) return;
    const [u, v] = IN_PLANE[measure.axis];
    const place = ([pu, pv]: [number, number]) => {
      const at: Index3 = [0, 0, 0];
      at[measure.axis] = measure.slice;
      at[u] = pu;
      at[v] = pv;
      return this.view.pixelOf(at);
    };
    const [a, b] = [place(measure.a), place(measure.b)];
    context.beginPath();
    context.moveTo(...a);
    context.lineTo(...b);
    context.strokeStyle = "#000b";
    context.lineWidth = 4;
    context.stroke();
    context.strokeStyle = "#ffe08a";
    context.lineWidth = 1.5;
    context.stroke();
    this.write(context, `${lengthMm(measure, spacingMm).toFixed(1)} mm`, b[0] + 8, b[1] - 6, "#ffe08a");
  }

  private write(context: CanvasRenderingContext2D, text: string, x: number, y: number, color: string): void {
    context.font = "600 13px system-ui, sans-serif";
    context.lineWidth = 4;
    context.strokeStyle = "#000c";
    context.strokeText(text, x, y);
    context.fillStyle = color;
    context.fillText(text, x, y);
  }

  private drawPen(context: CanvasRenderingContext2D, scene: Scene): void {
    const pen = scene.pen!;
    if (pen.measure) this.drawMeasure(context, pen.measure, scene.spacingMm);
    if (pen.lasso) {
      context.beginPath();
      pen.lasso.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.fillStyle = "rgba(255,255,255,.12)";
      context.fill();
      context.strokeStyle = "#fff";
      context.lineWidth = 1.5;
      context.setLineDash([4, 3]);
      context.stroke();
      context.setLineDash([]);
    } else if (pen.radiusMm > 0) {
      context.beginPath();
      context.arc(pen.x, pen.y, pen.radiusMm / this.view.mmPerPixel, 0, 2 * Math.PI);
      context.strokeStyle = "#000a";
      context.lineWidth = 3;
      context.stroke();
      context.strokeStyle = "#fff";
      context.lineWidth = 1.25;
      context.stroke();
    }
  }
}

/** Length of a measure in mm. */
export function lengthMm(measure: Measure, spacingMm: Index3): number {
  const [u, v] = IN_PLANE[measure.axis];
  return Math.hypot((measure.b[0] - measure.a[0]) * spacingMm[u], (measure.b[1] - measure.a[1]) * spacingMm[v]);
}
