/** The colours of a plane of a mask: what is inside of a segment is tinted, its edge is a line. */

import { SEGMENT_BITS, type Voxels } from "./masks";

export interface SegmentStyle {
  value: number;
  color: string;
  visible: boolean;
  /** Of its inside, 0..1; its edge is always seen. */
  opacity: number;
}

/** Opacity of a segment's edge, of the one that is painted and of the others. */
const [ACTIVE_LINE, LINE] = [1, 0.8];

type Rgb = [number, number, number];

function rgb(color: string): Rgb {
  const n = Number.parseInt(color.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

/** A colour of 0xAABBGGRR, as little-endian image data holds it. */
export function packedColor([r, g, b]: Rgb, alpha: number): number {
  return ((Math.round(alpha * 255) << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** Write the colours of a plane of masks' voxels, `width` of them in a row, as image data holds them. */
export function colorPlane(plane: Voxels, width: number, segments: readonly SegmentStyle[], activeValue: number, into: Uint32Array): void {
  const styles = segments.filter((segment) => segment.visible);
  if (plane instanceof Uint32Array) colorBits(plane, width, styles, activeValue, into);
  else colorLabelMap(plane, width, styles, activeValue, into);
}

function colorLabelMap(plane: Uint8Array, width: number, styles: readonly SegmentStyle[], activeValue: number, into: Uint32Array): void {
  const height = plane.length / width;
  const fill = new Uint32Array(256);
  const line = new Uint32Array(256);
  for (const { value, color, opacity } of styles) {
    fill[value] = packedColor(rgb(color), opacity);
    line[value] = packedColor(rgb(color), value === activeValue ? ACTIVE_LINE : LINE);
  }
  for (let y = 0, n = 0; y < height; y++) {
    for (let x = 0; x < width; x++, n++) {
      const value = plane[n];
      if (value === 0) {
        into[n] = 0;
        continue;
      }
      const edge =
        x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
        plane[n - 1] !== value || plane[n + 1] !== value || plane[n - width] !== value || plane[n + width] !== value;
      into[n] = edge ? line[value] : fill[value];
    }
  }
}

function colorBits(plane: Uint32Array, width: number, styles: readonly SegmentStyle[], activeValue: number, into: Uint32Array): void {
  const height = plane.length / width;
  const mixed = mixer(styles, activeValue);
  // Neighbours are mostly alike: their colour is mixed once.
  let [lastVoxel, lastEdges, color] = [0, 0, 0];
  for (let y = 0, n = 0; y < height; y++) {
    for (let x = 0; x < width; x++, n++) {
      const voxel = plane[n];
      if (voxel === 0) {
        into[n] = 0;
        continue;
      }
      const border = x === 0 || y === 0 || x === width - 1 || y === height - 1;
      const edges = border ? voxel : (voxel & ~(plane[n - 1] & plane[n + 1] & plane[n - width] & plane[n + width])) >>> 0;
      if (voxel !== lastVoxel || edges !== lastEdges) {
        color = mixed(voxel, edges);
        lastVoxel = voxel;
        lastEdges = edges;
      }
      into[n] = color;
    }
  }
}

/** Returns the colour of a voxel's segments over one another: the insides first, the lines of `edges` over them, the active one last. */
function mixer(styles: readonly SegmentStyle[], activeValue: number): (voxel: number, edges: number) => number {
  const layers = [...styles]
    .sort((a, b) => Number(a.value === activeValue) - Number(b.value === activeValue))
    .map(({ value, color, opacity }) => ({ value, color: rgb(color), fill: opacity, line: value === activeValue ? ACTIVE_LINE : LINE }));
  const { has } = SEGMENT_BITS;
  const known = new Map<number, Map<number, number>>();
  return (voxel, edges) => {
    let ofVoxel = known.get(voxel);
    if (!ofVoxel) known.set(voxel, (ofVoxel = new Map()));
    let color = ofVoxel.get(edges);
    if (color === undefined) {
      const inside = layers.filter(({ value }) => has(voxel, value) && !has(edges, value)).map(({ color, fill }) => ({ color, alpha: fill }));
      const onEdge = layers.filter(({ value }) => has(edges, value)).map(({ color, line }) => ({ color, alpha: line }));
      ofVoxel.set(edges, (color = over([...inside, ...onEdge])));
    }
    return color;
  };
}

/** Lay colours over one another, the last one uppermost. */
function over(layers: readonly { color: Rgb; alpha: number }[]): number {
  let alpha = 0;
  let color: Rgb = [0, 0, 0];
  for (const layer of layers) {
    const below = alpha * (1 - layer.alpha);
    alpha = layer.alpha + below;
    if (alpha > 0) color = color.map((c, n) => (layer.color[n] * layer.alpha + c * below) / alpha) as Rgb;
  }
  return packedColor(color.map(Math.round) as Rgb, alpha);
}
