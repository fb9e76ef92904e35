/** Three planes of a volume on Cornerstone3D, each with a canvas over it. The camera of each plane is kept here, on the voxel grid. */

import * as cornerstone from "@cornerstonejs/core";
import { column, dot, length, type PlaneName, type PlaneView, planeViews, scaled, toVoxel, toWorld, type Vec3 } from "./geometry";
import { type Index3, IN_PLANE } from "./labels";

const DISTANCE_MM = 1000;
const MARGIN = 1.06;
const DRAWN_EVERY_MS = 1000;

/** Whether the browser can draw volumes at all. */
export function hasWebGl2(): boolean {
  try {
    return document.createElement("canvas").getContext("webgl2") !== null;
  } catch {
    return false;
  }
}

/** One plane: which slice, how far in, moved whereto. Pixels are CSS pixels of the element, from its top left corner. */
export class PlaneViewport {
  slice: number;
  /** Centre of the picture beside the slice's own: mm to the right and down. */
  offset: [number, number] = [0, 0];
  /** Half the height of the picture in mm. */
  halfHeightMm = 100;

  /** Whether the whole plane is shown: it stays so when the picture gets another size. */
  private whole = true;

  constructor(
    readonly id: string,
    readonly view: PlaneView,
    readonly element: HTMLDivElement,
    readonly overlay: HTMLCanvasElement,
    private readonly affine: readonly number[],
    readonly shape: Index3,
    private readonly viewport: () => cornerstone.Types.IVolumeViewport | undefined,
    private readonly redraw: (plane: PlaneViewport) => void,
  ) {
    this.slice = Math.floor(shape[view.axis] / 2);
  }

  get name() {
    return this.view.name;
  }

  get width(): number {
    return this.element.clientWidth || 1;
  }

  get height(): number {
    return this.element.clientHeight || 1;
  }

  get mmPerPixel(): number {
    return (2 * this.halfHeightMm) / this.height;
  }

  get sliceCount(): number {
    return this.shape[this.view.axis];
  }

  /** Middle of the volume in the plane of the slice, LPS in mm. */
  private get middle(): Vec3 {
    const index = this.shape.map((n) => (n - 1) / 2);
    index[this.view.axis] = this.slice;
    return toWorld(this.affine, index);
  }

  private get center(): Vec3 {
    const { right, down } = this.view;
    const middle = this.middle;
    return [0, 1, 2].map((n) => middle[n] + right[n] * this.offset[0] + down[n] * this.offset[1]) as Vec3;
  }

  /** Where a pixel is in the volume, not rounded; exactly on the slice. */
  voxelAt(x: number, y: number): Vec3 {
    const mm = this.mmPerPixel;
    const { right, down, axis } = this.view;
    const [dx, dy] = [(x - this.width / 2) * mm, (y - this.height / 2) * mm];
    const center = this.center;
    const world = [0, 1, 2].map((n) => center[n] + right[n] * dx + down[n] * dy) as Vec3;
    const voxel = toVoxel(this.affine, world);
    voxel[axis] = this.slice;
    return voxel;
  }

  /** Where a voxel is drawn, whatever slice it is in. */
  pixelOf(voxel: readonly number[]): [number, number] {
    const world = toWorld(this.affine, voxel);
    const center = this.center;
    const from = [world[0] - center[0], world[1] - center[1], world[2] - center[2]];
    const mm = this.mmPerPixel;
    return [this.width / 2 + dot(from, this.view.right) / mm, this.height / 2 + dot(from, this.view.down) / mm];
  }

  /** The affine map (a, b, c, d, e, f) from (u, v) of the plane to CSS pixels, as canvases take it. */
  get planeTransform(): [number, number, number, number, number, number] {
    const [u, v] = IN_PLANE[this.view.axis];
    const at = (du: number, dv: number) => {
      const voxel: Index3 = [0, 0, 0];
      voxel[this.view.axis] = this.slice;
      voxel[u] = du;
      voxel[v] = dv;
      return this.pixelOf(voxel);
    };
    const [origin, one, two] = [at(0, 0), at(1, 0), at(0, 1)];
    return [one[0] - origin[0], one[1] - origin[1], two[0] - origin[0], two[1] - origin[1], origin[0], origin[1]];
  }

