"""Checks of a segment's shape and size: stray components, holes, volume."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage, spatial

from qa.domain.findings import Finding, ReturnReason, Severity, finding
from qa.domain.label import Label, Segment
from qa.domain.measurement import MIN_POPULATION, Measurement, Population, SegmentMeasurement, robust_spread
from radloop.imaging import components, segment_voxels

STRAY_GAP_MM = 5.0
"""Gap to the main component from which any other one is stray, where nothing is known about the segment."""
STRAY_GAP_VOXELS = 1.5
"""The same in voxels of the coarsest axis: one forgotten slice is a gap, an unlucky diagonal is not."""
STRAY_SHARE = 0.2
"""Share of the segment from which a second component is stray whatever its distance."""
STRICT_GAP_VOXELS = 2.0
"""Gap in voxels where the approved labels show that the segment is one piece."""
STRICT_SHARE = 0.05
"""Share where the approved labels show that the segment is one piece."""
ONE_PIECE_SHARE = 0.9
"""Share of approved labels with one component from which a segment counts as one piece, and below half of which it does not."""
SUPPORTED_SHARE = 0.5
"""Share of a component inside the prediction's same segment from which it is believed."""
LARGEST_LOOKED_AT = 20
"""Components whose distance is measured; a label of dust has enough with these."""

HOLE_SHARE = 0.02
"""Enclosed background as a share of the foreground that encloses it."""
HOLE_VOXELS = 10
"""Enclosed background below which nobody is asked to come back."""

VOLUME_Z = 6.0
"""Robust z of the logarithm of the volume that goes back. In the hippocampus data no clean label is above 3.5."""
VOLUME_Z_DOUBT = 4.5
VOLUME_SPREAD_FLOOR = 0.1
"""Smallest standard deviation of log volume that is believed: 10 %."""
VOLUME_SUPPORTED_RATIO = 1.25
"""Ratio to the prediction's volume within which an unusual volume is believed."""


def check_components(label: Label, segments: Sequence[Segment], population: Population) -> list[Finding]:
    """Find components of a segment that lie apart from its largest one.

    How far apart depends on what is known: where at least 90 % of eight or more approved labels have the segment in one
    piece, 2 voxels or 5 % of the segment are enough; where nothing is known, 5 mm or 20 %. A segment that comes in several
    pieces in approved labels (lesions) is not checked. A component that the prediction has too is believed. Where nothing is
    known and the segment is not in every case, the finding is a doubt only: lesions are many.
    """
    found = []
    for segment in segments:
        box = label.boxes.get(segment.value)
        known = population.of_segment(segment.value)
        one_piece = _one_piece(known) if len(known) >= MIN_POPULATION else None
        if box is None or one_piece is False:
            continue
        stray = _stray(label, box, segment.value, strict=one_piece is True)
        if stray is not None:
            count, share, gap_mm = stray
            severity = Severity.RETURN if one_piece or segment.always_present else Severity.DOUBT
            numbers = {"components": count, "volume_share": share, "gap_mm": gap_mm}
            found.append(finding(ReturnReason.STRAY_COMPONENT, severity, segment.value, **numbers))
    return found


def _one_piece(known: Sequence[SegmentMeasurement]) -> bool | None:
    share = sum(item.parts == 1 for item in known) / len(known)
    if share >= ONE_PIECE_SHARE:
        return True
    return None if share >= ONE_PIECE_SHARE / 2 else False


def _stray(label: Label, box: tuple[slice, ...], value: int, *, strict: bool) -> tuple[int, float, float] | None:
    """Return number, summed share and largest gap (mm) of the stray components, or None."""
    labelled, sizes = components(segment_voxels(label.array[box], value))
    if len(sizes) == 1:
        return None
    spacing_mm = label.spacing_mm
    voxel_mm = float(spacing_mm.max())
    least_gap_mm = max(STRAY_GAP_MM, STRAY_GAP_VOXELS * voxel_mm)
    if strict:
        least_gap_mm = min(least_gap_mm, STRICT_GAP_VOXELS * voxel_mm)
    least_share = STRICT_SHARE if strict else STRAY_SHARE
    main = spatial.cKDTree(_border(labelled == 1) * spacing_mm)
    stray = []
    for number in range(2, min(len(sizes), LARGEST_LOOKED_AT) + 1):
        inside = labelled == number
        if label.prediction is not None:
            supported = np.count_nonzero(segment_voxels(label.prediction[box][inside], value)) / sizes[number - 1]
            if supported >= SUPPORTED_SHARE:
                continue
        # Distance of voxel centres: touching voxels are one spacing apart, so one spacing is no gap.
        gap_mm = float(main.query(_border(inside) * spacing_mm)[0].min())
        share = float(sizes[number - 1] / sizes.sum())
        if gap_mm > least_gap_mm or share >= least_share:
            stray.append((share, gap_mm))
    if not stray:
        return None
    return len(stray), sum(share for share, _ in stray), max(gap for _, gap in stray)


def _border(mask: np.ndarray) -> np.ndarray:
    inner = ndimage.binary_erosion(mask)
    return np.argwhere(mask & ~inner)


def check_holes(label: Label) -> list[Finding]:
    """Find background enclosed by the foreground: at least 2 % of it and 10 voxels.

    Enclosed means: no way along voxel faces to the border of the crop. A hole filled with another segment is none, also where
    that segment lies all around as well: a rim that enhances encloses a core which only the whole lesion, around both, has.
    """
    if not label.boxes:
        return []
    background = np.pad(label.array == 0, 1, constant_values=True)
    labelled, count = ndimage.label(background)
    enclosed = background.sum() - np.count_nonzero(labelled == labelled[0, 0, 0])
    share = enclosed / np.count_nonzero(label.array)
    if count < 2 or enclosed < HOLE_VOXELS or share < HOLE_SHARE:
        return []
    return [finding(ReturnReason.HOLES, Severity.RETURN, voxels=enclosed, share=share)]


def check_volume(
    measurement: Measurement, predicted: Measurement | None, segments: Sequence[Segment], population: Population
) -> list[Finding]:
    """Find segments whose volume is far from those of at least eight approved labels.

    Compared is the logarithm, with median and median absolute deviation. Pathology is real: where the prediction has about
    the same volume the finding is a doubt only.
    """
    found = []
    for segment in segments:
        own = measurement.segments.get(segment.value)
        known = population.of_segment(segment.value)
        if own is None or len(known) < MIN_POPULATION:
            continue
        centre, spread = robust_spread(np.log([item.volume_ml for item in known]))
        # The median of n labels is itself uncertain, more so for small n.
        z = (math.log(own.volume_ml) - centre) / (
            max(spread, VOLUME_SPREAD_FLOOR) * math.sqrt(1 + math.pi / 2 / len(known))
        )
        if abs(z) < VOLUME_Z_DOUBT:
            continue
        other = predicted.segments.get(segment.value) if predicted else None
        believed = other is not None and abs(math.log(own.volume_ml / other.volume_ml)) <= math.log(
            VOLUME_SUPPORTED_RATIO
        )
        severity = Severity.RETURN if abs(z) >= VOLUME_Z and not believed else Severity.DOUBT
        numbers = {"volume_ml": own.volume_ml, "median_ml": math.exp(centre), "robust_z": z}
        found.append(finding(ReturnReason.VOLUME_OUTLIER, severity, segment.value, **numbers))
    return found
