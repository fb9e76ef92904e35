import { describe, expect, it } from "vitest";
import { axesOfPatient, orientationLetters, planeViews, toVoxel, toWorld } from "./geometry";

// Rows of an axial CT: i to the left of the patient, j to the back, k to the head.
const AXIAL = [0.8, 0, 0, -200, 0, 0.8, 0, -180, 0, 0, 1.5, 40, 0, 0, 0, 1];
// An MR as NIfTI tools leave it: i to the right, j to the front, k to the head.
const FLIPPED = [-1, 0, 0, 90, 0, -1, 0, 120, 0, 0, 1, -70, 0, 0, 0, 1];
// Rows and columns of a sagittal acquisition: i to the back, j to the feet, k to the left.
const SAGITTAL = [0, 0, 2, -60, 1, 0, 0, -100, 0, -1, 0, 90, 0, 0, 0, 1];

describe("geometry", () => {
  it.each([AXIAL, FLIPPED, SAGITTAL])("goes to the patient and back", (...affine) => {
    const world = toWorld(affine, [3, 5, 7]);
    toVoxel(affine, world).forEach((n, axis) => expect(n).toBeCloseTo([3, 5, 7][axis], 9));
  });

  it("finds which axis of the volume is which of the patient", () => {
    expect(axesOfPatient(AXIAL)).toEqual([0, 1, 2]);
    expect(axesOfPatient(FLIPPED)).toEqual([0, 1, 2]);
    expect(axesOfPatient(SAGITTAL)).toEqual([2, 0, 1]);
  });

  it.each([AXIAL, FLIPPED, SAGITTAL])("shows planes as radiologists look at them, whatever the volume's order", (...affine) => {
    const [axial, sagittal, coronal] = planeViews(affine);
    const letters = [axial, sagittal, coronal].map((view) => [view.right, view.down].map(orientationLetters).join(""));
    expect(letters).toEqual(["LP", "PF", "LF"]);
    expect(orientationLetters(axial.into)).toBe("H");
    expect(orientationLetters(coronal.into)).toBe("P");
    expect(orientationLetters(sagittal.into)).toBe("R");
  });

  it("names oblique directions by their strongest parts", () => {
    expect(orientationLetters([0.8, -0.6, 0])).toBe("LA");
    expect(orientationLetters([0.1, 0.99, 0.1])).toBe("P");
  });
});
