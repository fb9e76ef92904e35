"""Checks of where segments are: exchanged, or displaced as a whole. Against the prediction, or against approved labels.

A label is never doubted here because its Dice with the prediction is low: mined cases are those the model gets wrong. What
counts is that another arrangement of the same label (segments exchanged, or moved by some voxels) would fit much better.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from qa.domain.findings import Finding, ReturnReason, Severity, finding
from qa.domain.label import Label
from qa.domain.measurement import MIN_POPULATION, Measurement, Population, robust_spread
from radloop.imaging import segment_voxels

SWAP_GAIN = 0.15
"""Mean Dice gained by exchanging segments from which they count as exchanged."""
SWAP_DICE = 0.3
"""Mean Dice the exchanged arrangement must reach: two empty agreements prove nothing."""
ORDER_COSINE = 0.7
"""Cosine with the mean direction between two segments that approved labels must keep, for the direction to mean something."""
ORDER_SHARE = 0.95
"""Share of the approved labels that must keep it."""
REVERSED_COSINE = -0.5
"""Cosine from which a direction counts as reversed."""

REACH_VOXELS = 6
"""Translations of at most so many voxels along each axis are tried."""
SHIFT_VOXELS = 2.0
"""Translations shorter than this are within what readers and models do."""
SHIFT_GAIN = 0.12
"""Mean Dice gained by translation from which a label counts as displaced."""
SHIFT_GAIN_CONFIRMED = 0.06
"""The same where the place in the frame says so too."""
SHIFT_GAIN_DENIED = 0.20
"""The same where the place in the frame is as usual."""
POOR_DICE = 0.6
"""Mean Dice, after the best translation, below which a prediction is too poor to speak against an unusual place."""
SAMPLED_VOXELS = 20_000
"""Voxels of a segment looked up per translation, evenly taken; the error of the Dice is below 0.01."""

FRAME_SPREAD_VOXELS = 2.0
"""Spread of the approved labels' place in the frame above which the place says nothing."""
FRAME_SPREAD_FLOOR_VOXELS = 0.5
FRAME_CONFIDENCE = 0.99
"""Share of clean labels that would not be noticed if places were normally distributed."""
FRAME_FLOOR = 22.0
"""Least squared distance that is noticed: places have heavier tails than the normal distribution."""
FRAME_USUAL = 6.0
"""Squared distance below which a place is as usual: nine of ten clean labels, if places were normally distributed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a label lies in its image frame compared with approved labels.

    Attributes
    ----------
    distance : float
        Squared Mahalanobis distance of the offset (3 axes, independent, robust).
    limit : float
        Distance above which the place is unusual.
    offset_mm : tuple of float
        Deviation from the median along L, P, S.
    """

    distance: float
    limit: float
    offset_mm: tuple[float, float, float]


def dice_matrix(label: Label, values: Sequence[int]) -> np.ndarray:
    """Return the Dice of every segment of the label (rows) with every segment of the prediction (columns).

    Segments are compared one by one: a voxel that belongs to several counts for each of them.

    Returns
    -------
    numpy.ndarray
        float64 ``(n, n)``; 1 where both are empty.
    """
    assert label.prediction is not None
    predicted = np.array([_predicted_voxels(label, value) for value in values])
    own, common = np.zeros(len(values), dtype=np.intp), np.zeros((len(values),) * 2, dtype=np.intp)
    for row, value in enumerate(values):
        if value in label.boxes:
            box = label.boxes[value]
            under = label.prediction[box][segment_voxels(label.array[box], value)]
            own[row] = under.size
            common[row] = [np.count_nonzero(segment_voxels(under, other)) for other in values]
    total = own[:, None] + predicted[None, :]
    return np.where(total == 0, 1.0, 2.0 * common / np.maximum(total, 1))


def _predicted_voxels(label: Label, value: int) -> int:
    assert label.prediction is not None
    box = label.predicted_boxes.get(value)
    return 0 if box is None else int(np.count_nonzero(segment_voxels(label.prediction[box], value)))


