"""What the control plane hears, is told to do, and says. Consumers' dataclasses leave out what this service does not need."""

from dataclasses import dataclass
from enum import StrEnum

from control_plane.domain.configuration import ProjectSettings
from radloop.messages import Message
from radloop.references import Arm, CaseDice, ObjectRef, Score, Split

# Commands: a person, by HTTP. `by` is the subject of the identity provider; it stays in this service's audit trail.


@dataclass(frozen=True)
class ConfigureProject(Message):
    """Set a project up, or set it up anew."""

    project_id: str
    settings: ProjectSettings
    by: str
    by_site_admin: bool


@dataclass(frozen=True)
class PromoteModel(Message):
    """Let this model serve the project."""

    project_id: str
    model_digest: str
    by: str


@dataclass(frozen=True)
class RollBack(Message):
    """Let the model serve that served before."""

    project_id: str
    by: str


@dataclass(frozen=True)
class ServeNone(Message):
    """Let no model serve the project."""

    project_id: str
    by: str


@dataclass(frozen=True)
class RequestTraining(Message):
    """Start a run now."""

    project_id: str
    request_id: str
    by: str


# Facts said.


@dataclass(frozen=True, kw_only=True)
class ProjectConfigured(ProjectSettings, Message):
    """A project is set up, or set up anew."""

    project_id: str
    project_version: int


@dataclass(frozen=True)
class ModelPromoted(Message):
    """A person wants this model to serve; an empty digest: none."""

    model_name: str
    project_id: str
    model_digest: str
    bundle: ObjectRef | None
    sequence: int


@dataclass(frozen=True)
class TrainingRequested(Message):
    """A person wants a run now."""

    request_id: str
    project_id: str


# Facts heard.


@dataclass(frozen=True)
class Case:
    """One case of a study."""

    case_id: str


@dataclass(frozen=True)
class StudyIngested(Message):
    """A study, or what arrived late of it."""

    study_key: str
    site: str
    project_id: str
    revision: int
    patient_key: str
    split: Split
    cases: tuple[Case, ...]


class RejectReason(StrEnum):
    """Why something that was sent could not become a case."""

    NOT_DICOM = "not-dicom"
    TRUNCATED = "truncated"
    NO_PIXEL_DATA = "no-pixel-data"
    UNDECODABLE = "undecodable"
    MIXED_SIZES = "mixed-sizes"
    MISSING_SLICES = "missing-slices"
    DUPLICATE_SLICES = "duplicate-slices"
    UNEVEN_SPACING = "uneven-spacing"
    TILTED = "tilted"
    UNEQUAL_PHASES = "unequal-phases"
    NO_PROJECT = "no-project"
    PIXELS_DIFFER = "pixels-differ"
    BURNED_IN_TEXT = "burned-in-text"
    WITHDRAWN = "withdrawn"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class StudyRejected(Message):
    """Something that was sent could not become a case."""

    rejection_id: str
    site: str
    reason: RejectReason
    instance_count: int


class WithdrawReason(StrEnum):
    """Why a study is to be forgotten."""

    CONSENT = "consent"
    SENT_IN_ERROR = "sent-in-error"
    IDENTIFIABLE = "identifiable"
    RETENTION = "retention"


@dataclass(frozen=True)
class StudyWithdrawn(Message):
    """A study must be forgotten, and stay forgotten."""

    study_key: str
    site: str
    reason: WithdrawReason


@dataclass(frozen=True)
class PredictionMade(Message):
    """A model has predicted on a case."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_digest: str


class PredictionFailure(StrEnum):
    """Why a prediction could not be made."""

    PROGRAM_RAISED = "program-raised"
    NOT_FINITE = "not-finite"
    UNREADABLE = "unreadable"
    UNSUITABLE = "unsuitable"


@dataclass(frozen=True)
class PredictionFailed(Message):
    """A model could not predict on a case."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    reason: PredictionFailure


@dataclass(frozen=True)
class EdgeCaseFlagged(Message):
    """A case is worth a reader's time."""

    round_id: str
    round_number: int
    case_id: str
    study_key: str
    project_id: str
    arm: Arm
    pool_size: int
    batch_size: int
    model_digest: str


class LabelSource(StrEnum):
    """Where a label came from."""

    READER = "reader"
    IMPORT = "import"


@dataclass(frozen=True)
class LabelApproved(Message):
    """A label may train from now on; the highest sequence of a case counts."""

    label_version_id: str
    case_id: str
    study_key: str
    project_id: str
    source: LabelSource
    started_from_model: bool
    prediction_dice: tuple[Score, ...]
    round_id: str
    arm: Arm | None
    sequence: int


@dataclass(frozen=True)
class DatasetItem:
    """One label of a dataset version, by identity."""

    case_id: str
    study_key: str
    image_digest: str
    label_version_id: str
    label_digest: str
    weight: float
    split: Split
    arm: Arm | None


@dataclass(frozen=True)
class TrainingStarted(Message):
    """A dataset version is frozen and a run on it has begun."""

    run_id: str
    project_id: str
    dataset_version: str
    plan_digest: str
    items: tuple[DatasetItem, ...]
    run_number: int
    request_id: str


class TrainingWait(StrEnum):
    """What a run's job waits for before it trains."""

    QUEUE = "queue"
    MACHINE = "machine"
    IMAGE = "image"
    CONFIGURATION = "configuration"


@dataclass(frozen=True)
class TrainingWaiting(Message):
    """A run's job waits, or for something else than before; the highest sequence of a run counts."""

    run_id: str
    project_id: str
    run_number: int
    waits_for: TrainingWait
    scheduler_said: str
    since_s: int
    sequence: int


@dataclass(frozen=True)
class Comparison:
    """How a new model compares with the serving one on the same validation cases."""

    serving_digest: str
    mean_difference: float
    lower_bound: float
    worst_segment_difference: float
    patient_count: int
    passes: bool


@dataclass(frozen=True)
class ModelTrained(Message):
    """A run has ended with a model."""

    model_name: str
    model_digest: str
    project_id: str
    run_id: str
    run_number: int
    dataset_version: str
    plan_digest: str
    bundle: ObjectRef
    train_patient_count: int
    validation_dice: tuple[CaseDice, ...]
    serving_validation_dice: tuple[CaseDice, ...]
    test_dice: tuple[CaseDice, ...]
    comparison: Comparison
    duration_s: float


class TrainingFailure(StrEnum):
    """Why a run ended without a model."""

    BAD_PLAN = "bad-plan"
    JOB_DIED = "job-died"
    DIVERGED = "diverged"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class TrainingFailed(Message):
    """A run has ended without a model."""

    run_id: str
    project_id: str
    reason: TrainingFailure
    attempts: int


class Deployment(StrEnum):
    """What became of a candidate model."""

    SERVING = "serving"
    KEPT = "kept"
    LOAD_FAILED = "load-failed"
    NONE = "none"
    IMPORTED = "imported"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True)
class ModelDeployed(Message):
    """Which model serves a project from now on, at the site that says it."""

    model_name: str
    project_id: str
    serving_digest: str
    candidate_digest: str
    outcome: Deployment
    sequence: int
    previous_digest: str
    candidate_bundle: ObjectRef | None
    wish_sequence: int
