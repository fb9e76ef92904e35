"""What is measured of a label, and what the approved labels of a project look like together.

The population is small and its members are trusted but not perfect, so centre and spread are medians; a statistic from
fewer than `MIN_POPULATION` labels is no statistic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize

from qa.domain.label import Label
from radloop.imaging import segment_voxels

MIN_POPULATION = 8
"""Approved labels below which nothing is compared with the population."""

_MAD_TO_SD = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""


@dataclass(frozen=True, slots=True)
class SegmentMeasurement:
    """One segment of one label.

    Attributes
    ----------
    volume_ml : float
        Volume of all its voxels.
    centroid_mm : tuple of float
        Mean position of its voxels in patient coordinates (LPS, mm).
    parts : int
        Number of 26-connected components that hold at least 1 % of its voxels.
    """

    volume_ml: float
    centroid_mm: tuple[float, float, float]
    parts: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One label.

    Attributes
    ----------
    segments : Mapping[int, SegmentMeasurement]
        By value, for the values that occur.
    frame_offset_mm : tuple of float or None
        Centre of the foreground's bounding box minus centre of the image frame, along the voxel axes that lie nearest to the
        patient's L, P and S axes; None without foreground. Comparable between crops that were cut alike.
    """

    segments: Mapping[int, SegmentMeasurement]
    frame_offset_mm: tuple[float, float, float] | None


def measure(label: Label) -> Measurement:
    """Measure a label; values nobody knows are measured too."""
    segments = {}
    for value, box in label.boxes.items():
        mask = segment_voxels(label.array[box], value)
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool))
        sizes = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
        centre = np.array(
            [np.average(np.arange(n), weights=mask.sum(axis=_others(a))) for a, n in enumerate(mask.shape)]
        )
        x, y, z = label.patient_mm(centre + [part.start for part in box])
        segments[value] = SegmentMeasurement(
            volume_ml=float(sizes.sum()) * label.voxel_ml,
            centroid_mm=(float(x), float(y), float(z)),
            parts=int((sizes >= 0.01 * sizes.sum()).sum()),
        )
    return Measurement(segments, _frame_offset_mm(label))


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != axis)


def _frame_offset_mm(label: Label) -> tuple[float, float, float] | None:
    if not label.boxes:
        return None
    low = np.min([[part.start for part in box] for box in label.boxes.values()], axis=0)
    high = np.max([[part.stop - 1 for part in box] for box in label.boxes.values()], axis=0)
    centre = (low + high) / 2.0 + np.asarray(label.origin)
    offset_mm = (centre - (np.asarray(label.shape) - 1) / 2.0) * label.spacing_mm
    axes, signs = patient_axes(label.affine_lps)
    x, y, z = (float(offset_mm[axis] * sign) for axis, sign in zip(axes, signs, strict=True))
    return x, y, z


def patient_axes(affine_lps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for the patient axes L, P, S, the voxel axis nearest to each and the sign of its direction."""
    directions = affine_lps[:3, :3] / np.linalg.norm(affine_lps[:3, :3], axis=0)
    _, axes = optimize.linear_sum_assignment(-np.abs(directions))
    return axes, np.sign(directions[np.arange(3), axes])


@dataclass(frozen=True)
class Population:
    """Approved labels of one project, one for each case, test cases left out.

    Attributes
    ----------
    labels : Sequence[Measurement]
    prediction_dice : Sequence[float]
        Mean Dice between the model's prediction and the approved label, for the cases that had a prediction.
    """

    labels: Sequence[Measurement] = ()
    prediction_dice: Sequence[float] = ()

    def of_segment(self, value: int) -> list[SegmentMeasurement]:
        """Return what was measured of a segment where it occurs."""
        return [label.segments[value] for label in self.labels if value in label.segments]


def robust_spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return median and standard deviation (by the median absolute deviation) along the first axis."""
    centre = np.median(values, axis=0)
    return centre, _MAD_TO_SD * np.median(np.abs(values - centre), axis=0)
