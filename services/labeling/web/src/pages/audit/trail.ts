/**
 * The newest part of an audit trail that can only be read forwards from an id.
 *
 * Every reading of the trail is an entry of it, so it is read in few, large pages, and only when somebody asks.
 */

import type { AuditEntry } from "../../api/types";

export type AskTrail = (after: number, limit: number) => Promise<{ entries: AuditEntry[]; next: number | null }>;

/** Ids looked at in one go. */
export const STRETCH = 5000;
/** The most that a service answers at a time. */
const MOST = 10_000;
const PROBE = 10;

export interface Trail {
  /** In order of id. */
  entries: AuditEntry[];
  /** Nothing up to this id was read; 0 when all was. */
  from: number;
}

/** Read the end of the trail: all of a short one, else about the last `STRETCH` entries. */
export async function newestOf(ask: AskTrail): Promise<Trail> {
  const first = await ask(0, STRETCH);
  if (first.next === null) return { entries: first.entries, from: 0 };
  const end = await endBehind(ask, first.next);
  const from = Math.max(0, end - STRETCH);
  // What was asked meanwhile came behind the end.
  return { entries: (await ask(from, MOST)).entries, from };
}

/** An id at or a little behind that of the last entry; there is one behind `known`. */
async function endBehind(ask: AskTrail, known: number): Promise<number> {
  let low = known;
  let high = Infinity;
  let step = STRETCH;
  while (high - low > STRETCH / 2) {
    const middle = high === Infinity ? low + step : Math.floor((low + high) / 2);
    step *= 2;
    const { entries, next } = await ask(middle, PROBE);
    const last = entries.at(-1);
    if (!last) high = middle;
    else if (next === null) return last.id;
    else low = last.id;
  }
  return high;
}

/** Read the stretch before what was read. */
export async function olderThan(ask: AskTrail, trail: Trail): Promise<Trail> {
  const from = Math.max(0, trail.from - STRETCH);
  const { entries } = await ask(from, STRETCH);
  return { entries: [...entries.filter((entry) => entry.id <= trail.from), ...trail.entries], from };
}

/** Read what came since. */
export async function newerThan(ask: AskTrail, trail: Trail): Promise<Trail> {
  const { entries } = await ask(trail.entries.at(-1)?.id ?? trail.from, MOST);
  return { ...trail, entries: [...trail.entries, ...entries] };
}

/** Newest first, those in which every word stands. */
export function shownOf(trail: Trail, text: string): AuditEntry[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length
    ? trail.entries.filter((entry) => {
        const all = `${entry.subject} ${entry.action} ${entry.target} ${entry.at}`.toLowerCase();
        return words.every((word) => all.includes(word));
      })
    : trail.entries;
  return found.toReversed();
}

/** The whole trail as one CSV: the heading of each page but the first is left out. */
export async function wholeCsv(
  page: (after: number, limit: number) => Promise<{ text: string; next: number | null }>,
): Promise<string[]> {
  const parts: string[] = [];
  for (let after = 0; ; ) {
    const { text, next } = await page(after, MOST);
    parts.push(parts.length ? text.slice(text.indexOf("\n") + 1) : text);
    if (next === null) return parts;
    after = next;
  }
}
