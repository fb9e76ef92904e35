/** What came in at the site, as the operator looks at it: four lists, searched and in order of time. */

import type { HeldInstance, Rejection, StudyRow } from "../../api/types";
import { rejectedWords } from "../../app/words";

export type Tab = "received" | "incomplete" | "rejected" | "quarantined";
export const TABS: readonly { tab: Tab; label: string }[] = [
  { tab: "received", label: "Received" },
  { tab: "incomplete", label: "Incomplete" },
  { tab: "rejected", label: "Rejected" },
  { tab: "quarantined", label: "Quarantined" },
];

/** One line of any of the lists. */
export interface Line {
  key: string;
  studyKey: string;
  seriesKey: string;
  /** Seconds since 1970; null where the service does not say. */
  at: number | null;
  why: string;
  detail: string;
  state: string;
  instances: number | null;
  heldId: string | null;
}

const STATE_WORDS: Record<StudyRow["state"], string> = {
  held: "held for a person",
  receiving: "receiving",
  ingested: "ingested",
  rejected: "rejected",
};

function studyLine(study: StudyRow): Line {
  return {
    key: study.study_key,
    studyKey: study.study_key,
    seriesKey: "",
    at: study.received_at,
    why: study.waiting ? "waits for more to come" : "",
    detail: "",
    state: STATE_WORDS[study.state] ?? study.state,
    instances: study.instances,
    heldId: null,
  };
}

export function linesOf(tab: Tab, found: { studies: StudyRow[]; rejections: Rejection[]; quarantine: HeldInstance[] }): Line[] {
  switch (tab) {
    case "received":
      return newestFirst(found.studies.map(studyLine));
    case "incomplete":
      return newestFirst(found.studies.filter((study) => study.waiting || study.state === "receiving").map(studyLine));
    case "rejected":
      return found.rejections.map((one) => ({
        key: one.rejection_id,
        studyKey: one.study_key,
        seriesKey: one.series_key,
        at: one.at ?? null,
        why: rejectedWords(one.reason),
        detail: one.detail,
        state: "",
        instances: one.instance_count,
        heldId: null,
      }));
    case "quarantined":
      return newestFirst(
        found.quarantine.map((one) => ({
          key: one.id,
          studyKey: one.study_key,
          seriesKey: one.series_key,
          at: one.at,
          why: rejectedWords(one.reason),
          detail: one.detail,
          state: "",
          instances: 1,
          heldId: one.id,
        })),
      );
  }
}

function newestFirst(lines: Line[]): Line[] {
  return lines.toSorted((a, b) => (b.at ?? 0) - (a.at ?? 0));
}

/** Lines in which every word stands somewhere. */
export function searched(lines: readonly Line[], text: string): readonly Line[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return lines;
  return lines.filter((line) => {
    const all = [line.studyKey, line.seriesKey, line.why, line.detail, line.state].join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

const PAGE = 1000;
/** Studies looked at, at most; more make a page slow, and nobody reads them. */
export const MOST_STUDIES = 20_000;

/** Fetch the studies page by page, in order of key, up to a bound. */
export async function allStudies(page: (after: string, limit: number) => Promise<StudyRow[]>): Promise<StudyRow[]> {
  const found: StudyRow[] = [];
  for (;;) {
    const rows = await page(found.at(-1)?.study_key ?? "", PAGE);
    found.push(...rows);
    if (rows.length < PAGE || found.length >= MOST_STUDIES) return found;
  }
}
