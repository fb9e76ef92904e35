"""Every automatic check where segments overlap: a lesion inside of its organ, with numbers worked out by hand."""

import numpy as np
import pytest

from qa.domain.agreement import compare, readers_agree
from qa.domain.examination import examine
from qa.domain.findings import Finding, ReturnReason, Severity
from qa.domain.label import CaseGeometry, Label, Segment, crop_label, fits
from qa.domain.measurement import Population, measure
from qa.domain.placement import best_translation, check_displaced, check_swapped, dice_matrix
from qa.domain.presence import check_segments, check_values
from qa.domain.shape import check_components, check_holes
from radloop.imaging import Volume, bits_of, segment_bit
from radloop.references import SegmentState, SegmentStatus

ORGAN, LESION = 1, 2
SEGMENTS = (Segment(ORGAN, always_present=True), Segment(LESION, always_present=False))
ANNOTATED = tuple(SegmentStatus(value, SegmentState.ANNOTATED) for value in (ORGAN, LESION))
LPS = np.eye(4)
"""1 mm voxels along L, P, S."""
FRAME = (24, 24, 24)
CASE = CaseGeometry(FRAME, tuple(LPS.ravel()))


def bits(*parts: tuple[int, int | tuple[int, int, int], int]) -> np.ndarray:
    """Segment bits of cubes: value, corner, side."""
    array = np.zeros(FRAME, dtype=np.uint32)
    for value, at, side in parts:
        corner = (at,) * 3 if isinstance(at, int) else at
        array[tuple(slice(c, c + side) for c in corner)] |= segment_bit(value)
    return array


NESTED = bits((ORGAN, 6, 10), (LESION, (8, 12, 8), 4))
"""An organ of 1000 voxels; 64 of them belong to the lesion, too."""
EXCHANGED = bits((LESION, 6, 10), (ORGAN, (8, 12, 8), 4))
FLAT = np.zeros(FRAME, dtype=np.uint8)
"""The same as a label map can say it: the organ lacks what the lesion has."""
FLAT[6:16, 6:16, 6:16] = ORGAN
FLAT[8:12, 12:16, 8:12] = LESION


def cropped(array: np.ndarray, prediction: np.ndarray | None = None, states=None) -> Label:
    other = None if prediction is None else Volume(prediction, LPS)
    return crop_label(Volume(array, LPS), other, states)


def population(count: int, array: np.ndarray = NESTED) -> Population:
    return Population([measure(cropped(array))] * count)


def numbers(finding: Finding) -> dict[str, float]:
    return {score.name: score.value for score in finding.numbers}


def findings(array: np.ndarray, prediction: np.ndarray | None = None, known: Population | None = None):
    other = None if prediction is None else Volume(prediction, LPS)
    said = examine(Volume(array, LPS), ANNOTATED, other, CASE, SEGMENTS, known or Population(), overlapping=True)
    return [(item.reason, item.severity, item.segment) for item in said.findings]


@pytest.mark.parametrize("order", ["C", "F"])
def test_every_segment_has_its_box(order):
    array = np.asarray(bits((ORGAN, (2, 3, 4), 9), (LESION, (5, 7, 6), 2), (32, (4, 3, 5), 1)), order=order)
    label = cropped(array)
    assert label.origin == (2, 3, 4) and label.array.shape == (9, 9, 9) and label.array.dtype == np.uint32
    assert label.boxes == {
        ORGAN: (slice(0, 9), slice(0, 9), slice(0, 9)),
        LESION: (slice(3, 5), slice(4, 6), slice(2, 4)),
        32: (slice(2, 3), slice(0, 1), slice(1, 2)),
    }
    assert cropped(np.zeros(FRAME, np.uint32)).boxes == {}


@pytest.mark.parametrize(
    ("array", "overlapping", "expected"),
    [(NESTED, True, True), (FLAT, False, True), (NESTED, False, False), (FLAT, True, False), (NESTED[1:], True, False)],
)
def test_a_mask_is_of_the_kind_its_project_says(array, overlapping, expected):
    assert fits(Volume(array, LPS), CASE, overlapping=overlapping) is expected


