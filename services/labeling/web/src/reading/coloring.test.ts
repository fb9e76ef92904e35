import { describe, expect, it } from "vitest";
import { colorPlane, packedColor, type SegmentStyle } from "./coloring";

const RED: [number, number, number] = [255, 0, 0];
const BLUE: [number, number, number] = [0, 0, 255];
const STYLES: SegmentStyle[] = [
  { value: 1, color: "#ff0000", visible: true, opacity: 0.5 },
  { value: 2, color: "#0000ff", visible: true, opacity: 0.5 },
];

function colors(plane: Uint8Array | Uint32Array, styles = STYLES, active = 1): number[] {
  const into = new Uint32Array(plane.length).fill(7);
  colorPlane(plane, 5, styles, active, into);
  return [...into];
}

/** A square of 5 x 5 voxels that are all of one content, with another one in the middle. */
function square(around: number, middle: number): number[] {
  return Array.from({ length: 25 }, (_, n) => (n === 12 ? middle : around));
}

describe("the colours of a plane", () => {
  it("of a label map: tinted inside, a line where the value ends, nothing where it is not shown", () => {
    const found = colors(Uint8Array.from(square(1, 0)));
    expect(found[12]).toBe(0);
    expect(found[6]).toBe(packedColor(RED, 0.5));
    expect([0, 4, 7, 11]).toSatisfy((edge: number[]) => edge.every((n) => found[n] === packedColor(RED, 1)));
    expect(colors(Uint8Array.from(square(1, 0)), STYLES, 2)[0]).toBe(packedColor(RED, 0.8));
    expect(colors(Uint8Array.from(square(3, 0)))).toEqual(new Array(25).fill(0));
  });

  it("of bits with one segment are those of the label map", () => {
    for (const [around, middle] of [[1, 0], [0, 1], [1, 1], [2, 0]]) {
      expect(colors(Uint32Array.from(square(around, middle)))).toEqual(colors(Uint8Array.from(square(around, middle))));
    }
  });

  it("of bits: segments lie over one another, each with its own line", () => {
    // Blue everywhere, red in the middle over it.
    const found = colors(Uint32Array.from(square(2, 3)));
    expect(found[12]).toBe(packedColor(RED, 1));
    // Beside the lesion nothing of the organ ends: no line there.
    expect(found[11]).toBe(packedColor(BLUE, 0.5));
    expect(found[0]).toBe(packedColor(BLUE, 0.8));
    const whole = colors(new Uint32Array(25).fill(3));
    // Half of the red that is uppermost, half of what is left of the blue.
    expect(whole[12]).toBe(packedColor([170, 0, 85], 0.75));
    expect(colors(new Uint32Array(25).fill(3), STYLES, 2)[12]).toBe(packedColor([85, 0, 170], 0.75));
  });

  it("of bits leave hidden segments out, the sign bit is one like any other", () => {
    const hidden = [STYLES[0], { ...STYLES[1], visible: false }];
    expect(colors(Uint32Array.from(square(2, 3)), hidden)).toEqual(colors(Uint8Array.from(square(0, 1)), hidden));
    const last = [{ ...STYLES[0], value: 32 }];
    expect(colors(new Uint32Array(25).fill(2 ** 31), last, 32)).toEqual(colors(new Uint8Array(25).fill(1), STYLES, 1));
  });
});
