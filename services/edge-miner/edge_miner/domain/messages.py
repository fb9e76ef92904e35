"""The messages edge-miner hears, says and gives itself: facts in the past tense, commands in the imperative.

Fields of facts are those of the contracts in `proto/`; a fact that is heard names only the fields this service reads.
Next: `handlers.py` has one function for each.
"""

from dataclasses import dataclass
from enum import StrEnum

from radloop.messages import Message
from radloop.references import Arm, ObjectRef, Score, Split


class Deployment(StrEnum):
    """What became of a candidate model."""

    SERVING = "serving"
    KEPT = "kept"
    LOAD_FAILED = "load-failed"
    NONE = "none"
    """No model serves the project any more."""
    IMPORTED = "imported"
    OVERTAKEN = "overtaken"
    """Stored only; what serves did not change, and no round starts from it."""


class FlagReason(StrEnum):
    """Why a case is worth a reader's time."""

    FAILED_PREDICTION = "failed-prediction"
    EMPTY_PREDICTION = "empty-prediction"
    COMPONENTS = "components"
    VOLUME_OUTLIER = "volume-outlier"
    UNCERTAIN = "uncertain"
    RANDOM = "random"
    """Drawn, not ranked. It gives the control arm away: labeling must not show it to a reader."""
    REPORTED = "reported"


# Heard


@dataclass(frozen=True, slots=True)
class ConfiguredSegment:
    """One segment of the project: value in the label map and whether every case contains it."""

    value: int
    always_present: bool


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """How cases are chosen; see the contract of `project-configured` for units."""

    strategy: str
    pool_sample: int
    batch_size: int
    control_fraction: float
    cold_start: bool
    max_rounds: int
    seed: int


class MemberRole(StrEnum):
    """What a person may do in a project."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class ConfiguredMember:
    """A person (subject as the identity provider names it) and a role in the project, e.g. ``"project-lead"``."""

    subject: str
    role: MemberRole


@dataclass(frozen=True, slots=True)
class ProjectConfigured(Message):
    """A project is set up, or set up anew."""

    project_id: str
    project_version: int
    segments: tuple[ConfiguredSegment, ...]
    selection: SelectionPolicy
    members: tuple[ConfiguredMember, ...]


@dataclass(frozen=True, slots=True)
class IngestedCase:
    """One case of an ingested study."""

    case_id: str


@dataclass(frozen=True, slots=True)
class StudyIngested(Message):
    """Cases of one study are there for one project."""

    study_key: str
    project_id: str
    patient_key: str
    split: Split
    cases: tuple[IngestedCase, ...]


@dataclass(frozen=True, slots=True)
class StudyWithdrawn(Message):
    """A study must be forgotten, and stay forgotten."""

    study_key: str


@dataclass(frozen=True, slots=True)
class PredictionMade(Message):
    """A model has predicted on a case; scores are higher where worse, volumes are in mL."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    mask: ObjectRef
    scores: tuple[Score, ...]
    volumes: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class PredictionFailed(Message):
    """A model could not predict on a case, and trying again will not help."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_digest: str


@dataclass(frozen=True, slots=True)
class ModelDeployed(Message):
    """Which model serves a project from now on."""

    project_id: str
    serving_digest: str
    outcome: Deployment
    sequence: int
    wish_sequence: int


@dataclass(frozen=True, slots=True)
class EdgeCaseReported(Message):
    """A reader thinks this case deserves a reading."""

    report_id: str
    case_id: str
    study_key: str
    project_id: str


@dataclass(frozen=True, slots=True)
class LabelApproved(Message):
    """A label may train from now on; ``prediction_dice`` is ``dice-segment-<value>`` before any correction."""

    case_id: str
    study_key: str
    project_id: str
    started_from_model: bool
    prediction_dice: tuple[Score, ...]
    prediction_id: str


# Commands


@dataclass(frozen=True, slots=True)
class DrawSample(Message):
    """Draw the cases a round that was announced will be judged on."""

    round_id: str


@dataclass(frozen=True, slots=True)
class AskPredictions(Message):
    """Ask for at most ``limit`` predictions a round still lacks."""

    round_id: str
    limit: int


@dataclass(frozen=True, slots=True)
class RecordParts(Message):
    """The parts of a prediction's mask were counted: ``components-segment-<value>``; empty if the mask cannot be read."""

    case_id: str
    model_digest: str
    prediction_id: str
    counts: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class FlagBatch(Message):
    """Compose the batch of a round whose predictions are all in."""

    round_id: str


@dataclass(frozen=True, slots=True)
class StartCold(Message):
    """Draw a first batch at random if the project wants one, has no model, and its pool has come to rest."""

    project_id: str


# Said


@dataclass(frozen=True, slots=True)
class PredictionRequested(Message):
    """A round needs a case predicted by the model that serves."""

    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    round_id: str


@dataclass(frozen=True, slots=True)
class EdgeCaseFlagged(Message):
    """A case is worth a reader's time; see the contract for every field."""

    round_id: str
    round_number: int
    case_id: str
    study_key: str
    project_id: str
    arm: Arm
    inclusion_probability: float
    pool_size: int
    rank: int
    batch_size: int
    reasons: tuple[FlagReason, ...]
    scores: tuple[Score, ...]
    prediction_id: str
    model_digest: str
    seed: int
    show_proposal: bool
    mined_as_well: bool