def test_a_voxel_counts_for_each_of_its_segments():
    said = measure(cropped(NESTED))
    organ, lesion = said.segments[ORGAN], said.segments[LESION]
    assert (organ.volume_ml, organ.centroid_mm, organ.parts) == (1.0, (10.5, 10.5, 10.5), 1)
    assert (lesion.volume_ml, lesion.centroid_mm, lesion.parts) == (0.064, (9.5, 13.5, 9.5), 1)
    assert said.frame_offset_mm == (-1, -1, -1)


@pytest.mark.parametrize("prediction", [None, NESTED, FLAT])
def test_a_lesion_inside_of_its_organ_is_a_good_label(prediction):
    assert findings(NESTED, prediction) == []
    assert findings(NESTED, prediction, population(8)) == []


def test_values_the_project_does_not_know_or_the_label_denies():
    (unknown,) = check_values(cropped(bits((ORGAN, 6, 10), (9, 8, 3))), SEGMENTS)
    assert (unknown.reason, unknown.segment, numbers(unknown)) == (ReturnReason.UNKNOWN_VALUE, 9, {"voxels": 27})
    (denied,) = check_values(cropped(NESTED, states={LESION: SegmentState.ABSENT}), SEGMENTS)
    assert (denied.segment, numbers(denied)) == (LESION, {"voxels": 64})


def test_nothing_and_a_missing_segment():
    assert findings(np.zeros(FRAME, np.uint32)) == [(ReturnReason.EMPTY, Severity.RETURN, 0)]
    assert findings(bits((ORGAN, 6, 10))) == [(ReturnReason.MISSING_SEGMENT, Severity.RETURN, LESION)]
    # Where a lesion was painted and its organ was not, the organ is missing although its place is not background.
    (missing,) = check_segments(cropped(bits((LESION, 6, 10))), SEGMENTS)
    assert missing.segment == ORGAN


def test_a_stray_component_inside_of_another_segment():
    two = bits((ORGAN, 4, 16), (LESION, 5, 3), (LESION, 16, 2))
    # From voxel 7 to voxel 16 along each axis; 8 of 27 + 8 voxels. The organ stays one piece.
    (found,) = check_components(cropped(two), SEGMENTS, Population())
    assert (found.reason, found.severity, found.segment) == (ReturnReason.STRAY_COMPONENT, Severity.DOUBT, LESION)
    assert numbers(found) == {"components": 1, "volume-share": 8 / 35, "gap-mm": pytest.approx(9 * 3**0.5)}
    (found,) = check_components(cropped(two), SEGMENTS, population(8))
    assert found.severity == Severity.RETURN
    # A prediction with half of it is believed: what else is predicted there does not matter.
    believed = bits((ORGAN, 4, 16), (LESION, 5, 3), (LESION, 16, 2))
    believed[16, 16:18, 16:18] = segment_bit(ORGAN)
    assert check_components(cropped(two, believed), SEGMENTS, Population()) == []
    believed[17, 17, 17] = segment_bit(ORGAN)
    assert len(check_components(cropped(two, believed), SEGMENTS, Population())) == 1


def test_a_stray_component_of_the_organ_that_the_lesion_covers():
    # 1000 and 27 voxels of the organ, the crumb all lesion: as a label map it would belong to the lesion alone.
    crumb = bits((ORGAN, 2, 10), (ORGAN, 19, 3), (LESION, 19, 3))
    assert findings(crumb) == [(ReturnReason.STRAY_COMPONENT, Severity.RETURN, ORGAN)]


def test_a_hole_that_another_segment_fills_is_none():
    rim = bits((ORGAN, 6, 10))
    rim[9:13, 9:13, 9:13] = 0  # 64 of 936 voxels
    (found,) = check_holes(cropped(rim))
    assert numbers(found) == {"voxels": 64, "share": 64 / 936}
    around = rim | bits((LESION, 4, 14))  # as the whole lesion lies around a rim and the core that the rim encloses
    assert check_holes(cropped(around)) == []


def test_the_dice_matrix_of_segments_that_overlap():
    # Organ 1000 and lesion 64; predicted: the same lesion, and an organ without it of 936. Nobody has a 3.
    for prediction in (FLAT, bits_of(FLAT)):
        matrix = dice_matrix(cropped(NESTED, prediction), [ORGAN, LESION, 3])
        expected = [[2 * 936 / 1936, 2 * 64 / 1064, 0], [0, 1, 0], [0, 0, 1]]
        assert matrix == pytest.approx(np.array(expected))


