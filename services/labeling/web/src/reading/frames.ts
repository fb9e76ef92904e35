/** Frames from WADO-RS into Cornerstone3D: an image loader and the metadata it asks for, both from what the service says of a case. */

import { cache, Enums, eventTarget, imageLoadPoolManager, imageLoader, metaData, volumeLoader } from "@cornerstonejs/core";
import { addressOf, ask, Problem } from "../api/http";
import type { Frames } from "../api/types";
import { column, length, scaled, toWorld } from "./geometry";
import type { Index3 } from "./labels";

const SCHEME = "radloop";
const ATTEMPTS = 4;
/** Browsers open six connections to a server: one is left to everything else. */
const CONCURRENT = 5;
/** So often is told how many slices are here. */
const TOLD_EVERY_MS = 500;
const MULTIPART = 'multipart/related; type="application/octet-stream"; transfer-syntax=*';

type Values = Int16Array | Float32Array;

const known = new Map<string, Frames>();
let registered = false;

/** Where a frame is, as PS3.18 section 10.4 writes it. */
function frameUrl(frames: Frames, k: number): string {
  const { sop_instance_uid: instance, frame } = frames.slices[k];
  const { study_instance_uid: study, series_instance_uid: series } = frames;
  return addressOf("ingest", `/dicom-web/studies/${study}/series/${series}/instances/${instance}/frames/${frame}`);
}

/** The bytes of the first part of a multipart answer (RFC 2046), or the whole of another answer. */
export function firstPart(body: ArrayBuffer, contentType: string): ArrayBuffer {
  if (!contentType.startsWith("multipart/")) return body;
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1];
  const bytes = new Uint8Array(body);
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, Math.min(bytes.length, 2048)));
  const begin = head.indexOf("\r\n\r\n", Math.max(0, head.indexOf(`--${boundary}`)));
  const told = /content-length:\s*(\d+)/i.exec(head.slice(0, begin))?.[1];
  // Without a length the part ends before the closing line: CRLF "--" boundary "--" and perhaps another CRLF.
  let end = begin + 4 + Number(told);
  if (told === undefined) {
    const tail = new TextDecoder("latin1").decode(bytes.subarray(Math.max(0, bytes.length - 512)));
    end = bytes.length - (tail.length - tail.lastIndexOf(`\r\n--${boundary}`));
  }
  if (!boundary || begin < 0 || end < begin + 4) throw new Error("expected one part of a multipart answer, got something else");
  return body.slice(begin + 4, end);
}

/** Asked for every slice, and looks at every slice: kept. */
const int16 = new WeakMap<Frames, boolean>();

/** Whether the volume's values fit 16 bits: whole numbers after the modality's rescaling, and CT or signed or 8 bits. */
function fitsInt16(frames: Frames): boolean {
  let fits = int16.get(frames);
  if (fits === undefined) {
    const whole = frames.slopes.every((slope) => slope === 1) && frames.intercepts.every(Number.isInteger);
    int16.set(frames, (fits = whole && (frames.signed || frames.bits_allocated === 8 || frames.modality === "CT")));
  }
  return fits;
}

/** Stored pixels of slice k, little endian, to values of the modality (HU, …): rows × columns, columns fastest. */
export function valuesOf(frames: Frames, k: number, stored: ArrayBuffer): Values {
  const size = frames.rows * frames.columns;
  if (stored.byteLength < (size * frames.bits_allocated) / 8) {
    throw new Error(`expected ${size} pixels of ${frames.bits_allocated} bits in slice ${k + 1}, got ${stored.byteLength} bytes`);
  }
  const pixels =
    frames.bits_allocated === 8
      ? new (frames.signed ? Int8Array : Uint8Array)(stored, 0, size)
      : frames.bits_allocated === 16
        ? new (frames.signed ? Int16Array : Uint16Array)(stored, 0, size)
        : new (frames.signed ? Int32Array : Uint32Array)(stored, 0, size);
  const slope = frames.slopes[k];
  const intercept = frames.intercepts[k];
  if (fitsInt16(frames)) {
    if (intercept === 0 && pixels instanceof Int16Array) return pixels;
    const values = new Int16Array(size);
    for (let n = 0; n < size; n++) values[n] = Math.min(32767, Math.max(-32768, pixels[n] + intercept));
    return values;
  }
  const values = new Float32Array(size);
  for (let n = 0; n < size; n++) values[n] = pixels[n] * slope + intercept;
  return values;
}

