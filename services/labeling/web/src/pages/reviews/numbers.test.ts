import { describe, expect, it } from "vitest";

import type { ReviewedLabel } from "../../api/types";
import { decisionsIn, findingSentence, meanModelDice, newestLabels, reviewAfter, segmentNumbers } from "./numbers";

const label = (more: Partial<ReviewedLabel>): ReviewedLabel => ({
  label_version_id: "l", task_id: "t", reader: "p", source: "reader", reading: "first", attempt: 1, outcome: "checked",
  returned_for: [], comment: "", findings: [], prediction_dice: {}, agreement: {}, mean_agreement: null, ...more,
});

describe("numbers of a review", () => {
  const one = label({
    agreement: { "dice-segment-2": 0.8, "surface-distance-95-segment-2-mm": 3.5, "dice-segment-10": 1, other: 4 },
    prediction_dice: { "dice-segment-2": 0.6, "dice-segment-1": 0.2 },
  });
  it("stand by segment, in the order of their values", () => {
    expect(segmentNumbers(one)).toEqual([
      { segment: 1, dice: null, surfaceMm: null, modelDice: 0.2 },
      { segment: 2, dice: 0.8, surfaceMm: 3.5, modelDice: 0.6 },
      { segment: 10, dice: 1, surfaceMm: null, modelDice: null },
    ]);
  });
  it("have a mean with the model only where something was compared", () => {
    expect(meanModelDice(one)).toBeCloseTo(0.4);
    expect(meanModelDice(label({}))).toBeNull();
  });
});

it("findings are sentences", () => {
  const nameOf = (segment: number) => ({ 1: "liver", 2: "tumour" })[segment] ?? String(segment);
  expect(
    findingSentence({ reason: "stray-component", severity: "doubt", segment: 2, numbers: { components: 3, "gap-mm": 12.5 } }, nameOf),
  ).toBe("stray piece in tumour: components 3, gap 12.5 mm");
  expect(findingSentence({ reason: "swapped-segments", severity: "return", segment: 1, numbers: { "other-segment": 2 } }, nameOf)).toBe(
    "segments swapped in liver: other segment tumour",
  );
  expect(findingSentence({ reason: "empty", severity: "return", segment: 0, numbers: {} }, nameOf)).toBe("empty");
});

it("what is decided on is the newest label of each task", () => {
  const labels = [
    label({ label_version_id: "a1" }), label({ label_version_id: "a2", attempt: 2 }), label({ label_version_id: "b", task_id: "u" }),
    label({ label_version_id: "import-1", task_id: "" }), label({ label_version_id: "import-2", task_id: "" }),
  ];
  expect(newestLabels(labels).map((one) => one.label_version_id)).toEqual(["a2", "b", "import-1", "import-2"]);
});

it("the next review goes round the queue", () => {
  expect(reviewAfter(["a", "b", "c"], "c", 1)).toBe("a");
  expect(reviewAfter(["a", "b", "c"], "a", -1)).toBe("c");
  expect(reviewAfter(["a", "b"], "gone", 1)).toBe("a");
  expect(reviewAfter(["a"], "a", 1)).toBeNull();
  expect(reviewAfter([], "a", 1)).toBeNull();
});

it("a review is decided on where QA lets a reviewer", () => {
  expect(decisionsIn("held-for-reviewer")).toEqual({ accept: true, sendBack: true });
  expect(decisionsIn("returned")).toEqual({ accept: true, sendBack: false });
  expect(["checking", "approved", "cancelled"].map((state) => decisionsIn(state).accept)).toEqual([false, false, false]);
});