def test_a_lesion_and_its_organ_exchanged_against_a_prediction():
    label = cropped(EXCHANGED, NESTED)
    found = check_swapped(label, measure(label), Population())
    assert [(item.segment, numbers(item)["other-segment"]) for item in found] == [(1, 2), (2, 1)]
    # Each covers the other's 64 of 1064 / 2 voxels before.
    assert numbers(found[0])["mean-dice"] == pytest.approx(2 * 64 / 1064)
    assert numbers(found[0])["mean-dice-exchanged"] == 1


def test_a_lesion_that_fills_its_organ_is_not_exchanged_with_it():
    # Nearly the same voxels: each fits the other's prediction nearly as well as its own.
    full = bits((ORGAN, 6, 10), (LESION, 6, 9))
    for prediction in (full, NESTED, FLAT):
        label = cropped(full, prediction)
        assert check_swapped(label, measure(label), Population()) == []


def test_a_lesion_and_its_organ_exchanged_against_approved_labels():
    label = cropped(EXCHANGED)
    (found,) = check_swapped(label, measure(label), population(8))
    assert (found.segment, numbers(found)) == (1, {"other-segment": 2, "cosine": pytest.approx(-1)})
    centred = bits((ORGAN, 6, 10), (LESION, 9, 4))  # one centre has no direction
    label = cropped(bits((LESION, 6, 10), (ORGAN, 9, 4)))
    assert check_swapped(label, measure(label), population(8, centred)) == []


@pytest.mark.parametrize("prediction", [NESTED, FLAT])
def test_a_displaced_label_goes_back(prediction):
    moved = np.roll(NESTED, 4, axis=0)
    label = cropped(moved, prediction)
    found = best_translation(label)
    assert found is not None and found.voxels == (-4, 0, 0)
    (displaced,) = check_displaced(label, measure(label), Population())
    assert displaced.reason == ReturnReason.DISPLACED
    assert findings(moved, prediction) == [(ReturnReason.DISPLACED, Severity.RETURN, 0)]


def test_the_dice_of_a_displaced_label_counts_both_segments_of_a_voxel():
    found = best_translation(cropped(np.roll(NESTED, 3, axis=0), NESTED))
    assert found is not None
    assert (found.dice_before, found.dice_after) == (pytest.approx((0.7 + 0.25) / 2), 1)


def test_volumes_are_compared_with_approved_labels():
    # 1000 and 64 voxels where approved labels have 512 of both: ln(1000 / 512) and ln(64 / 512) over 0.109 are 6.1 and -19.
    known = population(8, bits((ORGAN, 6, 8), (LESION, (6, 7, 6), 8)))
    large = bits((ORGAN, 6, 10), (LESION, (6, 7, 6), 4))
    volumes = [item for item in findings(large, known=known) if item[0] == ReturnReason.VOLUME_OUTLIER]
    assert [segment for _, _, segment in volumes] == [ORGAN, LESION]


def test_two_readers_agree_or_not_segment_by_segment():
    first = Volume(NESTED, LPS)
    near = Volume(bits((ORGAN, 6, 10), (LESION, (8, 12, 9), 4)), LPS)
    organ, lesion = compare(first, near, ANNOTATED, ANNOTATED)
    assert (organ.segment, organ.dice, organ.surface_distance_95_mm) == (ORGAN, 1, 0)
    assert (lesion.segment, lesion.dice) == (LESION, 0.75)  # moved by one of four slices
    assert readers_agree((organ, lesion), 0.8, 10)
    elsewhere = Volume(bits((ORGAN, 6, 10), (LESION, (6, 6, 6), 4)), LPS)
    organ, lesion = compare(first, elsewhere, ANNOTATED, ANNOTATED)
    assert (organ.dice, lesion.dice) == (1, 0)
    assert not readers_agree((organ, lesion), 0.8, 10)


def test_a_label_is_compared_with_a_model_that_knows_no_overlap():
    organ, lesion = compare(Volume(NESTED, LPS), Volume(FLAT, LPS), ANNOTATED, ANNOTATED)
    assert (organ.dice, lesion.dice, lesion.surface_distance_95_mm) == (2 * 936 / 1936, 1, 0)
