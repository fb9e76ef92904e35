"""Commands (imperative) and events (past tense). Events mirror `proto/radloop/contracts/{ingest,control_plane,qa,inference}/v1`."""

from dataclasses import dataclass
from enum import StrEnum

from ingest.domain.changes import Changes
from ingest.domain.exports import ExportSource, Form
from ingest.domain.keys import Names
from ingest.domain.model import FormedCase, HeldInstance, Instance, Original, Refusal, SeriesRecord, StudyRecord
from ingest.domain.reasons import RejectReason, WithdrawReason
from radloop.messages import Message
from radloop.references import ObjectRef, SegmentStatus, Split


class PhaseRule(StrEnum):
    """How 4-D series become cases."""

    SPLIT = "split"
    CHANNELS = "channels"


class Role(StrEnum):
    """What a person may do in a project; the names are `radloop.auth.Role`'s."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"


# Heard


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """Matches a series when all its non-empty fields do."""

    called_ae_title: str
    modality: str
    body_part: str
    description_contains: str


@dataclass(frozen=True, slots=True)
class SplitPolicy:
    """Shares of patients for validation and test, each 0..0.5."""

    validation_fraction: float
    test_fraction: float


@dataclass(frozen=True, slots=True)
class Member:
    """A person's role in a project."""

    subject: str
    role: Role


@dataclass(frozen=True, slots=True)
class CodedTerm:
    """A concept of a coding scheme, e.g. ("10200004", "SCT", "Liver")."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a project: its value in the mask (1..255), name, colour ``#rrggbb`` and what it is."""

    value: int
    name: str
    color: str
    type: CodedTerm
    category: CodedTerm


@dataclass(frozen=True, slots=True)
class ProjectConfigured(Message):
    """A project is set up, or set up anew; what `ingest` needs of it."""

    project_id: str
    project_version: int
    routing: tuple[RoutingRule, ...]
    split: SplitPolicy
    phases: PhaseRule
    members: tuple[Member, ...]
    segments: tuple[Segment, ...] = ()
    """Empty where the project was heard of before this service kept them."""
    overlapping_segments: bool = False


@dataclass(frozen=True, slots=True)
class LabelApproved(Message):
    """A label may train, and be exported, from now on."""

    label_version_id: str
    case_id: str
    study_key: str
    project_id: str
    project_version: int
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    started_from_model: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class PredictionMade(Message):
    """A model has predicted on a case."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_name: str
    model_digest: str
    mask: ObjectRef


@dataclass(frozen=True, slots=True)
class EdgeCaseFlagged(Message):
    """A round asks for a case; what `ingest` needs of it."""

    case_id: str
    study_key: str


# Said


@dataclass(frozen=True, slots=True)
class Case:
    """One case of an ingested study; see `ingest.v1.Case` for units and order."""

    case_id: str
    series_keys: tuple[str, ...]
    phase: int
    phase_count: int
    manifest: ObjectRef
    volumes: tuple[ObjectRef, ...]
    modality: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine_lps: tuple[float, ...]
    quantity: str


@dataclass(frozen=True, slots=True)
class StudyIngested(Message):
    """A study, or what arrived late of it, is stored, and a project takes it."""

    study_key: str
    site: str
    project_id: str
    project_version: int
    revision: int
    patient_key: str
    split: Split
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class StudyRejected(Message):
    """Something that was sent could not become a case."""

    study_key: str
    series_key: str
    reason: RejectReason
    instance_count: int
    site: str
    rejection_id: str


@dataclass(frozen=True, slots=True)
class StudyWithdrawn(Message):
    """A study must be forgotten by everybody."""

    study_key: str
    reason: WithdrawReason
    site: str


# Commands


@dataclass(frozen=True, slots=True)
class OpenReception(Message):
    """Begin: objects of this study are about to be written."""

    reception_id: str
    study_key: str


@dataclass(frozen=True, slots=True)
class CloseReception(Message):
    """The association or upload is over; nothing it wrote is unaccounted for."""

    reception_id: str
    broken: bool = False
    """It ended without being released: more of what it carried is likely to come."""


@dataclass(frozen=True, slots=True)
class AcceptInstance(Message):
    """End: the object is stored; the instance counts from now on.

    ``names`` are the study's and its patient's under every key version, to see whether those chosen still hold.
    """

    instance: Instance
    study: StudyRecord
    series: SeriesRecord
    names: Names
    changes: Changes | None = None
    original: Original | None = None


@dataclass(frozen=True, slots=True)
class HoldInstance(Message):
    """Keep an instance, encrypted, until a person has looked at it; ``names`` as in `AcceptInstance`."""

    held: HeldInstance
    study: StudyRecord
    series: SeriesRecord
    names: Names
    changes: Changes | None = None
    original: Original | None = None


@dataclass(frozen=True, slots=True)
class KeepOriginal(Message):
    """An instance that was received before originals were kept came again: keep them now."""

    original: Original
    study: StudyRecord


@dataclass(frozen=True, slots=True)
class NoteRefusal(Message):
    """Remember that instances were refused; it is said when the sender has gone quiet."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class NoteDifference(Message):
    """The same instance came again with the same pixels and another header; the first is kept."""

    sop_key: str
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompleteStudies(Message):
    """Do not wait for the quiet time: one study, or all that wait (None)."""

    study_key: str | None


