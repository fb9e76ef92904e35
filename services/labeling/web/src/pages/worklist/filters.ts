/** What of the worklist is looked at, and in which order; kept for as long as the browser's tab. */

import type { WorklistQuery } from "../../api/calls";

export type SortName = "urgency" | "age" | "score" | "state" | "round" | "case";

export interface Filters {
  scope: "mine" | "team";
  states: StatesName;
  reason: string;
  reading: string;
  search: string;
  sort: SortName;
  descending: boolean;
}

export type StatesName = "to-do" | "submitted" | "approved" | "skipped" | "closed" | "all";

/** Groups of states that people ask for. */
export const STATES: Record<StatesName, { label: string; states: string }> = {
  "to-do": { label: "To do", states: "open,leased,returned" },
  submitted: { label: "Submitted", states: "submitted" },
  approved: { label: "Approved", states: "approved" },
  skipped: { label: "Skipped", states: "skipped" },
  closed: { label: "Superseded, cancelled", states: "superseded,cancelled" },
  all: { label: "All states", states: "" },
};

export const AT_FIRST: Filters = {
  scope: "mine",
  states: "to-do",
  reason: "",
  reading: "",
  search: "",
  sort: "urgency",
  descending: false,
};

export function queryOf(project: string, filters: Filters): WorklistQuery {
  return {
    project_id: project,
    scope: filters.scope,
    state: STATES[filters.states].states,
    reason: filters.reason,
    reading: filters.reading,
    search: filters.search.trim(),
    sort: filters.sort,
    descending: filters.descending,
  };
}

/** Whether anything is left out that the first look shows; the scope and the order leave nothing out. */
export function isNarrowed(filters: Filters): boolean {
  return filters.states !== AT_FIRST.states || !!filters.reason || !!filters.reading || !!filters.search.trim();
}

/** Sort by a column: a second time turns it round. The most of a score comes first. */
export function sortedBy(filters: Filters, sort: SortName): Filters {
  const first = sort === "score";
  return { ...filters, sort, descending: filters.sort === sort ? !filters.descending : first };
}

const name = (project: string) => `radloop.worklist.${project}`;

export function keptFilters(project: string): Filters {
  try {
    const found = JSON.parse(sessionStorage.getItem(name(project)) ?? "{}") as Partial<Filters>;
    const merged = { ...AT_FIRST, ...found };
    return merged.states in STATES ? merged : AT_FIRST;
  } catch {
    return AT_FIRST;
  }
}

export function keepFilters(project: string, filters: Filters): void {
  try {
    sessionStorage.setItem(name(project), JSON.stringify(filters));
  } catch {
    // Not kept; nothing depends on it.
  }
}
