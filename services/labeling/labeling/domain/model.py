"""What labeling keeps: projects, cases, predictions, label versions, and what happened to a case.

`domain.task` has the one thing that changes, the task; `domain.labels` says when an array is a label of a case.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from labeling.domain.messages import IngestedCase, Member, Segment
from labeling.domain.vocabulary import LabelSource, Reading, ReturnReason
from radloop.references import Arm, ObjectRef, SegmentStatus, Split

# Ids made from what a thing is, so that a repeat makes the same id.
_NAMESPACE = uuid.UUID("6f0c3f0e-3f1b-5b9a-9c57-0d1f6d1f7d11")


def identity(*parts: str) -> str:
    """Return the UUIDv5 of the parts: the same parts, the same id, on every machine."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


@dataclass(frozen=True, slots=True)
class Project:
    """The project's segments, lease time (seconds) and members, in its newest version."""

    project_id: str
    version: int
    segments: tuple[Segment, ...]
    overlapping_segments: bool
    lease_s: int
    members: tuple[Member, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The values of the segments a mask may hold, ascending."""
        return tuple(sorted(segment.value for segment in self.segments))


@dataclass(frozen=True, slots=True)
class Case:
    """One case: where its volumes are and in what geometry a label of it must be.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (i, j, k): columns, rows, slices.
    spacing_mm : tuple of float
        Along (i, j, k).
    affine_lps : tuple of float
        16 numbers, row-major: voxel index (i, j, k) to patient coordinates in LPS, mm.
    series_key : str
        Pseudonymous series of the first channel; empty for a case kept by a release that did not know.
    phase, phase_count : int
        Which phase of a 4-D series it is, from 0; 0 of 1 for a 3-D series.
    """

    case_id: str
    study_key: str
    project_id: str
    split: Split
    manifest: ObjectRef
    volumes: tuple[ObjectRef, ...]
    modality: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine_lps: tuple[float, ...]
    quantity: str
    series_key: str = ""
    phase: int = 0
    phase_count: int = 1

    @classmethod
    def of(cls, study_key: str, project_id: str, split: Split, case: IngestedCase) -> "Case":
        """Keep what `study-ingested` says of a case."""
        return cls(
            case_id=case.case_id,
            study_key=study_key,
            project_id=project_id,
            split=split,
            manifest=case.manifest,
            volumes=case.volumes,
            modality=case.modality,
            shape=case.shape,
            spacing_mm=case.spacing_mm,
            affine_lps=case.affine_lps,
            quantity=case.quantity,
            series_key=next(iter(case.series_keys), ""),
            phase=case.phase,
            phase_count=case.phase_count,
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's mask of a case, and, where it was kept, the map of its entropy in nats: float NIfTI in the case's geometry."""

    prediction_id: str
    case_id: str
    study_key: str
    mask: ObjectRef
    uncertainty: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class LabelVersion:
    """One answer, never changed once made; or what a reader saved on the way to one, which is none.

    ``reader`` is a pseudonym; ``round_id`` and ``arm`` are those of the task, ``attempt`` counts its submissions from 1. What is
    ``saved`` stands before the submission of its attempt; nobody hears of it, and nothing is trained on it.
    """

    label_version_id: str
    task_id: str
    case_id: str
    study_key: str
    project_id: str
    project_version: int
    reader: str
    source: LabelSource
    reading: Reading
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    started_from_model: bool
    prediction_id: str
    round_id: str
    arm: Arm | None
    attempt: int
    active_time_s: float
    made_at: datetime
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """That QA approved a label of a case. The newest does not matter here: any of them closes what it concerns."""

    review_id: str
    label_version_id: str
    case_id: str
    task_id: str
    round_id: str


@dataclass(frozen=True, slots=True)
class Return:
    """That QA sent a label version back, and why."""

    review_id: str
    label_version_id: str
    reasons: tuple[ReturnReason, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A reader's report of a case. The note is free text and never leaves this store."""

    report_id: str
    case_id: str
    study_key: str
    reader: str
    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class DraftEntry:
    """One entry (JSON text) of a reader's journal of a task; ``sequence`` counts from 1."""

    sequence: int
    entry: str
    made_at: datetime


class Action(StrEnum):
    """What the history of a case tells."""

    FLAGGED = "flagged"
    READING_REQUESTED = "reading-requested"
    TAKEN = "taken"
    RELEASED = "released"
    EXPIRED = "expired"
    SUBMITTED = "submitted"
    IMPORTED = "imported"
    RETURNED = "returned"
    APPROVED = "approved"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Who (pseudonym, or empty for the platform) did what to a case, when. The note is free text and never leaves this store."""

    case_id: str
    at: datetime
    action: Action
    reader: str = ""
    task_id: str = ""
    label_version_id: str = ""
    detail: str = ""
    note: str = ""