  /** Show the whole plane. */
  fit(): void {
    const { right, down } = this.view;
    const along = (direction: Vec3) =>
      [0, 1, 2].reduce((sum, axis) => {
        const step = column(this.affine, axis);
        return sum + (Math.abs(dot(step, direction)) * this.shape[axis]);
      }, 0);
    this.whole = true;
    this.offset = [0, 0];
    this.halfHeightMm = (Math.max(along(down), (along(right) * this.height) / this.width) / 2) * MARGIN;
  }

  /** Come nearer (factor over 1) or go away, the point under a pixel staying where it is. */
  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    this.whole = false;
    const before = this.mmPerPixel;
    const smallest = Math.min(...[0, 1, 2].map((axis) => length(column(this.affine, axis))));
    this.halfHeightMm = Math.min(2000, Math.max(smallest * 4, this.halfHeightMm / factor));
    const moved = before - this.mmPerPixel;
    this.offset[0] += (x - this.width / 2) * moved;
    this.offset[1] += (y - this.height / 2) * moved;
  }

  /** Move the picture with the pointer. */
  pan(dx: number, dy: number): void {
    this.whole = false;
    this.offset[0] -= dx * this.mmPerPixel;
    this.offset[1] -= dy * this.mmPerPixel;
  }

  /** Look at the same place in the same size as another plane of this name. */
  follow(other: PlaneViewport): void {
    this.whole = false;
    this.slice = other.slice;
    this.offset = [...other.offset];
    this.halfHeightMm = other.halfHeightMm;
  }

  setSlice(slice: number): boolean {
    const wanted = Math.min(this.sliceCount - 1, Math.max(0, Math.round(slice)));
    if (wanted === this.slice) return false;
    this.slice = wanted;
    return true;
  }

  /** Bring a voxel into the picture when it lies outside of it. */
  reveal(voxel: readonly number[]): void {
    const [x, y] = this.pixelOf(voxel);
    if (x > 0 && y > 0 && x < this.width && y < this.height) return;
    this.pan(this.width / 2 - x, this.height / 2 - y);
  }

  /** The picture has another size. */
  resized(): void {
    if (this.whole) this.fit();
    this.apply();
  }

  /** Give Cornerstone3D the camera and draw. */
  apply(): void {
    const viewport = this.viewport();
    if (!viewport) return this.redraw(this);
    const { into, down } = this.view;
    const center = this.center;
    viewport.setCamera({
      parallelProjection: true,
      parallelScale: this.halfHeightMm,
      focalPoint: center,
      position: [0, 1, 2].map((n) => center[n] - into[n] * DISTANCE_MM) as Vec3,
      viewPlaneNormal: scaled(into, -1),
      viewUp: scaled(down, -1),
    } as never);
    viewport.render();
  }
}

/** Start Cornerstone3D; a second call does nothing. One context for all planes: the volume is uploaded once. */
export function start(): void {
  cornerstone.init({ rendering: { webGlContextCount: 1 } } as never);
}

/** The plane that gets the most room: the axial one, or the one that was scanned where slices are thick. */
export function largest(planes: readonly PlaneViewport[], spacingMm: Index3): PlaneViewport {
  const thick = spacingMm[2] > 2 * Math.max(spacingMm[0], spacingMm[1]);
  return planes.find((plane) => (thick ? plane.view.axis === 2 : plane.name === "axial")) ?? planes[0];
}

/** A texture of so many floats (0.5 GiB) is taken to fit. */
const SURE_VOXELS = 2 ** 27;

/** Whether the graphics card takes a volume of this shape. Nothing but an empty texture tells: a refusal later shows as black planes. */
function fitsTexture(shape: Index3): boolean {
  if (shape[0] * shape[1] * shape[2] <= SURE_VOXELS) return true;
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return false;
  gl.bindTexture(gl.TEXTURE_3D, gl.createTexture());
  gl.texStorage3D(gl.TEXTURE_3D, 1, gl.R32F, ...shape);
  const fits = gl.getError() === gl.NO_ERROR;
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return fits;
}

