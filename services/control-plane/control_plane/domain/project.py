"""A project through its versions: what must hold inside one, and what may change to the next."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from control_plane.domain.configuration import MemberRole, ProjectSettings, Segment
from control_plane.domain.data_only import check_data_only, check_prose
from radloop.errors import Conflict, Forbidden, Invalid, NotFound

LARGEST_BIT_VALUE = 32
"""Largest value of a segment that may overlap others: its bit in a mask of 32 (`project-configured`)."""


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
            A segment value or name, the model's name, or what a mask is, would mean something else than before.
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
        if settings.overlapping_segments != self.settings.overlapping_segments:
            raise Conflict(
                "overlap-fixed",
                expected=f"overlapping_segments to stay {self.settings.overlapping_segments}",
                got=str(settings.overlapping_segments),
                do="set up another project: labels of the two kinds cannot be compared",
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
    """Check what must hold between fields, and that everything is data but what readers read.

    Raises
    ------
    Invalid
        Names what was expected, what came and what to do.
    """
    tree = dataclasses.asdict(settings)
    check_prose(tree["reading"].pop("instructions"), "reading.instructions")
    check_data_only(tree)
    lists: tuple[tuple[str, list[Any]], ...] = (
        ("segment values", [segment.value for segment in settings.segments]),
        ("segment names", [segment.name for segment in settings.segments]),
        ("segment colours", [segment.color.lower() for segment in settings.segments]),
        ("members with their role", [(member.subject, member.role) for member in settings.members]),
    )
    for what, values in lists:
        if twice := [value for value in values if values.count(value) > 1]:
            got = str(twice[0]) if what != "members with their role" else "one twice"
            raise Invalid("not-unique", expected=f"{what} that differ", got=got, do="change or remove one of the two")
    largest = max(segment.value for segment in settings.segments)
    if settings.overlapping_segments and largest > LARGEST_BIT_VALUE:
        raise Invalid(
            "segment-value-no-bit",
            expected=f"values up to {LARGEST_BIT_VALUE} where segments may overlap",
            got=str(largest),
            do="number the segments from 1, or split them over two projects",
        )
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
