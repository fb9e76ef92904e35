"""What a PUT of a project may contain: names, ranges and defaults, field by field.

Strict: a number is not taken from a string, and an unknown field is refused. What holds between fields and between versions is the
domain's (`domain/project.py`); what a field means and which are required is in `proto/` (`project-configured`).
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from control_plane.adapters.sql import SETTINGS
from control_plane.domain.configuration import MemberRole, PhaseRule, ProjectSettings, PromotionMode, Strategy
from radloop.errors import Invalid

# Lower-case letters, digits and "-": usable in file names, URLs, topics and Triton's model names without escaping.
CODE_LIKE = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
# Value representations of PS3.5 section 6.2: AE and LO take printable characters but no backslash, CS upper case.
AE = r"^[^\\\x00-\x1f\x7f]*$"
CS = r"^[A-Z0-9 _]*$"

CodeLike = Annotated[str, Field(pattern=CODE_LIKE, max_length=48)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Body(BaseModel):
    """Strict, closed, and documented by its fields' docstrings."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class CodedTermBody(Body):
    """A concept of a coding scheme, e.g. SCT 10200004 Liver."""

    value: str = Field(min_length=1, max_length=64)
    """Code value."""
    scheme: str = Field(min_length=1, max_length=16)
    """Coding scheme designator, e.g. SCT or DCM."""
    meaning: str = Field(min_length=1, max_length=64)
    """Code meaning."""


class SegmentBody(Body):
    """One segment of the label schema."""

    value: int = Field(ge=1, le=255)
    """Value in the label map; never renumbered or reused."""
    name: CodeLike
    """Short name."""
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    """Display colour."""
    type: CodedTermBody
    """What it is (Segmented Property Type)."""
    category: CodedTermBody
    """Its category (Segmented Property Category)."""
    always_present: bool = False
    """Whether every case contains it."""


class RoutingRuleBody(Body):
    """Takes a study when all its non-empty fields match."""

    called_ae_title: str = Field(default="", max_length=16, pattern=AE)
    """AE title the study was sent to."""
    modality: str = Field(default="", max_length=16, pattern=CS)
    """DICOM Modality."""
    body_part: str = Field(default="", max_length=16, pattern=CS)
    """Body Part Examined."""
    description_contains: str = Field(default="", max_length=64, pattern=AE)
    """Text that the Series Description contains, whatever its case."""


class SplitBody(Body):
    """How patients are split; the rest trains."""

    validation_fraction: float = Field(ge=0, le=0.5, allow_inf_nan=False)
    """Share of patients for validation."""
    test_fraction: float = Field(ge=0, le=0.5, allow_inf_nan=False)
    """Share of patients for test."""


class SelectionBody(Body):
    """How cases are chosen for reading."""

    strategy: Strategy = Field(strict=False)
    """Ranking, by name."""
    pool_sample: int = Field(ge=1, le=1_000_000)
    """Number of cases predicted on for a round, at most."""
    batch_size: int = Field(ge=1, le=100_000)
    """Number of cases flagged in a round."""
    control_fraction: Share = 0.1
    """Share of the batch drawn at random as control; never fewer than 2 cases."""
    cold_start: bool = False
    """Whether a first batch is drawn when there is no model yet."""
    max_rounds: Count = 0
    """Number of rounds after which no further one starts; 0 for no end."""
    seed: Seed = 0
    """Seed of all draws."""


class ReadingBody(Body):
    """How cases are read and labels checked."""

    second_reading_share: Share = 0.0
    """Share of cases read twice, blind."""
    agreement_threshold: Share = 0.8
    """Mean Dice of two readers below which a third decides."""
    lease_s: int = Field(default=1800, ge=1, le=604_800)
    """Seconds a lease on a task lasts without renewal."""
    instructions: str = Field(default="", max_length=20_000)
    """How to read, for the readers, in Markdown. About the project, never about a patient: it leaves for every site."""


class TrainingBody(Body):
    """When and how to train."""

    new_labels: int = Field(ge=1, le=1_000_000)
    """A run starts when this many training labels were newly approved."""
    min_validation_labels: Count = 0
    """No run before this many validation labels are approved."""
    quiet_s: int = Field(default=0, ge=0, le=31_536_000)
    """A run starts with fewer new labels when none was approved for this many seconds; 0 for never."""
    initial_steps: int = Field(ge=1, le=10_000_000)
    """Optimizer steps of a run from random weights."""
    update_steps: int = Field(ge=1, le=10_000_000)
    """Optimizer steps of a run from the serving model's weights."""
    edge_case_weight: float = Field(default=1.0, gt=0, le=100, allow_inf_nan=False)
    """Sampling weight of an edge case against 1 for the others."""
    members: int = Field(default=1, ge=1, le=16)
    """Number of models whose disagreement is measured; 1 for none."""
    seed: Seed = 0
    """Seed of the run."""
    spacing_mm: list[Annotated[float, Field(gt=0, le=50, allow_inf_nan=False)]] = Field(default=[], max_length=3)
    """Voxel spacing the network works in, mm along (i, j, k); empty for the images' own."""
    patch: list[Annotated[int, Field(ge=8, le=1024)]] = Field(min_length=3, max_length=3)
    """Patch the network is trained on, voxels along (i, j, k)."""
    max_runs: Count = 0
    """No run starts after this many; 0 for no end."""


class PromotionBody(Body):
    """When a new model may replace the serving one."""

    mode: PromotionMode = Field(strict=False)
    """Who decides."""
    margin: float = Field(default=0.0, ge=-1, le=1, allow_inf_nan=False)
    """The lower bound of the difference in Dice must be above this."""
    segment_loss_bound: Share = 0.05
    """No segment may lose more than this mean Dice."""


class MemberBody(Body):
    """A person's role in the project."""

    subject: str = Field(min_length=1, max_length=200)
    """Subject as the identity provider names it."""
    role: MemberRole = Field(strict=False)
    """What they may do."""


class ProjectBody(Body):
    """Everything a project is set up with; defaults stand where the contract requires no value."""

    model_name: CodeLike
    """Name of the project's model; no two projects share one, and it never changes."""
    segments: list[SegmentBody] = Field(min_length=1, max_length=255)
    """Label schema."""
    overlapping_segments: bool = False
    """Whether segments may overlap; never changes. Then every value is at most 32."""
    routing: list[RoutingRuleBody] = Field(min_length=1, max_length=100)
    """Which studies the project takes: those any rule matches."""
    split: SplitBody
    """How patients are split."""
    phases: PhaseRule = Field(default=PhaseRule.SPLIT, strict=False)
    """How 4-D series become cases."""
    selection: SelectionBody
    """How cases are chosen for reading."""
    reading: ReadingBody = Field(default_factory=ReadingBody)
    """How labels are checked."""
    training: TrainingBody
    """When and how to train."""
    promotion: PromotionBody
    """When a new model may replace the serving one."""
    members: list[MemberBody] = Field(default=[], max_length=10_000)
    """Who may do what."""

    def settings(self) -> ProjectSettings:
        """Return the domain's value of this body.

        Raises
        ------
        Invalid
            `spacing_mm` has one or two numbers.
        """
        if len(self.training.spacing_mm) not in (0, 3):
            raise Invalid(
                "request-invalid",
                expected="three numbers along (i, j, k), or none",
                got=f"{len(self.training.spacing_mm)} in training.spacing_mm",
                do="give all three spacings in mm",
            )
        return SETTINGS.validate_python(self.model_dump(mode="json"))


class PromoteBody(Body):
    """Which project a model shall serve."""

    project_id: CodeLike
    """The project."""