async function fetchValues(frames: Frames, k: number, signal?: AbortSignal): Promise<Values> {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await ask(frameUrl(frames, k), { accept: MULTIPART, signal });
      const body = await answer.arrayBuffer();
      return valuesOf(frames, k, firstPart(body, answer.headers.get("content-type") ?? ""));
    } catch (error) {
      if (attempt >= ATTEMPTS || !(error instanceof Problem && error.away)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 400 * attempt ** 2));
    }
  }
}

function parse(imageId: string): { frames: Frames; k: number } | undefined {
  if (!imageId.startsWith(`${SCHEME}:`)) return undefined;
  const [key, k] = imageId.slice(SCHEME.length + 1).split("#");
  const frames = known.get(key);
  return frames && { frames, k: Number(k) };
}

export function imageIdOf(key: string, k: number): string {
  return `${SCHEME}:${key}#${k}`;
}

function imageOf(imageId: string, frames: Frames, values: Values) {
  const { rows, columns, window } = frames;
  return {
    imageId,
    // Asked for a window where there is none; we always give one.
    minPixelValue: window.center - window.width / 2,
    maxPixelValue: window.center + window.width / 2,
    slope: 1,
    intercept: 0,
    windowCenter: window.center,
    windowWidth: window.width,
    voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
    getPixelData: () => values,
    getCanvas: undefined,
    rows,
    columns,
    height: rows,
    width: columns,
    color: false,
    rgba: false,
    numberOfComponents: 1,
    columnPixelSpacing: frames.spacing_mm[0],
    rowPixelSpacing: frames.spacing_mm[1],
    invert: false,
    sizeInBytes: values.byteLength,
    isPreScaled: true,
    preScale: { enabled: true, scaled: true },
    dataType: values.constructor.name,
    FrameOfReferenceUID: frames.study_instance_uid,
    imageFrame: {},
    imageQualityStatus: Enums.ImageQualityStatus.FULL_RESOLUTION,
  };
}

/** What Cornerstone3D asks of an image (its metadata modules are those of PS3.3). */
function metadataOf(type: string, imageId: string): unknown {
  const found = parse(imageId);
  if (!found) return undefined;
  const { frames, k } = found;
  const rowCosines = scaled(column(frames.affine_lps, 0), 1 / length(column(frames.affine_lps, 0)));
  const columnCosines = scaled(column(frames.affine_lps, 1), 1 / length(column(frames.affine_lps, 1)));
  const bits = fitsInt16(frames) ? 16 : 32;
  switch (type) {
    case "imagePlaneModule":
      return {
        frameOfReferenceUID: frames.study_instance_uid,
        rows: frames.rows,
        columns: frames.columns,
        imageOrientationPatient: [...rowCosines, ...columnCosines],
        rowCosines,
        columnCosines,
        imagePositionPatient: toWorld(frames.affine_lps, [0, 0, k]),
        pixelSpacing: [frames.spacing_mm[1], frames.spacing_mm[0]],
        rowPixelSpacing: frames.spacing_mm[1],
        columnPixelSpacing: frames.spacing_mm[0],
        sliceThickness: frames.spacing_mm[2],
      };
    case "imagePixelModule":
      return {
        samplesPerPixel: 1,
        photometricInterpretation: "MONOCHROME2",
        rows: frames.rows,
        columns: frames.columns,
        bitsAllocated: bits,
        bitsStored: bits,
        highBit: bits - 1,
        pixelRepresentation: 1,
      };
    case "generalSeriesModule":
      return { modality: frames.modality, seriesInstanceUID: frames.series_instance_uid };
    case "voiLutModule":
      return { windowCenter: [frames.window.center], windowWidth: [frames.window.width] };
    default:
      return undefined;
  }
}

