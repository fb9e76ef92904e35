"""What a project is set up with: values that mirror `project-configured`.

Which values each field takes is checked where they come in (`adapters/project_body.py`); what holds between fields and between
versions is in `project.py`, that all of it is data in `data_only.py`.
"""

from dataclasses import dataclass
from enum import StrEnum


class PhaseRule(StrEnum):
    """How 4-D series become cases."""

    SPLIT = "split"
    CHANNELS = "channels"


class PromotionMode(StrEnum):
    """Who decides which model serves."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Strategy(StrEnum):
    """Rankings the edge-miner knows, by name."""

    RANDOM = "random"
    FOREGROUND_ENTROPY = "foreground-entropy"
    ENTROPY_AND_SANITY = "entropy-and-sanity"
    ENTROPY_AND_DISAGREEMENT = "entropy-and-disagreement"


class MemberRole(StrEnum):
    """What a member may do in the project; the same names as in tokens."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class CodedTerm:
    """A concept of a coding scheme, e.g. (SCT, 10200004, Liver); PS3.3 section 8."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of the label schema: value 1..255 in the label map, colour ``#rrggbb``, Segmented Property codes."""

    value: int
    name: str
    color: str
    type: CodedTerm
    category: CodedTerm
    always_present: bool

    @property
    def identity(self) -> tuple[str, str, str, str, str]:
        """What a value means for ever; colour, wording and `always_present` may be corrected."""
        return self.name, self.type.scheme, self.type.value, self.category.scheme, self.category.value


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """Takes a study when all its non-empty fields match."""

    called_ae_title: str
    modality: str
    body_part: str
    description_contains: str


@dataclass(frozen=True, slots=True)
class SplitPolicy:
    """Shares of patients, 0..0.5 each; the rest trains."""

    validation_fraction: float
    test_fraction: float


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """How cases are chosen for reading."""

    strategy: str
    pool_sample: int
    batch_size: int
    control_fraction: float
    cold_start: bool
    max_rounds: int
    seed: int


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """How cases are read and labels checked; `lease_s` in seconds, `instructions` for the readers in Markdown."""

    second_reading_share: float
    agreement_threshold: float
    lease_s: int
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class TrainingPolicy:
    """When and how to train; spacing in mm and patch in voxels along (i, j, k)."""

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
    """When a new model may replace the serving one; margins in Dice."""

    mode: PromotionMode
    margin: float
    segment_loss_bound: float


@dataclass(frozen=True, slots=True)
class Member:
    """A person's role in the project."""

    subject: str
    role: MemberRole


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """Everything a project is set up with: `project-configured` without identity and version."""

    model_name: str
    segments: tuple[Segment, ...]
    overlapping_segments: bool
    routing: tuple[RoutingRule, ...]
    split: SplitPolicy
    phases: PhaseRule
    selection: SelectionPolicy
    reading: ReadingPolicy
    training: TrainingPolicy
    promotion: PromotionPolicy
    members: tuple[Member, ...]
