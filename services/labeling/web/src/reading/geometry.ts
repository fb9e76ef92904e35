/** Planes of a volume and where they are in the patient (LPS, mm; affine 4×4, row-major: voxel (i, j, k) to LPS). */

import type { Axis, Index3 } from "./labels";

export type Vec3 = [number, number, number];
export type PlaneName = "axial" | "sagittal" | "coronal";

export const PLANES: PlaneName[] = ["axial", "sagittal", "coronal"];

const NORMAL_OF: Record<PlaneName, 0 | 1 | 2> = { sagittal: 0, coronal: 1, axial: 2 };

/** How a plane of the volume lies before the eye: columns of `right`, rows of `down`, looked at along `into`. */
export interface PlaneView {
  name: PlaneName;
  axis: Axis;
  /** Unit vectors in LPS. */
  right: Vec3;
  down: Vec3;
  /** From the eye into the screen. */
  into: Vec3;
}

export function column(affine: readonly number[], axis: number): Vec3 {
  return [affine[axis], affine[4 + axis], affine[8 + axis]];
}

export function length(v: Vec3): number {
  return Math.hypot(...v);
}

export function scaled(v: Vec3, by: number): Vec3 {
  return [v[0] * by, v[1] * by, v[2] * by];
}

function unit(v: Vec3): Vec3 {
  const l = length(v);
  return l ? scaled(v, 1 / l) : v;
}

export function cross(a: Vec3, b: Vec3): Vec3 {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function dot(a: readonly number[], b: readonly number[]): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/** Voxel (i, j, k) to LPS in mm. */
export function toWorld(affine: readonly number[], [i, j, k]: readonly number[]): Vec3 {
  return [0, 4, 8].map((r) => affine[r] * i + affine[r + 1] * j + affine[r + 2] * k + affine[r + 3]) as Vec3;
}

/** LPS in mm to voxel (i, j, k), not rounded. Axes may be oblique, but are taken to be orthogonal, as ingest checks. */
export function toVoxel(affine: readonly number[], world: readonly number[]): Vec3 {
  const from: Vec3 = [world[0] - affine[3], world[1] - affine[7], world[2] - affine[11]];
  return [0, 1, 2].map((axis) => {
    const direction = column(affine, axis);
    return dot(from, direction) / dot(direction, direction);
  }) as Vec3;
}

/** Which axis of the volume runs nearest to each axis of the patient (L-R, A-P, S-I); each is used once. */
export function axesOfPatient(affine: readonly number[]): [Axis, Axis, Axis] {
  const units = [0, 1, 2].map((axis) => unit(column(affine, axis)));
  let best: [Axis, Axis, Axis] = [0, 1, 2];
  let most = -1;
  for (const order of [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] as [Axis, Axis, Axis][]) {
    const sum = order.reduce<number>((total, axis, patient) => total + Math.abs(units[axis][patient]), 0);
    if (sum > most + 1e-9) [best, most] = [order, sum];
  }
  return best;
}

/**
 * The three planes as radiologists look at them: axial from the feet with the front up, sagittal from the left with the head
 * up and the front to the left, coronal from the front with the head up; on an oblique volume the planes of its own axes.
 */
export function planeViews(affine: readonly number[]): PlaneView[] {
  const axes = axesOfPatient(affine);
  // The volume's own direction that points to the patient's left, back or head.
  const towards = axes.map((axis, patient) => {
    const direction = unit(column(affine, axis));
    return direction[patient] < 0 ? scaled(direction, -1) : direction;
  });
  const [left, back, head] = towards;
  const down = scaled(head, -1);
  return PLANES.map((name) => {
    const axis = axes[NORMAL_OF[name]];
    const [right, below] = name === "axial" ? [left, back] : name === "sagittal" ? [back, down] : [left, down];
    return { name, axis, right, down: below, into: cross(right, below) };
  });
}

/** The letters of a direction in the patient, the strongest first: "L", "RA", …; components under 0.3 are left out. */
export function orientationLetters(direction: Vec3): string {
  const names = [["L", "R"], ["P", "A"], ["H", "F"]];
  return direction
    .map((value, axis) => ({ size: Math.abs(value), letter: names[axis][value > 0 ? 0 : 1] }))
    .filter(({ size }) => size > 0.3)
    .sort((a, b) => b.size - a.size)
    .map(({ letter }) => letter)
    .join("");
}

export function clampIndex(index: readonly number[], shape: Index3): Index3 {
  return index.map((n, axis) => Math.min(shape[axis] - 1, Math.max(0, Math.round(n)))) as Index3;
}
