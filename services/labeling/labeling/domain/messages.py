"""The facts the service hears, the commands it takes, and the facts it says.

What is heard leaves out the fields labeling has no use for; what is said has every field of the contract. Persons stand in here
by pseudonym only; a person's subject goes to the audit trail and nowhere else.
"""

from dataclasses import dataclass

from labeling.domain.vocabulary import (
    FlagReason,
    LabelSource,
    MemberRole,
    Reading,
    ReportReason,
    ReturnReason,
    SkipReason,
    WithdrawReason,
)
from radloop.messages import Message
from radloop.references import Arm, ObjectRef, Score, SegmentStatus, Split

# --- parts of the facts heard ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodedTerm:
    """A concept of a coding scheme, e.g. ("10200004", "SCT", "Liver")."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a project: its value in the label map (1..255), name, colour ``#rrggbb`` and what it is."""

    value: int
    name: str
    color: str
    type: CodedTerm
    category: CodedTerm
    always_present: bool


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """How long a lease lasts without renewal, in seconds, and how to read, in Markdown."""

    lease_s: int
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A person's role in the project."""

    subject: str
    role: MemberRole


@dataclass(frozen=True, slots=True)
class IngestedCase:
    """One case of a study: manifest, volumes per channel, geometry (axes (i, j, k); affine to LPS in mm, row-major).

    ``series_keys`` are the pseudonymous series of its channels; ``phase`` counts from 0 in the ``phase_count`` of a 4-D series.
    """

    case_id: str
    manifest: ObjectRef
    volumes: tuple[ObjectRef, ...]
    modality: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine_lps: tuple[float, ...]
    quantity: str
    series_keys: tuple[str, ...] = ()
    phase: int = 0
    phase_count: int = 1


# --- facts heard ----------------------------------------------------------------------------------------------------------


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
class StudyIngested(Message):
    """A study, or what arrived late of it, is there."""

    study_key: str
    project_id: str
    split: Split
    cases: tuple[IngestedCase, ...]


@dataclass(frozen=True, slots=True)
class PredictionMade(Message):
    """A model has predicted on a case; the map of its entropy in nats is not kept for every one."""

    prediction_id: str
    case_id: str
    study_key: str
    mask: ObjectRef
    uncertainty: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class EdgeCaseFlagged(Message):
    """A case is worth a reader's time."""

    round_id: str
    round_number: int
    case_id: str
    study_key: str
    project_id: str
    arm: Arm
    rank: int
    reasons: tuple[FlagReason, ...]
    prediction_id: str
    show_proposal: bool
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadingRequested(Message):
    """QA wants another reading of a case."""

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
    reasons: tuple[ReturnReason, ...]


@dataclass(frozen=True, slots=True)
class LabelApproved(Message):
    """A label may train from now on."""

    review_id: str
    label_version_id: str
    case_id: str
    study_key: str
    task_id: str
    round_id: str


@dataclass(frozen=True, slots=True)
class StudyWithdrawn(Message):
    """A study must be forgotten, and stay forgotten."""

    study_key: str
    reason: WithdrawReason


# --- commands -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reader:
    """Who acts: pseudonym for the tables, subject for the audit trail, and which readings are theirs to do."""

    pseudonym: str
    subject: str
    may_read: bool = False
    may_adjudicate: bool = False


@dataclass(frozen=True, slots=True)
class TakeNext(Message):
    """Lease the most urgent task of the project, or renew the lease the reader holds in it."""

    lease_id: str
    project_id: str
    reader: Reader


@dataclass(frozen=True, slots=True)
class TakeTask(Message):
    """Lease this task."""

    lease_id: str
    task_id: str
    reader: Reader


@dataclass(frozen=True, slots=True)
class RenewLease(Message):
    """Go on working: the lease lasts for the project's time from now."""

    lease_id: str
    task_id: str
    reader: Reader


@dataclass(frozen=True, slots=True)
class ReleaseLease(Message):
    """Put the task back; the draft stays."""

    lease_id: str
    task_id: str
    reader: Reader


@dataclass(frozen=True, slots=True)
class AppendDraft(Message):
    """Append entries (JSON texts) to the reader's journal of a task, after the sequence number they know."""

    lease_id: str
    task_id: str
    reader: Reader
    after_sequence: int
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BeginUpload(Message):
    """Announce an object before it is written, so that one nobody refers to in the end is found and deleted."""

    key: str
    study_key: str


@dataclass(frozen=True, slots=True)
class SubmitLabel(Message):
    """Finish a task with a label, checked and stored."""

    label_version_id: str
    lease_id: str
    task_id: str
    reader: Reader
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    project_version: int
    started_from_model: bool
    active_time_s: float


@dataclass(frozen=True, slots=True)
class SaveVersion(Message):
    """Keep a label as it is now, checked and stored, and go on working."""

    label_version_id: str
    lease_id: str
    task_id: str
    reader: Reader
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    project_version: int
    started_from_model: bool
    active_time_s: float


@dataclass(frozen=True, slots=True)
class SkipTask(Message):
    """Give a task up, saying why; the note stays here."""

    lease_id: str
    task_id: str
    reader: Reader
    reason: SkipReason
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportCase(Message):
    """Say that a case deserves a reading; the note stays here."""

    report_id: str
    case_id: str
    reader: Reader
    reason: ReportReason
    note: str


@dataclass(frozen=True, slots=True)
class ImportLabel(Message):
    """Take a label made elsewhere, checked and stored."""

    label_version_id: str
    case_id: str
    project_id: str
    reader: Reader
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    project_version: int


@dataclass(frozen=True, slots=True)
class ExpireLeases(Message):
    """Give tasks back whose lease has run out."""


@dataclass(frozen=True, slots=True)
class UploadSwept(Message):
    """An abandoned object is gone."""

    key: str


@dataclass(frozen=True, slots=True)
class StudyPurged(Message):
    """The objects of a withdrawn study are gone."""

    study_key: str


# --- facts said -----------------------------------------------------------------------------------------------------------


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
    active_time_s: float


@dataclass(frozen=True, slots=True)
class EdgeCaseReported(Message):
    """A reader thinks this case deserves a reading."""

    report_id: str
    case_id: str
    study_key: str
    project_id: str
    reason: ReportReason
    reader: str
    note_id: str
