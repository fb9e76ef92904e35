"""What `trainer` hears and says, and the commands of its HTTP side and its workers."""

from dataclasses import dataclass
from enum import StrEnum

from radloop.messages import Message
from radloop.references import Arm, CaseDice, ObjectRef, SegmentStatus, Split


class PromotionMode(StrEnum):
    """Who decides which model serves."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Role(StrEnum):
    """What a person may do in a project."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"


class Deployment(StrEnum):
    """What became of a candidate model."""

    SERVING = "serving"
    KEPT = "kept"
    LOAD_FAILED = "load-failed"
    NONE = "none"
    """No model serves the project any more."""
    IMPORTED = "imported"
    OVERTAKEN = "overtaken"


class TrainingFailure(StrEnum):
    """Why a run ended without a model."""

    BAD_PLAN = "bad-plan"
    JOB_DIED = "job-died"
    DIVERGED = "diverged"
    CANCELLED = "cancelled"


class TrainingWait(StrEnum):
    """What a run's job waits for before it trains."""

    QUEUE = "queue"
    MACHINE = "machine"
    IMAGE = "image"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the project: its value in a mask and its name."""

    value: int
    name: str


@dataclass(frozen=True, slots=True)
class TrainingPolicy:
    """When and how to train; see the contract for units."""

    new_labels: int
    min_validation_labels: int
    quiet_s: int
    initial_steps: int
    update_steps: int
    edge_case_weight: float
    members: int
    seed: int
    spacing_mm: tuple[float, ...]
    patch: tuple[int, ...]
    max_runs: int


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """When a new model may replace the serving one."""

    mode: PromotionMode
    margin: float
    segment_loss_bound: float


@dataclass(frozen=True, slots=True)
class Member:
    """A person's role in the project."""

    subject: str
    role: Role


@dataclass(frozen=True, slots=True)
class ProjectConfigured(Message):
    """A project is set up, or set up anew."""

    project_id: str
    project_version: int
    model_name: str
    segments: tuple[Segment, ...]
    training: TrainingPolicy
    promotion: PromotionPolicy
    members: tuple[Member, ...]
    overlapping_segments: bool = False
    """Whether masks are segment bits; never changes. Projects kept before masks could be do not say."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its volumes, one per channel."""

    case_id: str
    volumes: tuple[ObjectRef, ...]


@dataclass(frozen=True, slots=True)
class StudyIngested(Message):
    """A study's cases are there."""

    study_key: str
    project_id: str
    patient_key: str
    split: Split
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class StudyWithdrawn(Message):
    """A study must be forgotten."""

    study_key: str


@dataclass(frozen=True, slots=True)
class LabelApproved(Message):
    """A label may train."""

    label_version_id: str
    case_id: str
    study_key: str
    project_id: str
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    arm: Arm | None
    sequence: int


@dataclass(frozen=True, slots=True)
class EdgeCaseFlagged(Message):
    """A case was put before a reader, for a reason."""

    case_id: str
    study_key: str
    project_id: str
    arm: Arm


@dataclass(frozen=True, slots=True)
class ModelDeployed(Message):
    """What became of a candidate, and what serves now."""

    project_id: str
    serving_digest: str
    candidate_digest: str
    outcome: Deployment
    sequence: int
    bundle: ObjectRef | None


@dataclass(frozen=True, slots=True)
class TrainingRequested(Message):
    """A person wants a run now."""

    request_id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """One label of a dataset version."""

    case_id: str
    study_key: str
    image_digest: str
    label_version_id: str
    label_digest: str
    weight: float
    split: Split
    arm: Arm | None


@dataclass(frozen=True, slots=True)
class TrainingStarted(Message):
    """A dataset version is frozen and a run on it has begun."""

    run_id: str
    project_id: str
    dataset_version: str
    plan_digest: str
    items: tuple[DatasetItem, ...]
    run_number: int
    request_id: str


@dataclass(frozen=True, slots=True)
class TrainingWaiting(Message):
    """A run's job waits, or for something else than before."""

    run_id: str
    project_id: str
    run_number: int
    waits_for: TrainingWait
    scheduler_said: str
    since_s: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the new model compares with the serving one; differences are new minus serving, in Dice."""

    serving_digest: str
    mean_difference: float
    lower_bound: float
    worst_segment_difference: float
    patient_count: int
    passes: bool


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class TrainingFailed(Message):
    """A run has ended without a model."""

    run_id: str
    project_id: str
    reason: TrainingFailure
    attempts: int


@dataclass(frozen=True, slots=True)
class StartRun(Message):
    """Command of the policy worker: freeze a dataset version and begin, if the policy still says so."""

    project_id: str
    now: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class NoteStart(Message):
    """Command of the job worker: the run's job was started (again)."""

    run_id: str


@dataclass(frozen=True, slots=True)
class NoteWait(Message):
    """Command of the job worker: what the run's job waits for; None when it waits no longer."""

    run_id: str
    waits_for: TrainingWait | None
    detail: str
    """What the engine says about it; stays at the site."""
    now: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class NoteJobEnded(Message):
    """Command of the job worker: nothing of a cancelled run's job is left."""

    run_id: str


@dataclass(frozen=True, slots=True)
class RecordModel(Message):
    """Command of the job worker: the run's job succeeded with this result, its bundle is stored."""

    run_id: str
    bundle: ObjectRef
    validation_dice: tuple[CaseDice, ...]
    serving_validation_dice: tuple[CaseDice, ...]
    test_dice: tuple[CaseDice, ...]
    duration_s: float


@dataclass(frozen=True, slots=True)
class RecordFailure(Message):
    """Command of the job worker: the run ends without a model."""

    run_id: str
    reason: TrainingFailure


@dataclass(frozen=True, slots=True)
class CancelRun(Message):
    """Command of a person: end the run."""

    run_id: str
    subject: str
