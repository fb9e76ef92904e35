/** What a person may do, from their roles. The services decide; this only hides what they would refuse. */

import type { Me, RoleName } from "../api/types";

/** Roles of a person in a project, those for the whole site counted in. */
export function rolesIn(me: Me, projectId: string | null): RoleName[] {
  const project = me.projects.find((one) => one.project_id === projectId);
  const all = [...(me.roles["*"] ?? []), ...(project?.roles ?? []), ...((projectId && me.roles[projectId]) || [])];
  return ORDER.filter((role) => all.includes(role));
}

const ORDER: readonly RoleName[] = ["reader", "reviewer", "project-lead", "site-admin", "auditor"];

export interface May {
  /** Be handed a case. */
  read: boolean;
  /** See the tasks and labels of others. */
  oversee: boolean;
  /** Accept and return labels. */
  decide: boolean;
  /** Say by which cases readers are measured. */
  nameGold: boolean;
  /** See what came in at the site. */
  operate: boolean;
  /** Change what came in at the site. */
  administer: boolean;
  audit: boolean;
}

export function mayIn(me: Me, projectId: string | null): May {
  const here = rolesIn(me, projectId);
  const site = me.roles["*"] ?? [];
  const any = (held: readonly RoleName[], ...wanted: RoleName[]) => wanted.some((role) => held.includes(role));
  return {
    read: any(here, "reader", "reviewer"),
    oversee: any(here, "reviewer", "project-lead", "site-admin", "auditor"),
    decide: any(here, "reviewer", "project-lead"),
    nameGold: any(here, "project-lead", "site-admin"),
    operate: any(site, "site-admin", "auditor"),
    administer: any(site, "site-admin"),
    audit: any(site, "site-admin", "auditor"),
  };
}

/** The project to begin with: the one used last, if the person still has a role in it, else their first. */
export function firstProject(me: Me, last: string | null): string | null {
  if (last && me.projects.some((project) => project.project_id === last)) return last;
  return me.projects[0]?.project_id ?? null;
}
