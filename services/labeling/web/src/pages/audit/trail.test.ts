import { describe, expect, it } from "vitest";

import type { AuditEntry } from "../../api/types";
import { type AskTrail, newerThan, newestOf, olderThan, shownOf, STRETCH, wholeCsv } from "./trail";

const entry = (id: number, more: Partial<AuditEntry> = {}): AuditEntry => ({
  id, at: "2026-03-05T12:00:00.000+00:00", subject: "ann", action: "task-viewed", target: `t-${id}`, ...more,
});

/** A trail of entries with these ids, which grows by one with each reading, as the service's does. */
function kept(ids: number[]) {
  let asked = 0;
  const ask: AskTrail = async (after, limit) => {
    asked++;
    const found = ids.filter((id) => id > after).slice(0, limit + 1).map((id) => entry(id));
    ids.push(ids.at(-1)! + 1);
    return { entries: found.slice(0, limit), next: found.length > limit ? found[limit - 1].id : null };
  };
  return { ask, asked: () => asked };
}
const upTo = (last: number, step = 1) => Array.from({ length: Math.floor(last / step) }, (_, at) => (at + 1) * step);

describe("the end of an audit trail", () => {
  it("of few entries is all of them, read once", async () => {
    const { ask, asked } = kept(upTo(120));
    const trail = await newestOf(ask);
    expect([trail.entries.length, trail.from, asked()]).toEqual([120, 0, 1]);
  });
  it.each([[7000, 1], [250_000, 1], [1_000_000, 7], [STRETCH + 1, 1]])(
    "of ids up to %i in steps of %i is found with few readings",
    async (last, step) => {
      const ids = upTo(last, step);
      const before = ids.at(-1)!;
      const { ask, asked } = kept(ids);
      const trail = await newestOf(ask);
      expect(trail.entries.some((one) => one.id === before)).toBe(true);
      expect(trail.entries.length).toBeGreaterThan(300);
      expect(trail.from).toBeGreaterThan(0);
      expect(asked()).toBeLessThan(24);
    },
  );
  it("goes back without a gap or a double", async () => {
    const { ask } = kept(upTo(12_000));
    let trail = await newestOf(ask);
    while (trail.from > 0) trail = await olderThan(ask, trail);
    const ids = trail.entries.map((one) => one.id);
    expect(ids.slice(0, 12_000)).toEqual(upTo(12_000));
    expect(new Set(ids).size).toBe(ids.length);
  });
  it("goes on where it ended", async () => {
    const { ask } = kept(upTo(5));
    const trail = await newerThan(ask, await newestOf(ask));
    expect(trail.entries.map((one) => one.id)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

it("is shown newest first and searched by every word", () => {
  const trail = { from: 0, entries: [entry(1), entry(2, { subject: "bob", action: "label-exported-nifti" }), entry(3)] };
  expect(shownOf(trail, "").map((one) => one.id)).toEqual([3, 2, 1]);
  expect(shownOf(trail, "Bob export").map((one) => one.id)).toEqual([2]);
  expect(shownOf(trail, "bob viewed")).toEqual([]);
});

it("is exported with one heading", async () => {
  const pages = [{ text: "id,at\r\n1,a\r\n", next: 1 }, { text: "id,at\r\n2,b\r\n", next: null }];
  const asked: number[] = [];
  const parts = await wholeCsv(async (after) => {
    asked.push(after);
    return pages.shift()!;
  });
  expect([parts.join(""), asked]).toEqual(["id,at\r\n1,a\r\n2,b\r\n", [0, 1]]);
});
