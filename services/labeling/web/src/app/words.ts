/** The platform's codes in the words of the field. A code that is not known here is shown as it is, with its hyphens gone. */

import { measured } from "./format";

type Words = Record<string, string>;

/** `random` is missing on purpose: it would tell a reader the arm. */
const FLAGGED: Words = {
  "failed-prediction": "the model gave no answer",
  "empty-prediction": "the model found nothing",
  components: "scattered pieces",
  "volume-outlier": "unusual volume",
  uncertain: "the model is unsure",
  reported: "reported by a reader",
};
const HIDDEN = new Set(["random"]);

/** Why a label went back, or what a check noticed. */
const FINDING: Words = {
  empty: "empty",
  geometry: "not in the image's geometry",
  "missing-segment": "segment missing",
  "stray-component": "stray piece",
  holes: "holes",
  "volume-outlier": "unusual volume",
  "swapped-segments": "segments swapped",
  displaced: "displaced",
  disagreement: "the readers disagree",
  "unknown-value": "value the project does not know",
  reviewer: "reviewer's comment",
};

const TASK_STATE: Words = {
  open: "open",
  leased: "being read",
  submitted: "submitted",
  returned: "returned",
  approved: "approved",
  skipped: "skipped",
  superseded: "superseded",
  cancelled: "cancelled",
};

const REVIEW_STATE: Words = {
  "held-for-reviewer": "for a reviewer",
  "awaiting-adjudication": "awaiting adjudication",
  "awaiting-second": "awaiting second reading",
  checking: "being checked",
  returned: "returned",
  approved: "approved",
  cancelled: "cancelled",
  "awaiting-gold": "gold case, being read",
  "gold-scored": "gold case, scored",
};

const DOUBT: Words = {
  drawn: "drawn to be read twice",
  finding: "a check noticed something",
  "low-dice": "differs from the model more than usual",
  insisted: "submitted again unchanged",
  "sent-back": "a reviewer had sent it back",
  disagreement: "two readers differ",
  unreadable: "could not be compared",
};

const READING: Words = { first: "first", second: "second", adjudication: "adjudication", none: "import" };

const OUTCOME: Words = {
  checking: "being checked",
  checked: "passed the checks",
  returned: "returned",
  approved: "accepted",
  supported: "agrees with the accepted label",
  overruled: "another label was accepted",
  unneeded: "came after the decision",
};

const REJECTED: Words = {
  "not-dicom": "not DICOM",
  truncated: "file cut short",
  "no-pixel-data": "no pixel data",
  undecodable: "pixels cannot be decoded",
  "mixed-sizes": "slices of different sizes",
  "missing-slices": "slices missing",
  "duplicate-slices": "slices twice",
  "uneven-spacing": "uneven spacing",
  tilted: "tilted gantry",
  "unequal-phases": "phases of unequal length",
  "no-project": "no project wants it",
  "pixels-differ": "same UID, other pixels",
  "burned-in-text": "may carry burned-in text",
  withdrawn: "withdrawn before",
  unsupported: "not supported",
};

const TURNED_AWAY: Words = {
  "unknown-sender": "unknown AE title",
  "too-many": "too many at a time",
  "too-large": "object too large",
  "too-slow": "too slow",
};

const ROLE: Words = {
  reader: "reader",
  reviewer: "reviewer",
  "project-lead": "project lead",
  "site-admin": "site admin",
  auditor: "auditor",
};

const from = (words: Words) => (code: string) => words[code] ?? code.replaceAll("-", " ");

export const findingWords = from(FINDING);
export const taskStateWords = from(TASK_STATE);
export const reviewStateWords = from(REVIEW_STATE);
export const doubtWords = from(DOUBT);
export const readingWords = from(READING);
export const outcomeWords = from(OUTCOME);
export const rejectedWords = from(REJECTED);
export const turnedAwayWords = from(TURNED_AWAY);
export const roleWords = from(ROLE);
export const actionWords = (code: string) => code.replaceAll("-", " ");

export const FLAG_REASONS = Object.keys(FLAGGED);
export const RETURN_REASONS = Object.keys(FINDING);

const flagWords = from(FLAGGED);
export { flagWords };

/** Why a case is here, for a reader: never what would tell the arm. */
export function whyWords(reasons: readonly string[]): string[] {
  return reasons.filter((reason) => !HIDDEN.has(reason)).map(flagWords);
}

const UNITS = new Set(["ml", "mm", "s", "nats"]);

/** A named number as QA writes it: "volume-ml" 3.21 is "volume 3.21 ml"; a share of 1 is shown in per cent. */
export function numberWords(name: string, value: number): string {
  const parts = name.split("-");
  const last = parts.at(-1) ?? "";
  if (last === "share") return `${parts.join(" ")} ${measured(100 * value)} %`;
  const unit = parts.length > 1 && UNITS.has(last) ? parts.pop() : undefined;
  return [parts.join(" "), measured(value), unit].filter(Boolean).join(" ");
}
