/** The numbers of a review by segment: QA names them `dice-segment-2` and `surface-distance-95-segment-2-mm`. */

import type { ReviewedLabel } from "../../api/types";
import { findingWords, numberWords } from "../../app/words";

export interface SegmentNumbers {
  segment: number;
  /** Dice with the other reader. */
  dice: number | null;
  /** 95th percentile of the surface distance to the other reader, mm. */
  surfaceMm: number | null;
  /** Dice with the model's prediction. */
  modelDice: number | null;
}

const SEGMENT = /^(dice|surface-distance-95)-segment-(\d+)(?:-mm)?$/;

export function segmentNumbers(label: Pick<ReviewedLabel, "agreement" | "prediction_dice">): SegmentNumbers[] {
  const rows = new Map<number, SegmentNumbers>();
  const rowOf = (segment: number) => {
    const row = rows.get(segment) ?? { segment, dice: null, surfaceMm: null, modelDice: null };
    rows.set(segment, row);
    return row;
  };
  for (const [name, value] of Object.entries(label.agreement)) {
    const found = SEGMENT.exec(name);
    if (!found) continue;
    const row = rowOf(Number(found[2]));
    if (found[1] === "dice") row.dice = value;
    else row.surfaceMm = value;
  }
  for (const [name, value] of Object.entries(label.prediction_dice)) {
    const found = SEGMENT.exec(name);
    if (found?.[1] === "dice") rowOf(Number(found[2])).modelDice = value;
  }
  return [...rows.values()].sort((a, b) => a.segment - b.segment);
}

/** Mean of the Dice with the model over segments; null where nothing was compared. */
export function meanModelDice(label: Pick<ReviewedLabel, "agreement" | "prediction_dice">): number | null {
  const values = segmentNumbers(label)
    .map((row) => row.modelDice)
    .filter((value) => value !== null);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

/** A finding in words: "stray piece in left hippocampus: components 3, volume share 6.1 %". */
export function findingSentence(finding: ReviewedLabel["findings"][number], nameOf: (segment: number) => string): string {
  const where = finding.segment ? ` in ${nameOf(finding.segment)}` : "";
  const numbers = Object.entries(finding.numbers).map(([name, value]) =>
    name === "other-segment" ? `other segment ${nameOf(value)}` : numberWords(name, value),
  );
  return `${findingWords(finding.reason)}${where}${numbers.length ? `: ${numbers.join(", ")}` : ""}`;
}

/** Colours that tell readers apart, also without red and green (Okabe and Ito); the model's own is the viewer's. */
const COLORS = ["#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#d55e00", "#0072b2"];
export const colorOf = (at: number): string => COLORS[at % COLORS.length];

/** The newest label of each task is what is decided on; older attempts are history. */
export function newestLabels(labels: readonly ReviewedLabel[]): ReviewedLabel[] {
  const newest = new Map<string, ReviewedLabel>();
  for (const label of labels) {
    const key = label.task_id || label.label_version_id;
    const known = newest.get(key);
    if (!known || label.attempt >= known.attempt) newest.set(key, label);
  }
  return [...newest.values()];
}

/** What a reviewer may do with a review in this state, as QA's table of states says. */
export function decisionsIn(state: string): { accept: boolean; sendBack: boolean } {
  const sendBack = ["held-for-reviewer", "awaiting-second", "awaiting-adjudication"].includes(state);
  return { accept: sendBack || state === "returned", sendBack };
}

/** The review after one in a queue, round the end; null when there is no other. */
export function reviewAfter(queue: readonly string[], current: string, step: 1 | -1): string | null {
  const others = queue.filter((id) => id !== current);
  if (!others.length) return null;
  const at = queue.indexOf(current);
  if (at < 0) return step === 1 ? others[0] : others[others.length - 1];
  return queue[(at + step + queue.length) % queue.length];
}
