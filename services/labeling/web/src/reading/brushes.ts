/** What a hand does to a mask: discs, spheres, lassos, fills, copies. All on voxels; lengths in mm. */

import { type Axis, type Index3, IN_PLANE, type LabelVolume, planeOf, type Stroke } from "./labels";
import { kindOf, type Voxels } from "./masks";

/** Whether a voxel may be painted, by its linear index and slice (the threshold brush looks at the image). */
export type Accept = (index: number, k: number) => boolean;

/** What happens to the voxels that are reached: they are given a segment, or it is taken from them. */
export interface Dab {
  value: number;
  erase?: boolean;
  accept?: Accept;
}

function dabAt(stroke: Stroke, index: number, k: number, { value, erase, accept }: Dab): void {
  if (accept && !accept(index, k)) return;
  if (erase) stroke.take(index, value);
  else stroke.give(index, value);
}

/** Paint all voxels within a radius of the way from `a` to `b` (voxel coordinates): in the plane through b, or in space. */
export function paintWay(
  stroke: Stroke,
  way: { a: Index3; b: Index3; axis: Axis; sphere: boolean; radiusMm: number; spacingMm: Index3 },
  dab: Dab,
): void {
  const { labels } = stroke;
  const { a, b, axis, sphere, radiusMm, spacingMm: mm } = way;
  const low: Index3 = [0, 0, 0];
  const high: Index3 = [0, 0, 0];
  for (const d of [0, 1, 2] as Axis[]) {
    if (d === axis && !sphere) {
      low[d] = high[d] = Math.round(b[d]);
      if (low[d] < 0 || low[d] >= labels.shape[d]) return;
      continue;
    }
    low[d] = Math.max(0, Math.ceil(Math.min(a[d], b[d]) - radiusMm / mm[d]));
    high[d] = Math.min(labels.shape[d] - 1, Math.floor(Math.max(a[d], b[d]) + radiusMm / mm[d]));
  }
  const flat = sphere ? -1 : axis;
  const along: Index3 = [0, 0, 0];
  const start: Index3 = [0, 0, 0];
  for (const d of [0, 1, 2] as Axis[]) {
    start[d] = d === flat ? 0 : a[d] * mm[d];
    along[d] = d === flat ? 0 : (b[d] - a[d]) * mm[d];
  }
  const length2 = along[0] ** 2 + along[1] ** 2 + along[2] ** 2;
  // A brush smaller than a voxel paints the voxel under it.
  const radius2 = Math.max(radiusMm, 0.5 * Math.min(...mm)) ** 2 + 1e-9;
  for (let k = low[2]; k <= high[2]; k++) {
    const z = flat === 2 ? 0 : k * mm[2] - start[2];
    for (let j = low[1]; j <= high[1]; j++) {
      const y = flat === 1 ? 0 : j * mm[1] - start[1];
      let index = labels.indexOf(low[0], j, k);
      for (let i = low[0]; i <= high[0]; i++, index++) {
        const x = flat === 0 ? 0 : i * mm[0] - start[0];
        const t = length2 ? Math.min(1, Math.max(0, (x * along[0] + y * along[1] + z * along[2]) / length2)) : 0;
        const d2 = (x - t * along[0]) ** 2 + (y - t * along[1]) ** 2 + (z - t * along[2]) ** 2;
        if (d2 <= radius2) dabAt(stroke, index, k, dab);
      }
    }
  }
}

/** Paint the voxels inside a closed line: in one plane, or in every plane of the axis. */
export function paintInside(
  stroke: Stroke,
  line: readonly [number, number][],
  place: { axis: Axis; slice: number; through: boolean },
  dab: Dab,
): void {
  if (line.length < 3) return;
  const { labels } = stroke;
  const [u, v] = IN_PLANE[place.axis];
  const slices = place.through ? [...Array(labels.shape[place.axis]).keys()] : [place.slice];
  const rows = line.map(([, y]) => y);
  const top = Math.max(0, Math.ceil(Math.min(...rows)));
  const bottom = Math.min(labels.shape[v] - 1, Math.floor(Math.max(...rows)));
  const at: Index3 = [0, 0, 0];
  for (let y = top; y <= bottom; y++) {
    // Even-odd rule: between each pair of crossings of the row lies the inside.
    const crossings: number[] = [];
    for (let n = 0; n < line.length; n++) {
      const [x1, y1] = line[n];
      const [x2, y2] = line[(n + 1) % line.length];
      if (y1 <= y !== y2 <= y) crossings.push(x1 + ((y - y1) / (y2 - y1)) * (x2 - x1));
    }
    crossings.sort((p, q) => p - q);
    for (let n = 0; n + 1 < crossings.length; n += 2) {
      const from = Math.max(0, Math.ceil(crossings[n]));
      const to = Math.min(labels.shape[u] - 1, Math.floor(crossings[n + 1]));
      for (let x = from; x <= to; x++) {
        for (const slice of slices) {
          at[place.axis] = slice;
          at[u] = x;
          at[v] = y;
          dabAt(stroke, labels.indexOf(...at), at[2], dab);
        }
      }
    }
  }
}

