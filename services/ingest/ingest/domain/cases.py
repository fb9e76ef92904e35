"""From the series of a study to cases: which project takes what, what cannot be formed, and what a manifest says."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ingest.domain.geometry import Stack, stacks
from ingest.domain.intensities import line_of, quantity_of, rescaled
from ingest.domain.messages import PhaseRule, ProjectConfigured
from ingest.domain.model import FormedCase, Instance, Refusal, SliceHeader
from ingest.domain.pseudonyms import case_id
from ingest.domain.reasons import Refused, RejectReason
from ingest.domain.routing import RoutingAttributes, takes
from radloop.imaging import Volume
from radloop.references import ObjectRef

CASE_RULE_VERSION = 2
"""Part of every case's identity; grows when the same series would become another volume."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice: an instance, or a frame of an enhanced one.

    Attributes
    ----------
    instance : Instance
    frame : int
        From 1, as DICOM counts.
    header : SliceHeader
        Of this slice alone.
    """

    instance: Instance
    frame: int
    header: SliceHeader


@dataclass(frozen=True)
class SeriesInHand:
    """A series of which something arrived since the study was last looked at.

    Attributes
    ----------
    series_key : str
    routing : RoutingAttributes
    instances : tuple of Instance
        All of the series, old and new.
    new_count : int
        How many of them arrived since; 0 when the study is only looked at again.
    """

    series_key: str
    routing: RoutingAttributes
    instances: tuple[Instance, ...]
    new_count: int

    @cached_property
    def planes(self) -> tuple[Plane, ...]:
        """All slices of the series: instance by instance, frame by frame."""
        return tuple(
            Plane(instance, frame, header)
            for instance in self.instances
            for frame, header in enumerate(instance.header.planes, 1)
        )


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A case to be formed: one stack of slices for each channel."""

    case_id: str
    project_id: str
    project_version: int
    phase: int
    phase_count: int
    series: SeriesInHand
    channels: tuple[tuple[int, Stack], ...]
    """(phase, stack) of each channel."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be formed of a study, and what is refused."""

    cases: tuple[PlannedCase, ...]
    refusals: tuple[Refusal, ...]


def plan(
    study_key: str,
    site: str,
    series_in_hand: Sequence[SeriesInHand],
    projects: Sequence[ProjectConfigured],
    formed: frozenset[tuple[str, str]],
) -> Plan:
    """Decide what becomes of what arrived.

    Parameters
    ----------
    study_key, site : str
    series_in_hand : sequence of SeriesInHand
    projects : sequence of ProjectConfigured
        As they are set up now: a project that comes later takes what arrives later.
    formed : frozenset of (project_id, series_key)
        Series that are cases already. A case is immutable, so late slices of one are refused.

    Returns
    -------
    Plan
        Refusals of a series are only said when a project wants it: nobody waits for a localizer to become a volume.
    """
    cases: list[PlannedCase] = []
    refusals: list[Refusal] = []
    taken = False
    for series in series_in_hand:
        wanted = [project for project in projects if takes(project.routing, series.routing)]
        taken = taken or bool(wanted)
        late = [project for project in wanted if (project.project_id, series.series_key) in formed]
        fresh = [project for project in wanted if project not in late]
        if late and series.new_count:
            detail = (
                "slices that came after their series had become a case; withdraw the study and send it again, whole"
            )
            refusals.append(Refusal(study_key, series.series_key, RejectReason.UNSUPPORTED, series.new_count, detail))
        if not fresh:
            continue
        try:
            volumes = stacks([plane.header for plane in series.planes])
        except Refused as refused:
            refusals.append(refusal_of(study_key, series, refused))
            continue
        for project in fresh:
            cases += _cases_of(site, project, series, volumes)
    if series_in_hand and not taken and not formed:
        count = sum(series.new_count or len(series.instances) for series in series_in_hand)
        detail = f"none of {len(projects)} projects has a routing rule that matches any series"
        refusals.append(Refusal(study_key, "", RejectReason.NO_PROJECT, count, detail))
    return Plan(tuple(cases), tuple(refusals))


def refusal_of(study_key: str, series: SeriesInHand, refused: Refused) -> Refusal:
    """Return the refusal of a whole series."""
    return Refusal(study_key, series.series_key, refused.reason, len(series.instances), refused.detail)