function register(): void {
  if (registered) return;
  registered = true;
  metaData.addProvider(metadataOf, 1000);
  imageLoader.registerImageLoader(SCHEME, (imageId: string) => {
    const found = parse(imageId);
    const stop = new AbortController();
    const promise = found
      ? fetchValues(found.frames, found.k, stop.signal).then(
          (values) => imageOf(imageId, found.frames, values),
          // The case was closed: nobody waits for the slice any more, and nobody would hear that it failed.
          (error) => (stop.signal.aborted ? new Promise(() => {}) : Promise.reject(error)),
        )
      : Promise.reject(new Error("the case was closed"));
    return { promise: promise as never, cancelFn: () => stop.abort() };
  });
  imageLoadPoolManager.setMaxSimultaneousRequests(Enums.RequestType.Prefetch, CONCURRENT);
}

export interface Progress {
  loaded: number;
  total: number;
  failed: number;
}

/** A volume whose slices stream in. */
export class StreamedVolume {
  readonly volumeId: string;
  readonly progress: Progress;
  private readonly ids: string[];
  private readonly have: boolean[];
  private told = 0;
  /** The slice that somebody looks at and that is not here yet. */
  private awaited = -1;
  /** Settles with the first slice that is here. */
  readonly first: Promise<number>;
  /** Settles when no slice is waited for any more. */
  readonly all: Promise<void>;
  private cameFirst!: (k: number) => void;
  private cameAll!: () => void;
  private listener = (event: unknown) => this.heard(event as CustomEvent);
  private failure = (event: unknown) => this.heardFailure(event as CustomEvent);

  constructor(readonly key: string, readonly frames: Frames, private readonly onProgress: (progress: Progress) => void) {
    register();
    known.set(key, frames);
    this.first = new Promise((resolve) => (this.cameFirst = resolve));
    this.all = new Promise((resolve) => (this.cameAll = resolve));
    this.volumeId = `cornerstoneStreamingImageVolume:${key}`;
    this.ids = frames.slices.map((_, k) => imageIdOf(key, k));
    this.have = frames.slices.map(() => false);
    this.progress = { loaded: 0, total: frames.slices.length, failed: 0 };
  }

  /** Make the volume; begin with one slice, then all in the manifest's order. */
  async open(firstSlice: number): Promise<void> {
    eventTarget.addEventListener(Enums.Events.IMAGE_LOADED, this.listener);
    eventTarget.addEventListener(Enums.Events.IMAGE_LOAD_FAILED, this.failure);
    await this.make(firstSlice);
  }

  /** Make the volume anew from the slices that are here: its texture went with the engine that drew it. */
  async renew(): Promise<void> {
    cache.removeVolumeLoadObject(this.volumeId);
    await this.make(0);
  }

  private async make(firstSlice: number): Promise<void> {
    const volume = (await volumeLoader.createAndCacheVolume(this.volumeId, { imageIds: this.ids })) as unknown as {
      load: () => void;
      autoRenderOnLoad: boolean;
    };
    // Drawing three planes takes longer than a slice takes to come: it is drawn in its own time, see `Views.arrived`.
    volume.autoRenderOnLoad = false;
    this.hurry(firstSlice);
    volume.load();
  }

  /** Fetch a slice before all others: somebody looks at it. */
  hurry(k: number): void {
    if (this.have[k] || this.awaited === k) return;
    this.awaited = k;
    void imageLoader.loadAndCacheImage(this.ids[k], { priority: -10, requestType: Enums.RequestType.Interaction } as never).catch(() => {});
  }

  /** Number of slices that are here. */
  get loaded(): number {
    return this.progress.loaded;
  }

  /** Values of slice k, once it is here: rows × columns. */
  slice(k: number): Values | undefined {
    const image = this.have[k] ? cache.getImage(this.ids[k]) : undefined;
    return image ? ((image as unknown as { voxelManager?: { getScalarData(): Values } }).voxelManager?.getScalarData() ?? (image.getPixelData() as Values)) : undefined;
  }

  valueAt([i, j, k]: Index3): number | undefined {
    return this.slice(k)?.[i + this.frames.columns * j];
  }

  close(): void {
    eventTarget.removeEventListener(Enums.Events.IMAGE_LOADED, this.listener);
    eventTarget.removeEventListener(Enums.Events.IMAGE_LOAD_FAILED, this.failure);
    const volume = cache.getVolume(this.volumeId) as unknown as { cancelLoading?: () => void } | undefined;
    volume?.cancelLoading?.();
    if (volume) cache.removeVolumeLoadObject(this.volumeId);
    for (const id of this.ids) if (cache.getImageLoadObject(id)) cache.removeImageLoadObject(id, { force: true });
    known.delete(this.key);
  }

