import { describe, expect, it } from "vitest";

import { AT_FIRST, isNarrowed, queryOf, sortedBy } from "./filters";

describe("the worklist's filters", () => {
  it("are asked for as the service names them", () => {
    expect(queryOf("lung", { ...AT_FIRST, search: "  0b29 ", reason: "uncertain" })).toEqual({
      project_id: "lung", scope: "mine", state: "open,leased,returned", reason: "uncertain", reading: "",
      search: "0b29", sort: "urgency", descending: false,
    });
    expect(queryOf("lung", { ...AT_FIRST, states: "all" }).state).toBe("");
  });
  it("turn round when a column is asked for again, and begin with the highest score", () => {
    const byScore = sortedBy(AT_FIRST, "score");
    expect([byScore.sort, byScore.descending, sortedBy(byScore, "score").descending]).toEqual(["score", true, false]);
    expect(sortedBy(byScore, "age")).toMatchObject({ sort: "age", descending: false });
  });
  it("know when they leave something out", () => {
    expect([AT_FIRST, { ...AT_FIRST, scope: "team" as const }, { ...AT_FIRST, search: " " }].map(isNarrowed)).toEqual([
      false, false, false,
    ]);
    expect([{ ...AT_FIRST, search: "x" }, { ...AT_FIRST, states: "all" as const }].map(isNarrowed)).toEqual([true, true]);
  });
});