def _cases_of(site: str, project: ProjectConfigured, series: SeriesInHand, volumes: list[Stack]) -> list[PlannedCase]:
    if project.phases is PhaseRule.CHANNELS:
        groups = [tuple(enumerate(volumes))]
    else:
        groups = [((phase, stack),) for phase, stack in enumerate(volumes)]
    return [
        PlannedCase(
            case_id=case_id(site, project.project_id, [series.series_key], phase, CASE_RULE_VERSION),
            project_id=project.project_id,
            project_version=project.project_version,
            phase=phase,
            phase_count=len(volumes),
            series=series,
            channels=channels,
        )
        for phase, channels in enumerate(groups)
    ]


def assemble_volume(frames: Sequence[np.ndarray], series: SeriesInHand, stack: Stack) -> Volume:
    """Put the slices of one stack together.

    Parameters
    ----------
    frames : sequence of numpy.ndarray
        Stored values of every plane of the series, each of shape ``(rows, columns)``.
    series : SeriesInHand
    stack : Stack

    Returns
    -------
    Volume
        Rescaled values, axes (i, j, k); in memory slice after slice, as NIfTI writes it.
    """
    headers = [series.planes[index].header for index in stack.order]
    values = rescaled([frames[index] for index in stack.order], headers)
    return Volume(array=values.transpose(2, 1, 0), affine_lps=stack.affine_lps)


def manifest(planned: PlannedCase, volumes: Sequence[ObjectRef], shape: Sequence[int]) -> dict[str, Any]:
    """Return the manifest of a case; the same case gives the same manifest.

    ``slices`` and ``channels[n].slices`` are in order of k. ``frame`` counts from 1, as DICOM does. ``affine_lps`` is
    row-major, 16 numbers, voxel index (i, j, k) to LPS in mm. A stored value times ``slope`` plus ``intercept`` of its
    slice's ``pixels`` is the ``quantity``.
    """
    channels = []
    quantity = quantity_of([plane.header for plane in planned.series.planes])
    for (phase, stack), ref in zip(planned.channels, volumes, strict=True):
        slices = [planned.series.planes[index] for index in stack.order]
        channels.append(
            {
                "volume": _reference(ref),
                "series_key": planned.series.series_key,
                "phase": phase,
                "slices": [
                    {
                        "sop_instance_uid": one.instance.sop_key,
                        "frame": one.frame,
                        "object": _reference(one.instance.object),
                        "pixels": _pixels(one.header, quantity),
                    }
                    for one in slices
                ],
            }
        )
    first = planned.series.instances[0]
    _, stack = planned.channels[0]
    return {
        "case_id": planned.case_id,
        "case_rule_version": CASE_RULE_VERSION,
        "project_id": planned.project_id,
        "study_key": first.study_key,
        "series_keys": [planned.series.series_key],
        "sop_class_uid": first.header.sop_class_uid,
        "modality": first.header.modality,
        "phase": planned.phase,
        "phase_count": planned.phase_count,
        "quantity": quantity,
        "shape": list(shape),
        "affine_lps": [float(number) for number in stack.affine_lps.ravel()],
        "slices": channels[0]["slices"],
        "channels": channels,
    }


def formed_case(
    planned: PlannedCase, manifest_ref: ObjectRef, volumes: Sequence[ObjectRef], shape: Sequence[int]
) -> FormedCase:
    """Return the case whose objects have been stored."""
    _, stack = planned.channels[0]
    spacing_mm = np.linalg.norm(stack.affine_lps[:3, :3], axis=0)
    planes = planned.series.planes
    return FormedCase(
        case_id=planned.case_id,
        project_id=planned.project_id,
        project_version=planned.project_version,
        study_key=planned.series.instances[0].study_key,
        series_keys=(planned.series.series_key,),
        phase=planned.phase,
        phase_count=planned.phase_count,
        manifest=manifest_ref,
        volumes=tuple(volumes),
        modality=planes[0].header.modality,
        shape=tuple(int(length) for length in shape),
        spacing_mm=tuple(float(length) for length in spacing_mm),
        affine_lps=tuple(float(number) for number in stack.affine_lps.ravel()),
        quantity=quantity_of([plane.header for plane in planes]),
        instance_count=len({planes[index].instance.sop_key for _, stack in planned.channels for index in stack.order}),
    )


def _pixels(header: SliceHeader, quantity: str) -> dict[str, Any]:
    slope, intercept = line_of(header, quantity)
    return {
        "bits_allocated": header.bits_allocated,
        "signed": header.signed,
        "slope": slope,
        "intercept": intercept,
    }


def _reference(ref: ObjectRef) -> dict[str, Any]:
    return {"key": ref.key, "digest": ref.digest, "size_bytes": ref.size_bytes}
