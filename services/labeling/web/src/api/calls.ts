/** The calls the pages make, one function each. */

import { addressOf, ask, bytes, json, query, type Service } from "./http";
import type {
  AuditEntry, Deidentification, Doubt, Frames, GoldCase, HeldInstance, IngestStatus, LabelMade, Me, ProjectSegments, ReaderScore,
  Rejection, Review, StudyDetail, StudyRow, Task, Version, WithdrawnStudy, WithdrawReason, WorklistRow,
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

/** Each service keeps its part of the audit trail. Oldest first, after an id; `next` is null at the end. */
export const audit = (service: Service, after: number, limit: number, signal?: AbortSignal) =>
  json<{ entries: AuditEntry[]; next: number | null }>(addressOf(service, `/v1/audit${query({ after, limit })}`), { signal });
export async function auditCsv(service: Service, after: number, limit: number): Promise<{ text: string; next: number | null }> {
  const answer = await ask(addressOf(service, `/v1/audit${query({ after, limit, format: "csv" })}`), { accept: "text/csv" });
  const next = answer.headers.get("X-Next");
  return { text: await answer.text(), next: next ? Number(next) : null };
}

const qa = (path: string) => addressOf("qa", path);
const reviewAt = (reviewId: string, rest = "") => qa(`/v1/reviews/${encodeURIComponent(reviewId)}${rest}`);

export const reviews = (wanted: { project_id: string; state?: string; search?: string; after?: string; limit?: number }, signal?: AbortSignal) =>
  json<{ reviews: Review[] }>(qa(`/v1/reviews${query({ ...wanted })}`), { signal });
export const reviewCounts = (projectId: string, signal?: AbortSignal) =>
  json<{ reviews: Record<string, number> }>(qa(`/v1/status${query({ project_id: projectId })}`), { signal });
export const review = (reviewId: string) => json<Review>(reviewAt(reviewId));
export const approveReview = (reviewId: string, labelVersionId: string) =>
  json<Review>(reviewAt(reviewId, "/approve"), { method: "POST", json: { label_version_id: labelVersionId } });
export const returnReview = (
  reviewId: string,
  body: {
    label_version_id: string;
    reason: string;
    comment: string;
    pin?: { index: [number, number, number]; label_version_id: string };
  },
) => json<Review>(reviewAt(reviewId, "/return"), { method: "POST", json: body });
export const readerScores = (projectId: string) =>
  json<{ readers: ReaderScore[] }>(qa(`/v1/readers${query({ project_id: projectId })}`));

const goldAt = (caseId: string) => qa(`/v1/gold/${encodeURIComponent(caseId)}`);
export const goldCases = (projectId: string) => json<{ gold: GoldCase[] }>(qa(`/v1/gold${query({ project_id: projectId })}`));
export const nameGold = (caseId: string, labelVersionId: string) =>
  json<GoldCase>(goldAt(caseId), { method: "PUT", json: { label_version_id: labelVersionId } });
export const retireGold = (caseId: string) => ask(goldAt(caseId), { method: "DELETE" });

const ingest = (path: string) => addressOf("ingest", path);

export const ingestStatus = (signal?: AbortSignal) => json<IngestStatus>(ingest("/v1/status"), { signal });
export interface IntakeQuery {
  /** Beginning of the study key. */
  search?: string;
  offset: number;
  limit: number;
}
export const studies = (wanted: IntakeQuery & { state?: string }, signal?: AbortSignal) =>
  json<{ total: number; studies: StudyRow[] }>(ingest(`/v1/studies${query({ order: "newest", ...wanted })}`), { signal });
export const study = (studyKey: string) => json<StudyDetail>(ingest(`/v1/studies/${encodeURIComponent(studyKey)}`));
export const deidentification = (studyKey: string) =>
  json<Deidentification>(ingest(`/v1/studies/${encodeURIComponent(studyKey)}/deidentification`));
export const rejections = (wanted: IntakeQuery & { reason?: string }, signal?: AbortSignal) =>
  json<{ total: number; rejections: Rejection[] }>(ingest(`/v1/rejections${query({ ...wanted })}`), { signal });
export const quarantine = (wanted: IntakeQuery, signal?: AbortSignal) =>
  json<{ total: number; quarantine: HeldInstance[] }>(ingest(`/v1/quarantine${query({ ...wanted })}`), { signal });
export const withdrawn = (wanted: IntakeQuery, signal?: AbortSignal) =>
  json<{ total: number; withdrawn: WithdrawnStudy[] }>(ingest(`/v1/withdrawn${query({ ...wanted })}`), { signal });
export const formAgain = (studyKey: string) =>
  json<{ study_key: string }>(ingest(`/v1/studies/${encodeURIComponent(studyKey)}/retry`), { method: "POST" });
export const completeStudy = (studyKey: string) =>
  json<{ study_key: string }>(ingest(`/v1/studies/${encodeURIComponent(studyKey)}/complete`), { method: "POST" });
export const releaseHeld = (heldId: string) =>
  json<{ study_key: string; released: boolean }>(ingest(`/v1/quarantine/${encodeURIComponent(heldId)}/release`), { method: "POST" });
export const withdrawStudy = (studyKey: string, reason: WithdrawReason) =>
  json<{ study_key: string; before: string }>(ingest("/v1/withdraw"), {
    method: "POST",
    json: { study_key: studyKey, reason },
  });

/** What became of a label: quality control's outcome and a reviewer's words, for its own reader. */
export const verdict = (labelVersionId: string) =>
  json<{ label_version_id: string; outcome: string; returned_for: string[]; comment: string; pin?: { index: [number, number, number] } | null }>(
    qa(`/v1/labels/${encodeURIComponent(labelVersionId)}`),
  );