/** Give a segment the connected region (4 neighbours) around a voxel of a plane; false where it is not enclosed. */
export function fill(stroke: Stroke, seed: Index3, axis: Axis, value: number): boolean {
  const { labels } = stroke;
  if (!labels.contains(...seed)) return false;
  const [u, v] = IN_PLANE[axis];
  const width = labels.shape[u];
  const height = labels.shape[v];
  const plane = planeOf(labels, axis, seed[axis]);
  const first = plane[seed[u] + width * seed[v]];
  if (labels.kind.has(first, value)) return true;
  const { belongs, enclosed } = labels.kind.regionOf(first, value);
  const seen = new Uint8Array(width * height);
  const waiting = [seed[u] + width * seed[v]];
  const region: number[] = [];
  seen[waiting[0]] = 1;
  while (waiting.length) {
    const at = waiting.pop()!;
    const x = at % width;
    const y = (at - x) / width;
    region.push(at);
    if (enclosed && (x === 0 || y === 0 || x === width - 1 || y === height - 1)) return false;
    for (const next of [x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1, y > 0 ? at - width : -1, y < height - 1 ? at + width : -1]) {
      if (next >= 0 && !seen[next] && belongs(plane[next])) {
        seen[next] = 1;
        waiting.push(next);
      }
    }
  }
  const at: Index3 = [0, 0, 0];
  at[axis] = seed[axis];
  for (const place of region) {
    at[u] = place % width;
    at[v] = (place - at[u]) / width;
    stroke.give(labels.indexOf(...at), value);
  }
  return true;
}

/** Copy a segment from another plane of the axis into this one; returns how many voxels it has there. */
export function copyPlane(stroke: Stroke, axis: Axis, from: number, to: number, value: number): number {
  const { labels } = stroke;
  if (from < 0 || from >= labels.shape[axis]) return 0;
  const [u, v] = IN_PLANE[axis];
  const width = labels.shape[u];
  const plane = planeOf(labels, axis, from).slice();
  const at: Index3 = [0, 0, 0];
  at[axis] = to;
  let copied = 0;
  for (let n = 0; n < plane.length; n++) {
    if (!labels.kind.has(plane[n], value)) continue;
    at[u] = n % width;
    at[v] = (n - at[u]) / width;
    stroke.give(labels.indexOf(...at), value);
    copied++;
  }
  return copied;
}

/** Make a segment be exactly what it is in another mask; `sparing`: it grows only where no other segment loses a voxel by it. */
export function replaceSegment(stroke: Stroke, wanted: LabelVolume, value: number, sparing = false): void {
  const { data, kind } = stroke.labels;
  for (let index = 0; index < data.length; index++) {
    const has = kind.has(data[index], value);
    if (kind.has(wanted.data[index], value) === has) continue;
    if (has) stroke.take(index, value);
    else if (!sparing || kind.hasRoom(data[index], value)) stroke.give(index, value);
  }
}

/** Make the whole mask be another one. */
export function replaceAll(stroke: Stroke, wanted: LabelVolume): void {
  for (let index = 0; index < wanted.data.length; index++) stroke.write(index, wanted.data[index]);
}

/** Volume of one voxel in mL. */
export function voxelMl(spacingMm: Index3): number {
  return (spacingMm[0] * spacingMm[1] * spacingMm[2]) / 1000;
}

/** Lines around the voxels of each segment in a plane: points (u, v) of the edges to voxels without it, two for each edge. */
export function outlinesOf(plane: Voxels, width: number): Map<number, number[]> {
  const kind = kindOf(plane);
  const height = plane.length / width;
  const found = new Map<number, number[]>();
  for (let y = 0, n = 0; y < height; y++) {
    for (let x = 0; x < width; x++, n++) {
      const voxel = plane[n];
      if (voxel === 0) continue;
      const left = x === 0 ? 0 : plane[n - 1];
      const right = x === width - 1 ? 0 : plane[n + 1];
      const above = y === 0 ? 0 : plane[n - width];
      const below = y === height - 1 ? 0 : plane[n + width];
      if (left === voxel && right === voxel && above === voxel && below === voxel) continue;
      for (const value of kind.segmentsOf(voxel)) {
        const edges = found.get(value) ?? [];
        if (!kind.has(left, value)) edges.push(x - 0.5, y - 0.5, x - 0.5, y + 0.5);
        if (!kind.has(right, value)) edges.push(x + 0.5, y - 0.5, x + 0.5, y + 0.5);
        if (!kind.has(above, value)) edges.push(x - 0.5, y - 0.5, x + 0.5, y - 0.5);
        if (!kind.has(below, value)) edges.push(x - 0.5, y + 0.5, x + 0.5, y + 0.5);
        if (edges.length) found.set(value, edges);
      }
    }
  }
  return found;
}
