"""How well two readings of one case agree, and which of two agreeing labels is taken."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from radloop.imaging import Volume, dice, surface_distance_95
from radloop.references import Score, SegmentState, SegmentStatus


@dataclass(frozen=True, slots=True)
class SegmentAgreement:
    """Agreement of two readers on one segment.

    Attributes
    ----------
    segment : int
        Segment value.
    dice : float
        0..1; 1 when both say there is none.
    surface_distance_95_mm : float
        95th percentile of the distances between the two surfaces, both directions pooled; infinite when one reader has nothing.
    """

    segment: int
    dice: float
    surface_distance_95_mm: float


def compare(
    first: Volume, second: Volume, first_statuses: Sequence[SegmentStatus], second_statuses: Sequence[SegmentStatus]
) -> tuple[SegmentAgreement, ...]:
    """Compare two labels of one case, segment by segment.

    Parameters
    ----------
    first, second : Volume
        Masks in one geometry; each a label map (uint8) or segment bits (uint32), a voxel then counting for each of its segments.
    first_statuses, second_statuses : sequence of SegmentStatus
        A segment that either label does not speak of is left out.

    Returns
    -------
    tuple[SegmentAgreement, ...]
        In order of segment value; empty when the labels speak of no common segment.
    """
    spoken = [
        {status.value for status in statuses if status.state != SegmentState.NOT_ANNOTATED}
        for statuses in (first_statuses, second_statuses)
    ]
    box = _common_box(first.array, second.array)
    one, other = first.array[box], second.array[box]
    return tuple(
        SegmentAgreement(
            segment=value,
            dice=dice(one, other, value),
            surface_distance_95_mm=surface_distance_95(one, other, value, first.spacing_mm),
        )
        for value in sorted(spoken[0] & spoken[1])
    )


def _common_box(first: np.ndarray, second: np.ndarray) -> tuple[slice, ...]:
    found = ndimage.find_objects(((first > 0) | (second > 0)).astype(np.uint8))
    return found[0] if found else (slice(0, 0),) * 3


def mean_dice(agreement: Sequence[SegmentAgreement]) -> float:
    """Return the mean Dice over segments; 0 where nothing could be compared."""
    return sum(item.dice for item in agreement) / len(agreement) if agreement else 0.0


def readers_agree(agreement: Sequence[SegmentAgreement], threshold: float, surface_limit_mm: float) -> bool:
    """Whether two labels say the same: mean Dice at least the threshold, and no surface further away than the limit.

    The limit is there because Dice hides a small part far away.
    """
    near = all(item.surface_distance_95_mm <= surface_limit_mm for item in agreement)
    return mean_dice(agreement) >= threshold and near


def scores(agreement: Sequence[SegmentAgreement]) -> tuple[Score, ...]:
    """Return the agreement as named numbers; distances that are infinite are left out."""
    named = [Score(f"dice-segment-{item.segment}", item.dice) for item in agreement]
    named += [
        Score(f"surface-distance-95-segment-{item.segment}-mm", item.surface_distance_95_mm)
        for item in agreement
        if math.isfinite(item.surface_distance_95_mm)
    ]
    return tuple(named)
