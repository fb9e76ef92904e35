import { describe, expect, it } from "vitest";

import type { Me } from "../api/types";
import { firstProject, mayIn, rolesIn } from "./people";
import { hashOf, parseRoute, type Route } from "./route";

describe("addresses", () => {
  const routes: Route[] = [
    { page: "home" },
    { page: "worklist", project: "lung nodules/2" },
    { page: "task", task: "7f1" },
    { page: "reviews", project: "lung" },
    { page: "review", review: "r-1" },
    { page: "instructions", project: "lung" },
    { page: "instructions", project: "lung", version: 3 },
    { page: "operator" },
    { page: "audit" },
  ];
  it.each(routes)("are read as they are written: $page", (route) => {
    expect(parseRoute(hashOf(route))).toEqual(route);
  });
  it("take what people type", () => {
    expect([parseRoute(""), parseRoute("#"), parseRoute("#/")].map((route) => route.page)).toEqual(["home", "home", "home"]);
    expect(parseRoute("#/operator/")).toEqual({ page: "operator" });
  });
  it.each(["#/worklist", "#/task/", "#/nowhere", "#/operator/x", "#/instructions/lung/zero"])(
    "that lead nowhere are said to: %s",
    (hash) => expect(parseRoute(hash).page).toBe("unknown"),
  );
  it("that are no good percent encoding are taken as they are", () => {
    expect(parseRoute("#/worklist/%E0%A4%A")).toEqual({ page: "worklist", project: "%E0%A4%A" });
  });
});

describe("roles", () => {
  const me = (site: Me["roles"]["*"], lung: Me["roles"]["*"]): Me => ({
    subject: "ann", name: "Ann", pseudonym: "p", sign_in: "token",
    roles: { "*": site, lung }, projects: [{ project_id: "lung", project_version: 1, roles: [...site, ...lung] }],
  });
  it("of a project count those of the site in, each once", () => {
    expect(rolesIn(me(["auditor"], ["reader"]), "lung")).toEqual(["reader", "auditor"]);
    expect(rolesIn(me(["auditor"], ["reader"]), "brain")).toEqual(["auditor"]);
  });
  it("show a reader the worklist only", () => {
    expect(mayIn(me([], ["reader"]), "lung")).toEqual({
      read: true, oversee: false, decide: false, nameGold: false, operate: false, administer: false, audit: false,
    });
  });
  it("let an auditor look and change nothing", () => {
    expect(mayIn(me(["auditor"], []), "lung")).toEqual({
      read: false, oversee: true, decide: false, nameGold: false, operate: true, administer: false, audit: true,
    });
  });
  it("let a lead of the project name gold cases, and no reviewer", () => {
    expect([mayIn(me([], ["project-lead"]), "lung"), mayIn(me([], ["reviewer"]), "lung")].map((may) => may.nameGold)).toEqual([true, false]);
  });
  it("do not give the site to the administrator of a project", () => {
    expect(mayIn(me([], ["site-admin"]), "lung")).toMatchObject({ operate: false, administer: false, audit: false });
  });
  it("begin with the project used last, while there is one", () => {
    expect([firstProject(me([], ["reader"]), "lung"), firstProject(me([], ["reader"]), "gone")]).toEqual(["lung", "lung"]);
    expect(firstProject({ ...me([], []), projects: [] }, "lung")).toBeNull();
  });
});
