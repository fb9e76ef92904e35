"""What the service hears, is told to do, and says. Events mirror `proto/`; a heard one names only the fields used here."""

from dataclasses import dataclass
from enum import StrEnum

from radloop.messages import Message
from radloop.references import ObjectRef, Score

# ---- heard


class PromotionMode(StrEnum):
    """Who decides which model serves."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """When a new model may replace the serving one; the comparison itself is the trainer's."""

    mode: PromotionMode


class MemberRole(StrEnum):
    """What a member of a project may do; the names of `radloop.auth.Role`."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Member:
    """A person's role in a project."""

    subject: str
    role: MemberRole


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of the project: its value in a mask."""

    value: int


@dataclass(frozen=True, slots=True)
class ProjectConfigured(Message):
    """A project is set up, or set up anew."""

    project_id: str
    project_version: int
    model_name: str
    segments: tuple[Segment, ...]
    overlapping_segments: bool
    promotion: PromotionPolicy
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class IngestedCase:
    """One case of a study: its channels, in channel order."""

    case_id: str
    volumes: tuple[ObjectRef, ...]


@dataclass(frozen=True, slots=True)
class StudyIngested(Message):
    """Cases came in."""

    study_key: str
    project_id: str
    cases: tuple[IngestedCase, ...]


@dataclass(frozen=True, slots=True)
class StudyWithdrawn(Message):
    """A study must be forgotten, and stay forgotten."""

    study_key: str


@dataclass(frozen=True, slots=True)
class PredictionRequested(Message):
    """A round needs a case predicted by one model."""

    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    round_id: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a new model compares with the one that served when its run began."""

    serving_digest: str
    passes: bool


@dataclass(frozen=True, slots=True)
class ModelTrained(Message):
    """A run ended with a model."""

    model_name: str
    model_digest: str
    project_id: str
    run_id: str
    bundle: ObjectRef
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class ModelPromoted(Message):
    """A person wants this model to serve; an empty digest asks for no model."""

    model_name: str
    project_id: str
    model_digest: str
    bundle: ObjectRef | None
    sequence: int


# ---- told to do


@dataclass(frozen=True, slots=True)
class AskForPrediction(Message):
    """A person waits for a prediction; an empty digest means the model that serves."""

    project_id: str
    case_id: str
    model_digest: str
    subject: str


@dataclass(frozen=True, slots=True)
class ImportModel(Message):
    """A site administrator brings a bundle, already stored and checked."""

    project_id: str
    model_name: str
    model_digest: str
    bundle: ObjectRef
    serve: bool
    subject: str


@dataclass(frozen=True, slots=True)
class ConcludeDeployment(Message):
    """A candidate was loaded into Triton and tried, or could not be."""

    deployment_id: int
    model_digest: str
    """Which one it was: SQLite gives the id of a candidate that was overtaken to the one that overtook it."""
    loaded: bool
    detail: str
    """Why it could not be; stays at the site."""


class PredictionFailure(StrEnum):
    """Why a prediction could not be made."""

    PROGRAM_RAISED = "program-raised"
    NOT_FINITE = "not-finite"
    UNREADABLE = "unreadable"
    UNSUITABLE = "unsuitable"


@dataclass(frozen=True, slots=True)
class ConcludePrediction(Message):
    """A prediction was made and stored."""

    prediction_id: str
    study_key: str
    mask: ObjectRef
    uncertainty: ObjectRef | None
    embedding: ObjectRef | None
    scores: tuple[Score, ...]
    volumes: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class GiveUpPrediction(Message):
    """A prediction cannot be made, and trying again will not help."""

    prediction_id: str
    reason: PredictionFailure
    detail: str
    """What the program said; stays at the site."""


# ---- said


@dataclass(frozen=True, slots=True)
class PredictionMade(Message):
    """A model has predicted on a case."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_name: str
    model_digest: str
    settings_digest: str
    mask: ObjectRef
    uncertainty: ObjectRef | None
    embedding: ObjectRef | None
    scores: tuple[Score, ...]
    volumes: tuple[Score, ...]
    round_id: str


@dataclass(frozen=True, slots=True)
class PredictionFailed(Message):
    """A model could not predict on a case."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    reason: PredictionFailure
    round_id: str


class Deployment(StrEnum):
    """What became of a candidate model."""

    SERVING = "serving"
    KEPT = "kept"
    LOAD_FAILED = "load-failed"
    NONE = "none"
    IMPORTED = "imported"
    OVERTAKEN = "overtaken"
    """A newer wish came before it was loaded."""


@dataclass(frozen=True, slots=True)
class ModelDeployed(Message):
    """Which model serves a project from now on."""

    model_name: str
    project_id: str
    serving_digest: str
    candidate_digest: str
    outcome: Deployment
    sequence: int
    previous_digest: str
    bundle: ObjectRef | None
    candidate_bundle: ObjectRef | None
    wish_sequence: int
    """Of the `model-promoted` this answers; 0 if none."""