def check_swapped(label: Label, measurement: Measurement, population: Population) -> list[Finding]:
    """Find segments that are exchanged.

    With a prediction: the best assignment of the label's segments to the prediction's raises mean Dice by at least 0.15, to
    at least 0.3. Approved labels may veto (they show the label's own order): then the model has exchanged them. Without a
    prediction, or where it shows nothing: the direction from one segment's centroid to the other's is reversed although
    95 % of eight or more approved labels agree on it.
    """
    reversed_pairs, usual_pairs = _directions(measurement, population)
    found = []
    if label.prediction is not None:
        values = [value for value in label.boxes if value in label.predicted_boxes]
        found = _exchanged(label, values)
        if found and {item.segment for item in found} <= {value for pair in usual_pairs for value in pair}:
            found = [item for item in found if item.segment in {v for pair in reversed_pairs for v in pair}]
    if not found:
        found = [
            finding(ReturnReason.SWAPPED_SEGMENTS, Severity.RETURN, first, other_segment=second, cosine=cosine)
            for (first, second), cosine in reversed_pairs.items()
        ]
    return found


def _exchanged(label: Label, values: Sequence[int]) -> list[Finding]:
    if len(values) < 2:
        return []
    matrix = dice_matrix(label, values)
    rows, columns = optimize.linear_sum_assignment(-matrix)
    before, after = float(np.trace(matrix)) / len(values), float(matrix[rows, columns].mean())
    if after - before < SWAP_GAIN or after < SWAP_DICE:
        return []
    return [
        finding(
            ReturnReason.SWAPPED_SEGMENTS,
            Severity.RETURN,
            values[row],
            other_segment=values[column],
            mean_dice=before,
            mean_dice_exchanged=after,
        )
        for row, column in zip(rows, columns, strict=True)
        if row != column
    ]


def _directions(
    measurement: Measurement, population: Population
) -> tuple[dict[tuple[int, int], float], set[tuple[int, int]]]:
    """Return the pairs whose direction is reversed (with the cosine) and the pairs whose direction is as usual."""
    turned, usual = {}, set()
    for first, second in itertools.combinations(sorted(measurement.segments), 2):
        known = [
            _direction(label, first, second)
            for label in population.labels
            if first in label.segments and second in label.segments
        ]
        if len(known) < MIN_POPULATION:
            continue
        mean = np.mean(known, axis=0)
        cosines = np.array([_cosine(vector, mean) for vector in known])
        if (cosines >= ORDER_COSINE).mean() < ORDER_SHARE:
            continue
        cosine = _cosine(_direction(measurement, first, second), mean)
        if cosine <= REVERSED_COSINE:
            turned[first, second] = cosine
        elif cosine >= ORDER_COSINE:
            usual.add((first, second))
    return turned, usual


def _direction(label: Measurement, first: int, second: int) -> np.ndarray:
    return np.subtract(label.segments[second].centroid_mm, label.segments[first].centroid_mm)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else 0.0


def frame_of(label: Label, measurement: Measurement, population: Population) -> Frame | None:
    """Compare a label's place in its frame with that of approved labels.

    Returns
    -------
    Frame or None
        None with fewer than eight approved labels, and where their places spread over more than 2 voxels of this image: a
        frame that was not cut around the organ says nothing.
    """
    known = [item.frame_offset_mm for item in population.labels if item.frame_offset_mm is not None]
    if measurement.frame_offset_mm is None or len(known) < MIN_POPULATION:
        return None
    centre, spread = robust_spread(np.array(known))
    voxel_mm = float(label.spacing_mm.max())
    if (spread > FRAME_SPREAD_VOXELS * voxel_mm).any():
        return None
    offset_mm = np.asarray(measurement.frame_offset_mm) - centre
    distance = float(((offset_mm / np.maximum(spread, FRAME_SPREAD_FLOOR_VOXELS * voxel_mm)) ** 2).sum())
    # Hotelling's T-squared: with few labels the spread itself is uncertain and the limit is higher.
    count = len(known)
    quantile = float(special.fdtri(3, count - 3, FRAME_CONFIDENCE))
    limit = max(FRAME_FLOOR, 3 * (count - 1) * (count + 1) / (count * (count - 3)) * quantile)
    x, y, z = (float(value) for value in offset_mm)
    return Frame(distance, limit, (x, y, z))


