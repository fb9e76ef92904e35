"""All automatic checks of one label, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qa.domain.findings import Finding, ReturnReason, Severity, finding
from qa.domain.label import CaseGeometry, Label, Segment, crop_label, fits, mask_type
from qa.domain.measurement import Measurement, Population, measure
from qa.domain.placement import check_displaced, check_swapped, dice_matrix
from qa.domain.presence import check_segments, check_values
from qa.domain.shape import check_components, check_holes, check_volume
from radloop.imaging import Volume
from radloop.references import Score, SegmentState, SegmentStatus


@dataclass(frozen=True, slots=True)
class Examination:
    """What the automatic checks say about one label.

    Attributes
    ----------
    findings : tuple[Finding, ...]
    measurement : Measurement or None
        For the population, should the label be approved; None where the geometry is wrong.
    prediction_dice : tuple[Score, ...]
        Dice with the prediction, "dice-segment-<value>"; empty without one.
    """

    findings: tuple[Finding, ...]
    measurement: Measurement | None
    prediction_dice: tuple[Score, ...] = ()


def examine(
    label: Volume,
    statuses: Sequence[SegmentStatus],
    prediction: Volume | None,
    case: CaseGeometry,
    segments: Sequence[Segment],
    population: Population,
    *,
    overlapping: bool = False,
) -> Examination:
    """Run every check on a label.

    Parameters
    ----------
    label : Volume
        Mask as submitted.
    statuses : sequence of SegmentStatus
        What the label says about each segment.
    prediction : Volume, optional
        A model's mask of the same case; a label map also where the label is segment bits.
    case : CaseGeometry
        What the label must sample.
    segments : sequence of Segment
        Label schema of the project.
    population : Population
        Approved labels of the project; without the case's own.
    overlapping : bool
        Whether the project's segments may overlap: its labels are then segment bits, else label maps.

    Returns
    -------
    Examination
        Wrong geometry ends the checks, and so does a mask of the other kind, whose finding then tells the bits per voxel:
        nothing else could be said. A displacement is only looked for in a label that is
        right otherwise: a missing segment or a stray component moves the centre, exchanged segments void the Dice.
    """
    if not fits(label, case, overlapping=overlapping):
        kinds = _different_kinds(label.array.dtype, mask_type(overlapping=overlapping))
        return Examination((finding(ReturnReason.GEOMETRY, Severity.RETURN, **kinds),), None)
    states: Mapping[int, SegmentState] = {status.value: status.state for status in statuses}
    cropped = crop_label(label, prediction, states)
    measurement = measure(cropped)
    predicted = _measured_prediction(cropped)
    findings = [
        *check_values(cropped, segments),
        *check_segments(cropped, segments),
        *check_components(cropped, segments, population),
        *check_holes(cropped),
        *check_volume(measurement, predicted, segments, population),
    ]
    findings += check_swapped(cropped, measurement, population)
    if not any(item.severity == Severity.RETURN for item in findings):
        findings += check_displaced(cropped, measurement, population)
    return Examination(tuple(findings), measurement, prediction_dice(cropped, segments))


def prediction_dice(label: Label, segments: Sequence[Segment]) -> tuple[Score, ...]:
    """Return the Dice of label and prediction for each segment the label speaks of; 1 where both are empty."""
    values = [segment.value for segment in segments if label.states.get(segment.value) != SegmentState.NOT_ANNOTATED]
    if label.prediction is None or not values:
        return ()
    matrix = dice_matrix(label, values)
    return tuple(Score(f"dice-segment-{value}", float(matrix[at, at])) for at, value in enumerate(values))


def _different_kinds(got: np.dtype, expected: np.dtype) -> dict[str, float]:
    if got == expected:
        return {}
    return {"voxel_bits": 8 * got.itemsize, "expected_voxel_bits": 8 * expected.itemsize}


def _measured_prediction(label: Label) -> Measurement | None:
    if label.prediction is None:
        return None
    return measure(replace(label, array=label.prediction, boxes=label.predicted_boxes))
