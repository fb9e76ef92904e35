/** What came in at the site, as the operator looks at it: five lists, each fetched in pages, all made of the same lines. */

import * as calls from "../../api/calls";
import type { HeldInstance, Incomplete, Rejection, StudyRow, WithdrawnStudy } from "../../api/types";
import { several, stamp, timeOf } from "../../app/format";
import type { LoadPage } from "../../app/windowed";
import { rejectedWords } from "../../app/words";

export type Tab = "received" | "incomplete" | "rejected" | "quarantined" | "withdrawn";
export const TABS: readonly { tab: Tab; label: string }[] = [
  { tab: "received", label: "Received" },
  { tab: "incomplete", label: "Incomplete" },
  { tab: "rejected", label: "Rejected" },
  { tab: "quarantined", label: "Quarantined" },
  { tab: "withdrawn", label: "Withdrawn" },
];

/** One line of any of the lists. */
export interface Line {
  key: string;
  studyKey: string;
  /** Seconds since 1970; null where it is not known. */
  at: number | null;
  why: string;
  detail: string;
  state: string;
  instances: number | null;
  heldId: string | null;
}

const STATE: Record<StudyRow["state"], string> = {
  held: "held for a person",
  receiving: "receiving",
  ingested: "ingested",
  rejected: "rejected",
};

const INCOMPLETE: Record<Incomplete, string> = {
  "quiet-time": "waits in case more comes",
  sending: "is being sent",
  "broken-off": "sending broke off",
  "being-formed": "cases are being formed",
  "forming-failed": "forming failed; it is tried again",
};

const WITHDRAWN: Record<string, string> = {
  retention: "kept as long as it may be",
  consent: "consent was withdrawn",
  "sent-in-error": "sent in error",
  identifiable: "a person can be recognised in it",
};

export function studyLine(study: StudyRow): Line {
  const refused = study.reasons.map(rejectedWords).join(", ");
  const cases = study.cases ? several(study.cases, "case") : "";
  const held = study.held ? `${several(study.held, "instance")} held` : "";
  const until = timeOf(study.formed_after);
  return {
    key: study.study_key,
    studyKey: study.study_key,
    at: study.received_at,
    why: study.incomplete ? INCOMPLETE[study.incomplete] : refused || cases || held || "",
    detail: study.incomplete
      ? until
        ? `formed after ${stamp(until)} by itself`
        : ""
      : [refused && cases, held !== "" && (refused || cases) ? held : ""].filter(Boolean).join("; "),
    state: STATE[study.state] ?? study.state,
    instances: study.instances,
    heldId: null,
  };
}

export function rejectionLine(one: Rejection): Line {
  return {
    key: one.rejection_id,
    studyKey: one.study_key,
    at: one.at || null,
    why: rejectedWords(one.reason),
    detail: one.detail,
    state: one.said ? "" : "not announced yet",
    instances: one.instance_count,
    heldId: null,
  };
}

export function heldLine(one: HeldInstance): Line {
  return {
    key: one.id,
    studyKey: one.study_key,
    at: one.at,
    why: rejectedWords(one.reason),
    detail: one.detail,
    state: one.proposed_by ? `${one.proposed_by} proposed it; waits for a second person` : "waits for a person",
    instances: 1,
    heldId: one.id,
  };
}

export function withdrawnLine(one: WithdrawnStudy): Line {
  return {
    key: one.study_key,
    studyKey: one.study_key,
    at: one.at,
    why: WITHDRAWN[one.reason] ?? one.reason,
    detail: "",
    state: one.emptied ? "deleted" : "being deleted",
    instances: null,
    heldId: null,
  };
}

/** How a list is fetched. */
export function pagesOf(tab: Tab, search: string): LoadPage<Line> {
  return async (offset, limit, signal) => {
    const wanted = { search, offset, limit };
    switch (tab) {
      case "received": {
        const { total, studies } = await calls.studies(wanted, signal);
        return { total, rows: studies.map(studyLine) };
      }
      case "incomplete": {
        const { total, studies } = await calls.studies({ ...wanted, state: "receiving" }, signal);
        return { total, rows: studies.map(studyLine) };
      }
      case "rejected": {
        const { total, rejections } = await calls.rejections(wanted, signal);
        return { total, rows: rejections.map(rejectionLine) };
      }
      case "quarantined": {
        const { total, quarantine } = await calls.quarantine(wanted, signal);
        return { total, rows: quarantine.map(heldLine) };
      }
      case "withdrawn": {
        const { total, withdrawn } = await calls.withdrawn(wanted, signal);
        return { total, rows: withdrawn.map(withdrawnLine) };
      }
    }
  };
}