  private heard(event: CustomEvent): void {
    const found = parse(event.detail.image?.imageId ?? "");
    if (found?.frames !== this.frames || this.have[found.k]) return;
    this.have[found.k] = true;
    this.progress.loaded++;
    this.cameFirst(found.k);
    const { loaded, total, failed } = this.progress;
    if (loaded + failed >= total) this.cameAll();
    const now = performance.now();
    if (found.k !== this.awaited && loaded < total && now - this.told < TOLD_EVERY_MS) return;
    this.told = now;
    this.onProgress(this.progress);
  }

  private heardFailure(event: CustomEvent): void {
    const found = parse(event.detail.imageId ?? "");
    if (found?.frames !== this.frames) return;
    this.progress.failed++;
    if (this.progress.loaded + this.progress.failed >= this.progress.total) this.cameAll();
    this.onProgress(this.progress);
  }
}

export type LocalValues = Int16Array | Uint16Array | Uint8Array | Float32Array;

/** Make a volume of values that came in one piece: i fastest, of the frames' geometry. */
export function localVolume(key: string, frames: Frames, data: ArrayBuffer, dtype: string): { volumeId: string; values: LocalValues } {
  const kinds: Record<string, (data: ArrayBuffer) => LocalValues> = {
    int16: (bytes) => new Int16Array(bytes),
    uint16: (bytes) => new Uint16Array(bytes),
    uint8: (bytes) => new Uint8Array(bytes),
    float32: (bytes) => new Float32Array(bytes),
  };
  const kind = kinds[dtype];
  if (!kind) throw new Error(`expected a channel of ${Object.keys(kinds).join(", ")}, got ${dtype || "no word of its type"}`);
  const axes = [0, 1, 2].map((axis) => column(frames.affine_lps, axis));
  const volumeId = `radloop-local:${key}`;
  const values = kind(data);
  volumeLoader.createLocalVolume(volumeId, {
    scalarData: values,
    dimensions: frames.shape,
    spacing: frames.spacing_mm,
    origin: toWorld(frames.affine_lps, [0, 0, 0]),
    direction: axes.flatMap((axis) => scaled(axis, 1 / length(axis))) as never,
    metadata: {
      BitsAllocated: values.BYTES_PER_ELEMENT * 8,
      BitsStored: values.BYTES_PER_ELEMENT * 8,
      SamplesPerPixel: 1,
      HighBit: values.BYTES_PER_ELEMENT * 8 - 1,
      PhotometricInterpretation: "MONOCHROME2",
      PixelRepresentation: dtype === "int16" ? 1 : 0,
      Modality: frames.modality,
      ImageOrientationPatient: [...scaled(axes[0], 1 / length(axes[0])), ...scaled(axes[1], 1 / length(axes[1]))],
      PixelSpacing: [frames.spacing_mm[1], frames.spacing_mm[0]],
      FrameOfReferenceUID: frames.study_instance_uid,
      Columns: frames.columns,
      Rows: frames.rows,
      voiLut: [],
      VOILUTFunction: "LINEAR",
      SeriesInstanceUID: frames.series_instance_uid,
    } as never,
  } as never);
  return { volumeId, values };
}

export function removeLocal(volumeId: string): void {
  if (cache.getVolume(volumeId)) cache.removeVolumeLoadObject(volumeId);
}

/** A window from the 1st to the 99th percentile of a volume's values, taken from every so many of them. */
export function automaticWindow(volumeId: string): { center: number; width: number } {
  const manager = cache.getVolume(volumeId)?.voxelManager as unknown as { getCompleteScalarDataArray(): ArrayLike<number> };
  const all = manager.getCompleteScalarDataArray();
  const step = Math.max(1, Math.floor(all.length / 20_000));
  const some = Float64Array.from({ length: Math.ceil(all.length / step) }, (_, n) => all[n * step]).sort();
  const [low, high] = [some[Math.floor(some.length * 0.01)], some[Math.ceil(some.length * 0.99) - 1]];
  return { center: (low + high) / 2, width: Math.max(1e-6, high - low) };
}