@dataclass(frozen=True, slots=True)
class Translation:
    """The translation of a label that fits the prediction best.

    Attributes
    ----------
    voxels : tuple of int
        Along (i, j, k).
    dice_before, dice_after : float
        Mean Dice over the segments that both have.
    """

    voxels: tuple[int, int, int]
    dice_before: float
    dice_after: float


def best_translation(label: Label) -> Translation | None:
    """Search the integer translation of the label, within 6 voxels, with the highest mean Dice to the prediction.

    Every second translation first, then all neighbours of the best; overlap changes smoothly enough for that. None when
    label and prediction share no segment.
    """
    assert label.prediction is not None
    reach = REACH_VOXELS
    padded = np.pad(label.prediction, reach)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    flat, sampled = padded.ravel(), []
    for value, box in label.boxes.items():
        predicted = _predicted_voxels(label, value)
        if not predicted:
            continue
        mask = segment_voxels(label.array[box], value)
        inside = np.flatnonzero(mask)
        step = math.ceil(len(inside) / SAMPLED_VOXELS)
        places = np.stack(np.unravel_index(inside[::step], mask.shape), axis=1) + [part.start for part in box]
        sampled.append((value, (places + reach) @ strides, step * 2.0 / (len(inside) + predicted)))
    if not sampled:
        return None

    def mean_dice(shift: tuple[int, ...]) -> float:
        move = int(np.dot(shift, strides))
        covered = (weight * np.count_nonzero(segment_voxels(flat[at + move], value)) for value, at, weight in sampled)
        return sum(covered) / len(sampled)

    coarse = {shift: mean_dice(shift) for shift in itertools.product(range(-reach, reach + 1, 2), repeat=3)}
    around = max(coarse, key=coarse.__getitem__)
    near = itertools.product(*(range(max(-reach, at - 1), min(reach, at + 1) + 1) for at in around))
    fine = coarse | {shift: mean_dice(shift) for shift in near if shift not in coarse}
    best = max(fine, key=fine.__getitem__)
    return Translation(best, fine[0, 0, 0], fine[best])  # type: ignore[arg-type]


def check_displaced(label: Label, measurement: Measurement, population: Population) -> list[Finding]:
    """Find a label that lies beside what it should cover.

    With a prediction: a translation of at least 2 voxels raises mean Dice by at least 0.12; by 0.06 where the place in the
    frame is unusual too; by 0.20 where it is as usual. The place in the frame alone, where it is informative, decides
    without a prediction, and where the prediction stays below Dice 0.6 wherever the label is moved.
    """
    frame = frame_of(label, measurement, population)
    unusual = frame is not None and frame.distance > frame.limit
    usual = frame is not None and frame.distance < FRAME_USUAL
    translation = best_translation(label) if label.prediction is not None else None
    numbers = {}
    if translation is not None:
        least = SHIFT_GAIN_CONFIRMED if unusual else SHIFT_GAIN_DENIED if usual else SHIFT_GAIN
        length = float(np.linalg.norm(translation.voxels))
        if length >= SHIFT_VOXELS and translation.dice_after - translation.dice_before >= least:
            numbers = {
                "voxels": length,
                "mean_dice": translation.dice_before,
                "mean_dice_moved": translation.dice_after,
            }
    if frame is not None and unusual and (translation is None or translation.dice_after < POOR_DICE):
        numbers["offset_mm"] = float(np.linalg.norm(frame.offset_mm))
    return [finding(ReturnReason.DISPLACED, Severity.RETURN, 0, **numbers)] if numbers else []
