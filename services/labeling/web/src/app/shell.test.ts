import { describe, expect, it } from "vitest";

import { placesOf } from "./Shell";

describe("where one may go", () => {
  const nobody = { oversee: false, operate: false, audit: false };
  const labels = (...of: Parameters<typeof placesOf>) => placesOf(...of).map((place) => place.label);
  it("is the worklist for a reader, and all for who oversees the site", () => {
    expect(labels({ page: "home" }, "lung", nobody)).toEqual(["Worklist"]);
    expect(labels({ page: "home" }, "lung", { oversee: true, operate: true, audit: true })).toEqual([
      "Worklist", "Reviews", "Operator", "Audit",
    ]);
  });
  it("is nowhere of a project without one", () => {
    expect(labels({ page: "home" }, null, { oversee: true, operate: true, audit: false })).toEqual(["Operator"]);
  });
  it("says where one is, on a task and on a review, too", () => {
    const current = (route: Parameters<typeof placesOf>[0]) =>
      placesOf(route, "lung", { ...nobody, oversee: true }).filter((place) => place.current).map((place) => place.label);
    expect([current({ page: "task", task: "t" }), current({ page: "review", review: "r" }), current({ page: "audit" })]).toEqual([
      ["Worklist"], ["Reviews"], [],
    ]);
  });
});