let counter = 0;

/** The rendering engine and its three planes. */
export class Views {
  readonly planes: PlaneViewport[];
  private engine: cornerstone.RenderingEngine | undefined;
  private readonly id = `radloop-${counter++}`;
  private waiting: ReturnType<typeof setTimeout> | undefined;
  private ended = false;
  private fits: boolean | undefined;
  /** Whether a volume is drawn by Cornerstone3D. */
  drawn = false;

  /** One plane for each element, of the name it asks for; the same name may come more than once. */
  constructor(
    affine: readonly number[],
    private readonly shape: Index3,
    elements: readonly { name: PlaneName; element: HTMLDivElement; overlay: HTMLCanvasElement }[],
    private readonly onRendered: (plane: PlaneViewport) => void,
  ) {
    const views = planeViews(affine);
    this.planes = elements.map(({ name, element, overlay }, n) => {
      const view = views.find((each) => each.name === name)!;
      return new PlaneViewport(`${n}`, view, element, overlay, affine, shape, () => this.viewport(`${n}`), onRendered);
    });
    for (const plane of this.planes) plane.fit();
  }

  /** Made when there is something to draw: it takes the better part of a second where there is no graphics card. */
  private begun(): cornerstone.RenderingEngine {
    if (this.engine) return this.engine;
    start();
    cornerstone.cache.setMaxCacheSize(3 * 2 ** 30);
    this.engine = new cornerstone.RenderingEngine(this.id);
    this.engine.setViewports(
      this.planes.map((plane) => ({
        viewportId: this.viewportId(plane.id),
        type: cornerstone.Enums.ViewportType.ORTHOGRAPHIC,
        element: plane.element,
        defaultOptions: {
          orientation: {
            viewPlaneNormal: scaled(plane.view.into, -1),
            viewUp: scaled(plane.view.down, -1),
          } as never,
          background: [0, 0, 0],
        },
      })),
    );
    for (const plane of this.planes) {
      plane.element.addEventListener(cornerstone.Enums.Events.IMAGE_RENDERED, () => this.onRendered(plane));
    }
    return this.engine;
  }

  /** Show a volume in all planes; false where the graphics card has no room for it, and its slices are to be drawn one by one. */
  async show(volumeId: string, window: { center: number; width: number }): Promise<boolean> {
    this.fits ??= fitsTexture(this.shape);
    if (!this.fits) return false;
    if (this.ended) return true;
    await cornerstone.setVolumesForViewports(
      this.begun(),
      [{ volumeId }],
      this.planes.map((plane) => this.viewportId(plane.id)),
    );
    if (this.ended) return true;
    this.setWindow(window);
    for (const plane of this.planes) plane.apply();
    this.drawn = true;
    return true;
  }

  setWindow({ center, width }: { center: number; width: number }): void {
    for (const plane of this.planes) {
      const viewport = this.viewport(plane.id);
      viewport?.setProperties({ voiRange: { lower: center - width / 2, upper: center + width / 2 } });
      viewport?.render();
    }
  }

  /** The elements have another size. */
  resize(): void {
    this.engine?.resize(true, true);
    for (const plane of this.planes) plane.resized();
  }

  render(): void {
    this.engine?.render();
  }

  /** Slices have come in: draw the planes they lie in from time to time, and all planes when all are here. */
  arrived(all: boolean): void {
    if (all) {
      clearTimeout(this.waiting);
      this.waiting = undefined;
      this.render();
      return;
    }
    this.waiting ??= setTimeout(() => {
      this.waiting = undefined;
      for (const plane of this.planes) if (plane.view.axis === 2) this.viewport(plane.id)?.render();
    }, DRAWN_EVERY_MS);
  }

  destroy(): void {
    this.ended = true;
    clearTimeout(this.waiting);
    this.engine?.destroy();
    this.engine = undefined;
  }

  private viewportId(id: string): string {
    return `${this.id}-${id}`;
  }

  private viewport(id: string): cornerstone.Types.IVolumeViewport | undefined {
    return this.engine?.getViewport(this.viewportId(id)) as cornerstone.Types.IVolumeViewport | undefined;
  }
}