@dataclass(frozen=True, slots=True)
class FormAgain(Message):
    """Look at a study again, all of it: what could not be formed may be now. ``subject`` is for the audit trail."""

    study_key: str
    subject: str


@dataclass(frozen=True, slots=True)
class RecordCases(Message):
    """What came of a study: cases that were formed and series that were refused.

    ``generation`` is the study's when its instances were read; what arrived later waits for the next time.
    """

    study_key: str
    generation: int
    cases: tuple[FormedCase, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class SayRefusals(Message):
    """Say the refusals of one study that have been noted and not yet been said."""

    study_key: str


@dataclass(frozen=True, slots=True)
class ProposeRelease(Message):
    """A first person has looked, and a second one is to."""

    held_id: str
    subject: str


@dataclass(frozen=True, slots=True)
class ReleaseHeld(Message):
    """A person has looked: the held instance counts from now on, stored as ``instance.object``."""

    held_id: str
    instance: Instance
    subject: str = ""


@dataclass(frozen=True, slots=True)
class WithdrawStudy(Message):
    """Forget a study and refuse it from now on; also one that has not come yet."""

    study_key: str
    reason: WithdrawReason
    subject: str
    key_version: int = 1


@dataclass(frozen=True, slots=True)
class RefusePatient(Message):
    """Refuse whatever comes of a patient, under any key version, from now on."""

    patient: str
    key_version: int
    reason: WithdrawReason
    subject: str


@dataclass(frozen=True, slots=True)
class AdmitPatient(Message):
    """Take in again what comes of a patient who was refused; ``patients`` are their pseudonyms under every key version."""

    patients: tuple[str, ...]
    subject: str


@dataclass(frozen=True, slots=True)
class NoticeRetention(Message):
    """A study is due by the site's rules: it is listed from now on, and goes when its notice is over."""

    study_key: str
    why: str


@dataclass(frozen=True, slots=True)
class DropNotice(Message):
    """A study is not due any more."""

    study_key: str


@dataclass(frozen=True, slots=True)
class ForgetObjects(Message):
    """The objects of a withdrawn study are gone."""

    study_key: str


@dataclass(frozen=True, slots=True)
class ImportSplit(Message):
    """Decide the split of patients before they are seen; ``patients`` holds (patient_key, key version, split)."""

    project_id: str
    patients: tuple[tuple[str, int, Split], ...]
    subject: str


@dataclass(frozen=True, slots=True)
class AdoptSiteKeys(Message):
    """The index belongs to these key versions; a newer one than it knows becomes the one for who is new."""

    fingerprints: tuple[tuple[int, str], ...]
    subject: str = ""
    """Who asked for a rotation; empty at the start."""


@dataclass(frozen=True, slots=True)
class AdoptProfile(Message):
    """What arrives is cleaned by this profile of the site from now on; ``body`` is what it says, as JSON."""

    label: str
    fingerprint: str
    body: str


@dataclass(frozen=True, slots=True)
class DropSiteKey(Message):
    """Nothing needs this key version any more."""

    version: int
    subject: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """Something encrypted in the index, and the key version it is encrypted with.

    ``kind`` is ``study``, ``series`` or ``held``; ``text`` the encrypted text, or the object key of a held instance.
    """

    kind: str
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Reseal(Message):
    """The same content, encrypted with a newer key version; ``object`` is that of a held instance."""

    old: Sealed
    text: str
    version: int
    object: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class AskExport(Message):
    """Send a mask in some forms to a destination; what was asked for before is not doubled."""

    source: ExportSource
    forms: tuple[Form, ...]
    destination: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class BeginExport(Message):
    """An attempt begins."""

    export_id: str


@dataclass(frozen=True, slots=True)
class EndExport(Message):
    """An attempt is over; ``error`` is empty when the receiver has the object, ``final`` when trying again would not help."""

    export_id: str
    error: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class TakeBackExports(Message):
    """What is being sent is due at once: its sender is dead."""


@dataclass(frozen=True, slots=True)
class RetryExport(Message):
    """Try an export at once."""

    export_id: str
    subject: str


@dataclass(frozen=True, slots=True)
class NoteDisclosure(Message):
    """Somebody is about to see who a case or study is about, and says why."""

    disclosure_id: str
    subject: str
    action: str
    target: str
    reason: str
