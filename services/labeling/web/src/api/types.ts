/** What the services answer, field by field as their OpenAPI documents say. Axes of shapes and indices: (i, j, k). */

export type RoleName = "reader" | "reviewer" | "project-lead" | "site-admin" | "auditor";

export interface Me {
  subject: string;
  name: string;
  pseudonym: string;
  roles: Record<string, RoleName[]>;
  sign_in: "token" | "oidc";
  projects: { project_id: string; project_version: number; roles: RoleName[] }[];
}

export type TaskState =
  | "open" | "leased" | "submitted" | "returned" | "approved" | "skipped" | "superseded" | "cancelled";
export type ReadingKind = "first" | "second" | "adjudication";

export interface WorklistRow {
  task_id: string;
  case_id: string;
  state: TaskState;
  reading: ReadingKind;
  round_number: number;
  rank: number;
  priority: number;
  reasons: string[];
  score: number | null;
  created_at: string;
  attempt: number;
  returned: string[];
  held_by: "" | "you" | "somebody-else";
  blind: boolean;
  modality: string;
  shape: number[];
  draft_sequence: number;
  reported_by_reader: boolean;
}

export interface Lease {
  lease_id: string;
  expires_at: string;
  lease_s: number;
}

export interface Task {
  task_id: string;
  case_id: string;
  study_key: string;
  project_id: string;
  state: TaskState;
  reading: ReadingKind;
  round_number: number;
  rank: number;
  reasons: string[];
  score: number | null;
  returned: string[];
  attempt: number;
  blind: boolean;
  proposal_available: boolean;
  uncertainty_available: boolean;
  label_version_ids: string[];
  held_by: "" | "you" | "somebody-else";
  lease: Lease | null;
  draft_sequence: number;
  case: { modality: string; quantity: string; channels: number; shape: number[]; spacing_mm: number[]; affine_lps: number[] } | null;
  created_at: string;
}

export interface Segment {
  value: number;
  name: string;
  color: string;
  always_present: boolean;
  type: { value: string; scheme: string; meaning: string };
}

export interface ProjectSegments {
  project_id: string;
  project_version: number;
  lease_s: number;
  overlapping_segments: boolean;
  segments: Segment[];
}

export interface Frames {
  study_instance_uid: string;
  series_instance_uid: string;
  slices: { sop_instance_uid: string; frame: number }[];
  rows: number;
  columns: number;
  bits_allocated: number;
  signed: boolean;
  slopes: number[];
  intercepts: number[];
  affine_lps: number[];
  shape: [number, number, number];
  spacing_mm: [number, number, number];
  modality: string;
  quantity: string;
  channels: number;
  window: { center: number; width: number };
  presets: { name: string; center: number; width: number }[];
  phase: number;
  phase_count: number;
}

export interface Doubt {
  index: [number, number, number];
  lps_mm: [number, number, number];
  entropy_nats: number;
  volume_ml: number;
  segment: number;
}

export interface Version {
  label_version_id: string;
  reader: string;
  mine: boolean;
  made_at: string;
  kind: "saved" | "submitted" | "imported";
  attempt: number;
  volumes_ml: Record<string, number>;
  changed_voxels: Record<string, { added: number; removed: number }> | null;
  started_from_model: boolean;
  active_time_s: number;
  project_version: number;
}

export interface LabelMade {
  label_version_id: string;
  case_id: string;
  task_id: string;
  digest: string;
}

export interface Review {
  review_id: string;
  project_id: string;
  case_id: string;
  study_key: string;
  task_id: string;
  state: string;
  doubts: string[];
  approved_label: string;
  round_id: string;
  sequence: number;
  created_at?: string | null;
  labels?: ReviewedLabel[];
}

export interface ReviewedLabel {
  label_version_id: string;
  task_id: string;
  reader: string;
  source: string;
  reading: string;
  attempt: number;
  outcome: string;
  returned_for: string[];
  comment: string;
  pin?: { index: [number, number, number] } | null;
  findings: { reason: string; severity: string; segment: number; numbers: Record<string, number> }[];
  prediction_dice: Record<string, number>;
  agreement: Record<string, number>;
  mean_agreement: number | null;
}

/** What became of one reader's labels in one project. Agreement: mean Dice with other readers where a case is read twice. */
export interface ReaderScore {
  reader: string;
  project_id: string;
  submitted: number;
  returned: number;
  approved: number;
  supported: number;
  overruled: number;
  mean_agreement: number | null;
  /** Gold cases read; to a reader only after a while, so that none is known to have been one. */
  gold_count: number;
  gold_mean_dice: number | null;
}

/** A case whose label is known to be right, by which readers are measured. */
export interface GoldCase {
  case_id: string;
  label_version_id: string;
}

export type WithdrawReason = "consent" | "sent-in-error" | "identifiable";

export interface IngestStatus {
  studies: Record<string, number>;
  waiting: number;
  instances: number;
  cases: number;
  held: number;
  rejections: number;
  withdrawn: number;
  /** `turned_away`: associations refused or ended since ingest started, by why. */
  dicom?: { turned_away?: Record<string, number> };
}

/** Why a study that came is not formed into cases yet. */
export type Incomplete = "quiet-time" | "sending" | "broken-off" | "being-formed" | "forming-failed";

/** Times of ingest are seconds since 1970. `formed_after`: when the wait ends by itself; `held`, `rejections`: how many there are. */
export interface StudyRow {
  study_key: string;
  state: "held" | "receiving" | "ingested" | "rejected";
  waiting: boolean;
  received_at: number;
  incomplete: Incomplete | null;
  formed_after: number | null;
  instances: number;
  cases: number;
  held: number;
  rejections: number;
  rejected_instances: number;
  reasons: string[];
}

/** `at`: when the last instance of it was refused; 0 where that is not known. */
export interface Rejection {
  rejection_id: string;
  study_key: string;
  series_key: string;
  reason: string;
  detail: string;
  instance_count: number;
  said: boolean;
  at: number;
}

/** `emptied`: its objects are deleted. */
export interface WithdrawnStudy {
  study_key: string;
  reason: string;
  at: number;
  emptied: boolean;
}

export interface HeldInstance {
  id: string;
  reason: string;
  detail: string;
  sop_key: string;
  series_key: string;
  study_key: string;
  at: number;
  /** Who wants it released, where a second person has to agree. */
  proposed_by: string;
}

/** What de-identification changed in a study, by profile and action. */
export interface Deidentification {
  instances: number;
  without_report: number;
  profiles: {
    profile: string;
    codes: string[];
    instances: number;
    actions: Record<string, { attribute: string; keyword: string; instances: number }[]>;
  }[];
}

export interface StudyDetail {
  study_key: string;
  state: string;
  waiting: boolean;
  received_at: number;
  incomplete: Incomplete | null;
  series: { series_key: string; instances: number }[];
  cases: { case_id: string; project_id: string; split: string; phase: number; phase_count: number; shape: number[] }[];
  rejections: Rejection[];
  quarantine: HeldInstance[];
  differences: { sop_key: string; keywords: string[]; at: number }[];
}

/** One entry of the audit trail: who did what to which pseudonymous id. */
export interface AuditEntry {
  id: number;
  at: string;
  subject: string;
  action: string;
  target: string;
}
