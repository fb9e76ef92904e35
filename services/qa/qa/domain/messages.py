"""What this service hears, is told to do, and says. Field meanings stand in the contracts (`proto/`)."""

from dataclasses import dataclass

from qa.domain.agreement import SegmentAgreement
from qa.domain.examination import Examination
from qa.domain.findings import ReturnReason
from qa.domain.label import Segment
from qa.domain.model import LabelSource, Member, Pin, Reading, ReadingPolicy
from radloop.messages import Message
from radloop.references import Arm, ObjectRef, Score, SegmentStatus, Split

# Heard ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProjectConfigured(Message):
    """A project is set up, or set up anew."""

    project_id: str
    project_version: int
    segments: tuple[Segment, ...]
    overlapping_segments: bool
    reading: ReadingPolicy
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class IngestedCase:
    """One case of an ingested study: how it is sampled."""

    case_id: str
    shape: tuple[int, ...]
    affine_lps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StudyIngested(Message):
    """A study is stored, and a project takes it."""

    study_key: str
    project_id: str
    split: Split
    cases: tuple[IngestedCase, ...]


@dataclass(frozen=True, slots=True)
class PredictionMade(Message):
    """A model has predicted on a case."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    mask: ObjectRef
    round_id: str


@dataclass(frozen=True, slots=True)
class LabelSubmitted(Message):
    """A label version is finished, as far as its reader is concerned."""

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


@dataclass(frozen=True, slots=True)
class StudyWithdrawn(Message):
    """A study must be forgotten, and stay forgotten."""

    study_key: str


# Told -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """Agreement of a label with another one of its review."""

    label_version_id: str
    segments: tuple[SegmentAgreement, ...]


@dataclass(frozen=True, slots=True)
class RecordExamination(Message):
    """The automatic checks of a label are done: decide what becomes of it.

    Attributes
    ----------
    label_version_id : str
    examination : Examination or None
        None when the mask cannot be read.
    prediction_id : str
        Prediction it was checked against; empty if none.
    comparisons : tuple[Comparison, ...]
        With the other readers' labels, for a second reading or an adjudication.
    """

    label_version_id: str
    examination: Examination | None
    prediction_id: str
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class ApproveReview(Message):
    """A reviewer approves a label of a review.

    ``label_version_id`` empty: the newest. ``reviewer`` is the identity provider's subject, for the audit trail.
    """

    review_id: str
    label_version_id: str
    reviewer: str


@dataclass(frozen=True, slots=True)
class ReturnReview(Message):
    """A reviewer sends a label of a review back to its reader, with a comment that may be pinned to a voxel."""

    review_id: str
    label_version_id: str
    reason: ReturnReason
    comment: str
    reviewer: str
    pin: Pin | None = None


@dataclass(frozen=True, slots=True)
class NameGold(Message):
    """Measure readers by an approved label of a case. ``by`` is the identity provider's subject, for the audit trail."""

    case_id: str
    label_version_id: str
    by: str


@dataclass(frozen=True, slots=True)
class DropGold(Message):
    """A case is gold no more. ``by`` is the identity provider's subject, for the audit trail."""

    case_id: str
    by: str


# Said -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadingRequested(Message):
    """A case needs another reading."""

    request_id: str
    review_id: str
    case_id: str
    study_key: str
    project_id: str
    reading: Reading
    excluded_readers: tuple[str, ...]
    label_version_ids: tuple[str, ...]
    round_id: str
    arm: Arm | None


@dataclass(frozen=True, slots=True)
class LabelReturned(Message):
    """A label goes back to the reader who submitted it."""

    review_id: str
    label_version_id: str
    task_id: str
    case_id: str
    study_key: str
    project_id: str
    reader: str
    reasons: tuple[ReturnReason, ...]


@dataclass(frozen=True, slots=True)
class LabelApproved(Message):
    """A label may train from now on."""

    review_id: str
    label_version_id: str
    case_id: str
    study_key: str
    project_id: str
    project_version: int
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    readers: tuple[str, ...]
    agreement: tuple[Score, ...]
    rules_version: str
    source: LabelSource
    started_from_model: bool
    prediction_dice: tuple[Score, ...]
    prediction_id: str
    round_id: str
    arm: Arm | None
    sequence: int
    task_id: str
