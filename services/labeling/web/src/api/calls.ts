/** The calls the pages make, one function each. */

import { addressOf, ask, bytes, json, query } from "./http";
import type {
  Doubt, Frames, LabelMade, Me, ProjectSegments, Task, Version, WorklistRow,
} from "./types";

const labeling = (path: string) => addressOf("labeling", path);
const task = (taskId: string, rest = "") => labeling(`/v1/tasks/${encodeURIComponent(taskId)}${rest}`);

export const me = () => json<Me>(labeling("/v1/me"));
export const signOut = () => json<{ location: string }>(labeling("/session/sign-out"), { method: "POST" });
export const refreshSession = () => ask(labeling("/session/refresh"), { method: "POST" });

export interface WorklistQuery {
  project_id: string;
  scope?: "mine" | "team" | "all";
  state?: string;
  reason?: string;
  reading?: string;
  search?: string;
  sort?: string;
  descending?: boolean;
  offset?: number;
  limit?: number;
}
export const worklist = (wanted: WorklistQuery, signal?: AbortSignal) =>
  json<{ total: number; tasks: WorklistRow[] }>(labeling(`/v1/worklist${query({ ...wanted })}`), { signal });

export const segments = (projectId: string) =>
  json<ProjectSegments>(labeling(`/v1/projects/${encodeURIComponent(projectId)}/segments`));
export const instructions = (projectId: string, version?: number) =>
  json<{ project_id: string; project_version: number; instructions: string }>(
    labeling(`/v1/projects/${encodeURIComponent(projectId)}/instructions${query({ version })}`),
  );

export const getTask = (taskId: string) => json<Task>(task(taskId));
export const nextTask = (projectId: string) =>
  json<Task | undefined>(labeling("/v1/tasks/next"), { method: "POST", json: { project_id: projectId } });
export const takeTask = (taskId: string) => json<Task>(task(taskId, "/lease"), { method: "POST" });
export const renewLease = (taskId: string, leaseId: string) =>
  json<Task>(task(taskId, "/lease"), { method: "PUT", json: { lease_id: leaseId } });
export const releaseLease = (taskId: string, leaseId: string) =>
  ask(task(taskId, `/lease${query({ lease_id: leaseId })}`), { method: "DELETE" });
export const skipTask = (taskId: string, leaseId: string, reason: string, note: string) =>
  json<{ state: string }>(task(taskId, "/skip"), { method: "POST", json: { lease_id: leaseId, reason, note } });

export const frames = (taskId: string, phase?: number) => json<Frames>(task(taskId, `/frames${query({ phase })}`));
export const caseFrames = (caseId: string) =>
  json<Frames>(labeling(`/v1/cases/${encodeURIComponent(caseId)}/frames`));
export const channelImage = (taskId: string, channel: number) =>
  bytes(task(taskId, `/image${query({ channel, format: "raw" })}`));
export const proposal = (taskId: string) => bytes(task(taskId, "/proposal?format=raw"));
export const uncertainty = (taskId: string) => bytes(task(taskId, "/uncertainty"));
export const doubts = (taskId: string) => json<{ places: Doubt[] }>(task(taskId, "/doubts"));
export const casePrediction = (caseId: string) =>
  bytes(labeling(`/v1/cases/${encodeURIComponent(caseId)}/prediction?format=raw`));

export type OperationName = "interpolate" | "smooth" | "remove-islands" | "fill-holes";
export const operation = (
  taskId: string,
  name: OperationName,
  body: { lease_id: string; segment: number; axis: number; shape: number[]; runs: number[] },
) => json<{ runs: number[] }>(task(taskId, `/operations/${name}`), { method: "POST", json: body });

export interface DraftPage {
  sequence: number;
  entries: { sequence: number; at: string; entry: unknown }[];
}
export const draft = (taskId: string, after: number) => json<DraftPage>(task(taskId, `/draft${query({ after })}`));
export const appendDraft = (taskId: string, leaseId: string, after: number, entries: unknown[], keepalive = false) =>
  json<{ sequence: number }>(task(taskId, "/draft"), {
    method: "POST",
    json: { lease_id: leaseId, after_sequence: after, entries },
    keepalive,
  });

export const versions = (taskId: string) => json<{ versions: Version[] }>(task(taskId, "/versions"));
export const saveVersion = (taskId: string, form: FormData) =>
  json<LabelMade>(task(taskId, "/versions"), { method: "POST", form });
export const submitLabel = (taskId: string, form: FormData) =>
  json<LabelMade>(task(taskId, "/submit"), { method: "POST", form });
export const labelRaw = (labelVersionId: string) =>
  bytes(labeling(`/v1/labels/${encodeURIComponent(labelVersionId)}?format=raw`));
export const report = (caseId: string, reason: string, note: string) =>
  json<{ report_id: string }>(labeling(`/v1/cases/${encodeURIComponent(caseId)}/report`), {
    method: "POST",
    json: { reason, note },
  });
