"""What a project is set up with, and what may change from one version to the next.

The dataclasses mirror `project-configured`; which values each field takes is checked where they come in
(`adapters/project_body.py`), what holds between fields and between versions is checked here.
"""

import dataclasses
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from radloop.errors import Conflict, Forbidden, Invalid, NotFound


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
    """How labels are checked; `lease_s` in seconds."""

    second_reading_share: float
    agreement_threshold: float
    lease_s: int


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


@dataclass(frozen=True)
class Project:
    """A project at its newest version.

    Attributes
    ----------
    project_id : str
        Its name for ever.
    version : int
        From 1; grows by one with every change.
    settings : ProjectSettings
        What the newest version says.
    segments_ever : tuple of Segment
        Every segment any version has had; a retired one keeps its value.
    """

    project_id: str
    version: int
    settings: ProjectSettings
    segments_ever: tuple[Segment, ...]

    @classmethod
    def new(cls, project_id: str, settings: ProjectSettings) -> Self:
        """Make a project's first version.

        Raises
        ------
        Invalid
            The settings contradict themselves, or are more than data.
        """
        check_settings(settings)
        return cls(project_id, 1, settings, settings.segments)

    def changed_to(self, settings: ProjectSettings) -> "Project":
        """Return the next version, or this one when nothing is different.

        Raises
        ------
        Invalid
            The settings contradict themselves, or are more than data.
        Conflict
            A segment value or name, or the model's name, would mean something else than before.
        """
        if settings == self.settings:
            return self
        check_settings(settings)
        if settings.model_name != self.settings.model_name:
            raise Conflict(
                "model-name-fixed",
                expected=f"model_name {self.settings.model_name}",
                got=settings.model_name,
                do="keep the name, which its models carry, or set up another project",
            )
        check_segments(self.segments_ever, settings.segments)
        added = tuple(segment for segment in settings.segments if segment not in self.segments_ever)
        return Project(self.project_id, self.version + 1, settings, self.segments_ever + added)


def known(project: Project | None, project_id: str) -> Project:
    """Return the project that was looked for.

    Raises
    ------
    NotFound
        ``project-unknown``: there is none.
    """
    if project is None:
        raise NotFound(
            "project-unknown", expected="a project", got=project_id, do="list them: GET /v1/projects, or PUT a new one"
        )
    return project


def check_segments(ever: tuple[Segment, ...], wanted: tuple[Segment, ...]) -> None:
    """Check that no value or name changes its meaning against any earlier version.

    Raises
    ------
    Conflict
        ``segment-value-reused`` or ``segment-renumbered``: labels made under the earlier version would be misread.
    """
    by_value = {segment.value: segment for segment in ever}
    by_name = {segment.name: segment for segment in ever}
    used = sorted(by_value)
    free = next((value for value in range(1, 256) if value not in by_value), None)
    for segment in wanted:
        before = by_value.get(segment.value)
        if before is not None and before.identity != segment.identity:
            raise Conflict(
                "segment-value-reused",
                expected=f"value {segment.value} to stay {before.name} ({before.type.scheme} {before.type.value})",
                got=f"{segment.name} ({segment.type.scheme} {segment.type.value})",
                do=f"give {segment.name} a value that was never used, e.g. {free}; used are {used}",
            )
        before = by_name.get(segment.name)
        if before is not None and before.value != segment.value:
            raise Conflict(
                "segment-renumbered",
                expected=f"{segment.name} to keep value {before.value}",
                got=f"value {segment.value}",
                do=f"put value {before.value} back, or choose another name",
            )


def check_settings(settings: ProjectSettings) -> None:
    """Check what must hold between fields, and that everything is data.

    Raises
    ------
    Invalid
        Names what was expected, what came and what to do.
    """
    check_data_only(dataclasses.asdict(settings))
    for what, values in (
        ("segment values", [segment.value for segment in settings.segments]),
        ("segment names", [segment.name for segment in settings.segments]),
        ("segment colours", [segment.color.lower() for segment in settings.segments]),
        ("members with their role", [(member.subject, member.role) for member in settings.members]),
    ):
        if twice := [value for value in values if values.count(value) > 1]:
            got = str(twice[0]) if what != "members with their role" else "one twice"
            raise Invalid("not-unique", expected=f"{what} that differ", got=got, do="change or remove one of the two")
    for rule in settings.routing:
        if not any((rule.called_ae_title, rule.modality, rule.body_part, rule.description_contains)):
            raise Invalid(
                "routing-takes-everything",
                expected="at least one condition in every routing rule",
                got="a rule without any",
                do="set called_ae_title, modality, body_part or description_contains",
            )
    if settings.split.validation_fraction + settings.split.test_fraction >= 1:
        raise Invalid(
            "split-leaves-nothing",
            expected="validation_fraction + test_fraction below 1",
            got=f"{settings.split.validation_fraction} + {settings.split.test_fraction}",
            do="leave patients to train on",
        )
    if settings.selection.batch_size > settings.selection.pool_sample:
        raise Invalid(
            "batch-larger-than-pool",
            expected=f"batch_size up to pool_sample ({settings.selection.pool_sample})",
            got=str(settings.selection.batch_size),
            do="raise pool_sample or lower batch_size",
        )


# What would be more than data to MONAI's and Hydra's configuration parsers, or to a shell: `$` begins an expression, `@` a
# reference, `%` a macro, `_target_` and its like name code to call.
_EXPRESSION = re.compile(r"\$|`|^[@%]|\{\{|(^|[^A-Za-z0-9])_[a-z]+_($|[^A-Za-z0-9])")
# An absolute or relative path, a home, a drive, a URL, two steps down, or one step down to a file with an extension.
# One slash inside words stays allowed: "T1/T2" is a series description.
_PATH = re.compile(r"^[/~.]|\\|\.\.|^[A-Za-z]:|://|/.*/|/.*\.\w+$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_data_only(tree: Any, place: str = "") -> None:
    """Refuse code, expressions and paths anywhere in a tree of dicts, sequences and scalars.

    What the control plane says is taken over by every site as data; nothing in it may name something to run or to open.

    Raises
    ------
    Invalid
        ``not-data``: names the place, never the value.
    """
    if isinstance(tree, dict):
        for name, value in tree.items():
            check_data_only(name, place or "a key")
            check_data_only(value, f"{place}.{name}" if place else str(name))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            check_data_only(value, f"{place}[{index}]")
    elif isinstance(tree, str):
        for what, pattern in (("an expression", _EXPRESSION), ("a path", _PATH), ("a control character", _CONTROL)):
            if pattern.search(tree):
                raise Invalid(
                    "not-data",
                    expected="plain words: a project is data only",
                    got=f"{what} in {place or 'the project'}",
                    do="write it without $, _name_, leading @ or %, slashes of a path, or control characters",
                )


def check_may_appoint(before: ProjectSettings | None, after: ProjectSettings, *, site_admin: bool) -> None:
    """Check that nobody gives away a role above their own: only a site administrator appoints site administrators.

    Raises
    ------
    Forbidden
        A project lead adds a member with the role site-admin.
    """
    had = {member for member in before.members if member.role is MemberRole.SITE_ADMIN} if before else set()
    gets = {member for member in after.members if member.role is MemberRole.SITE_ADMIN}
    if gets - had and not site_admin:
        raise Forbidden(
            "forbidden",
            expected="a site administrator to appoint site administrators",
            got="a project lead",
            do="ask the site's administrator",
        )
