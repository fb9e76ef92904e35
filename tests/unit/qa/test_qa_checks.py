"""Every automatic check on masks made by hand, with numbers worked out by hand."""

import numpy as np
import pytest

from qa.domain.examination import examine
from qa.domain.findings import Finding, ReturnReason, Severity
from qa.domain.label import CaseGeometry, Label, Segment, crop_label, fits
from qa.domain.measurement import Measurement, Population, SegmentMeasurement, measure, patient_axes
from qa.domain.placement import best_translation, check_displaced, check_swapped, dice_matrix, frame_of
from qa.domain.presence import check_segments, check_values
from qa.domain.shape import check_components, check_holes, check_volume
from radloop.imaging import Volume
from radloop.references import SegmentState, SegmentStatus

ANNOTATED, ABSENT, NOT_ANNOTATED = SegmentState.ANNOTATED, SegmentState.ABSENT, SegmentState.NOT_ANNOTATED
ORGANS = (Segment(1, always_present=True), Segment(2, always_present=True))
LESION = (Segment(1, always_present=False),)
LPS = np.eye(4)
"""1 mm voxels along L, P, S."""
FRAME = (20, 20, 20)


def boxes(*parts: tuple[int, tuple[slice, slice, slice]], shape=FRAME) -> np.ndarray:
    array = np.zeros(shape, dtype=np.uint8)
    for value, part in parts:
        array[part] = value
    return array


def cube(value: int, at: int | tuple[int, int, int], size: int) -> tuple[int, tuple[slice, slice, slice]]:
    corner = (at, at, at) if isinstance(at, int) else at
    return value, tuple(slice(c, c + size) for c in corner)  # type: ignore[return-value]


TWO = boxes(cube(1, (6, 4, 6), 6), cube(2, (6, 10, 6), 6))
"""Two cubes of 216 voxels that touch along the second axis."""


def cropped(array: np.ndarray, prediction: np.ndarray | None = None, states=None, affine: np.ndarray = LPS) -> Label:
    other = None if prediction is None else Volume(prediction, affine)
    return crop_label(Volume(array, affine), other, states)


def numbers(finding: Finding) -> dict[str, float]:
    return {score.name: score.value for score in finding.numbers}


def population(count: int, array: np.ndarray = TWO, affine: np.ndarray = LPS, *, spread: int = 0) -> Population:
    """The same label so many times, displaced along the first axis by -spread, 0, +spread in turn."""
    shifts = [(spread * (number % 3 - 1), 0, 0) for number in range(count)]
    return Population([measure(cropped(np.roll(array, shift, axis=(0, 1, 2)), affine=affine)) for shift in shifts])


def test_the_crop_holds_both_masks_and_knows_where_it_was():
    label = cropped(boxes(cube(1, 5, 3)), boxes(cube(2, 7, 4)))
    assert label.origin == (5, 5, 5) and label.array.shape == (6, 6, 6)
    assert label.boxes == {1: (slice(0, 3),) * 3}
    assert label.prediction is not None and label.prediction[2:, 2:, 2:].all()
    assert label.patient_mm(np.zeros(3)).tolist() == [5, 5, 5]


def test_the_crop_of_nothing_is_empty():
    label = cropped(np.zeros(FRAME, np.uint8))
    assert label.array.size == 0 and not label.boxes
    assert measure(label) == Measurement({}, None)
    assert check_holes(label) == []


def test_a_prediction_of_another_geometry_is_no_prediction():
    label = crop_label(Volume(TWO, LPS), Volume(TWO[:-1], LPS))
    assert label.prediction is None


@pytest.mark.parametrize(
    ("array", "affine", "expected"),
    [
        (TWO, LPS, True),
        (TWO[:, :, :-1], LPS, False),
        (TWO, np.diag([1.0, 1.0, 1.001, 1.0]), False),  # 0.019 mm off at the last of 20 slices
        (TWO, np.diag([1.0, 1.0, 1.0001, 1.0]), True),  # 0.0019 mm
        (TWO.astype(np.float32), LPS, False),
    ],
)
def test_geometry(array, affine, expected):
    case = CaseGeometry(FRAME, tuple(LPS.ravel()))
    assert fits(Volume(array, affine), case) is expected
    said = examine(Volume(array, affine), (), None, case, ORGANS, Population())
    assert [item.reason for item in said.findings] == ([] if expected else [ReturnReason.GEOMETRY])
    assert (said.measurement is not None) is expected


def test_values_the_project_does_not_know_or_the_label_denies():
    array = boxes(cube(1, 2, 2), cube(2, 6, 2), cube(9, 10, 3))
    (unknown,) = check_values(cropped(array), ORGANS)
    assert (unknown.reason, unknown.segment, numbers(unknown)) == (ReturnReason.UNKNOWN_VALUE, 9, {"voxels": 27})
    (denied,) = check_values(cropped(TWO, states={1: ANNOTATED, 2: ABSENT}), ORGANS)
    assert denied.segment == 2 and denied.severity == Severity.RETURN


@pytest.mark.parametrize(
    ("parts", "states", "segments", "expected"),
    [
        ([], {1: ABSENT, 2: ABSENT}, ORGANS, [(ReturnReason.EMPTY, 0)]),
        ([], {1: ABSENT}, LESION, []),
        ([], {1: ANNOTATED}, LESION, [(ReturnReason.MISSING_SEGMENT, 1)]),
        ([1], {1: ANNOTATED, 2: ANNOTATED}, ORGANS, [(ReturnReason.MISSING_SEGMENT, 2)]),
        ([1], {1: ANNOTATED, 2: ABSENT}, ORGANS, [(ReturnReason.MISSING_SEGMENT, 2)]),
        ([1], {1: ANNOTATED, 2: NOT_ANNOTATED}, ORGANS, []),
        ([1, 2], {}, ORGANS, []),
    ],
)
def test_empty_labels_and_missing_segments(parts, states, segments, expected):
    array = boxes(*[cube(value, 4 * value, 3) for value in parts])
    found = check_segments(cropped(array, states=states), segments)
    assert [(item.reason, item.segment) for item in found] == expected


def test_a_component_far_away_is_stray_and_a_near_crumb_is_not():
    main = cube(1, 2, 5)  # ends at index 6
    far = boxes(main, (1, (slice(12, 13), slice(2, 3), slice(2, 3))))  # 12 - 6 = 6 mm between voxel centres
    (found,) = check_components(cropped(far), ORGANS, Population())
    assert (found.reason, found.severity, found.segment) == (ReturnReason.STRAY_COMPONENT, Severity.RETURN, 1)
    assert numbers(found) == {"components": 1, "volume-share": pytest.approx(1 / 126), "gap-mm": 6}
    near = boxes(main, (1, (slice(11, 12), slice(2, 3), slice(2, 3))))  # 5 mm: the limit itself is allowed
    assert check_components(cropped(near), ORGANS, Population()) == []


def test_a_large_second_component_is_stray_however_near():
    array = boxes((1, (slice(2, 6), slice(2, 6), slice(2, 6))), (1, (slice(8, 9), slice(2, 6), slice(2, 6))))
    (found,) = check_components(cropped(array), ORGANS, Population())
    assert numbers(found)["volume-share"] == pytest.approx(16 / 80)
    smaller = array.copy()
    smaller[8, 2, 2] = 0
    assert check_components(cropped(smaller), ORGANS, Population()) == []


def test_the_gap_is_measured_in_millimetres_and_at_least_in_voxels():
    # Slices of 5 mm: two apart is 10 mm > 7.5 mm; one apart touches.
    thick = np.diag([1.0, 1.0, 5.0, 1.0])
    array = boxes((1, (slice(2, 8), slice(2, 8), slice(2, 8))), (1, (slice(2, 3), slice(2, 3), slice(9, 10))))
    (found,) = check_components(cropped(array, affine=thick), ORGANS, Population())
    assert numbers(found)["gap-mm"] == 10
    diagonal = boxes((1, (slice(2, 8), slice(2, 8), slice(2, 8))), (1, (slice(9, 10), slice(2, 3), slice(8, 9))))
    assert check_components(cropped(diagonal, affine=thick), ORGANS, Population()) == []  # (2, 0, 5): 5.4 mm


def test_where_approved_labels_are_one_piece_a_small_gap_is_enough():
    array = boxes(cube(1, 2, 5), (1, (slice(9, 10), slice(2, 3), slice(2, 3))))  # 3 mm
    assert check_components(cropped(array), ORGANS, population(7)) == []
    assert len(check_components(cropped(array), ORGANS, population(8))) == 1


def test_lesions_are_many():
    two = boxes(cube(1, 2, 3), cube(1, 12, 3))
    (found,) = check_components(cropped(two), LESION, Population())
    assert found.severity == Severity.DOUBT
    assert check_components(cropped(two), LESION, population(8, two)) == []
    assert check_components(cropped(two), ORGANS, population(8, two)) == []


def test_a_component_the_prediction_has_too_is_believed():
    array = boxes(cube(1, 2, 5), cube(1, 14, 2))
    half = boxes(cube(1, 2, 5), (1, (slice(14, 15), slice(14, 16), slice(14, 16))))
    assert check_components(cropped(array, half), ORGANS, Population()) == []
    half[14, 14, 14] = 0
    assert len(check_components(cropped(array, half), ORGANS, Population())) == 1


def test_holes():
    array = boxes(cube(1, 2, 9))
    array[5:8, 5:8, 5:8] = 0  # 27 of 729 - 27 = 702 voxels: 3.8 %
    (found,) = check_holes(cropped(array))
    assert (found.reason, numbers(found)) == (ReturnReason.HOLES, {"voxels": 27, "share": pytest.approx(27 / 702)})
    other = array.copy()
    other[5:8, 5:8, 5:8] = 2  # filled with another segment
    assert check_holes(cropped(other)) == []
    open_ = array.copy()
    open_[2:6, 6, 6] = 0  # a way out
    assert check_holes(cropped(open_)) == []
    small = boxes(cube(1, 2, 9))
    small[5:8, 5:8, 5] = 0  # 9 voxels: nobody is asked to come back
    assert check_holes(cropped(small)) == []
    large = boxes((1, (slice(1, 19), slice(1, 19), slice(1, 19))))
    large[5:9, 5:9, 5:9] = 0  # 64 of 5768 voxels: 1.1 %
    assert check_holes(cropped(large)) == []


def volumes(*millilitres: float) -> Population:
    return Population([Measurement({1: SegmentMeasurement(ml, (0, 0, 0), 1)}, None) for ml in millilitres])


@pytest.mark.parametrize(
    ("volume_ml", "predicted_ml", "expected"),
    [
        # Median 1, MAD of logs 0, so the floor of 0.1 counts; 8 labels widen it by sqrt(1 + pi/16) = 1.0938.
        (np.exp(0.109 * 6), None, [Severity.DOUBT]),  # z = 5.98
        (np.exp(0.11 * 6), None, [Severity.RETURN]),  # z = 6.03
        (np.exp(-0.11 * 6), None, [Severity.RETURN]),
        (np.exp(0.109 * 4.5), None, []),
        (np.exp(0.11 * 6), np.exp(0.11 * 6) / 1.2, [Severity.DOUBT]),
        (np.exp(0.11 * 6), np.exp(0.11 * 6) / 1.3, [Severity.RETURN]),
    ],
)
def test_volume_outliers(volume_ml, predicted_ml, expected):
    own = volumes(volume_ml).labels[0]
    predicted = None if predicted_ml is None else volumes(predicted_ml).labels[0]
    found = check_volume(own, predicted, ORGANS, volumes(*[1.0] * 8))
    assert [item.severity for item in found] == expected
    assert check_volume(own, predicted, ORGANS, volumes(*[1.0] * 7)) == []


def test_the_dice_matrix_by_hand():
    label = cropped(boxes(cube(1, 2, 2), cube(2, 6, 2)), boxes((2, (slice(2, 4), slice(2, 4), slice(2, 3)))))
    # Label 1: 8 voxels, 2: 8; prediction 2: 4, all inside label 1; nobody predicts 1 or 3; the label has no 3.
    matrix = dice_matrix(label, [1, 2, 3])
    assert matrix == pytest.approx(np.array([[0, 8 / 12, 0], [0, 0, 0], [1, 0, 1]]))


def test_exchanged_segments_against_a_prediction():
    exchanged = np.array([0, 2, 1], dtype=np.uint8)[TWO]
    label = cropped(exchanged, TWO)
    found = check_swapped(label, measure(label), Population())
    assert [(item.reason, item.segment, numbers(item)["other-segment"]) for item in found] == [
        (ReturnReason.SWAPPED_SEGMENTS, 1, 2),
        (ReturnReason.SWAPPED_SEGMENTS, 2, 1),
    ]
    assert (numbers(found[0])["mean-dice"], numbers(found[0])["mean-dice-exchanged"]) == (0, 1)
    right = cropped(TWO, TWO)
    assert check_swapped(right, measure(right), Population()) == []


def test_a_bad_prediction_alone_does_not_make_segments_exchanged():
    # The model says 1 nearly everywhere: Dice of 1 is 2*216/(216+426) = 0.67, of 2 is 2*6/(216+6) = 0.05.
    prediction = np.where(TWO > 0, 1, 0).astype(np.uint8)
    prediction[6, 15, 6:12] = 2
    label = cropped(TWO, prediction)
    assert check_swapped(label, measure(label), Population()) == []


def test_a_model_that_has_exchanged_them_is_overruled_by_approved_labels():
    label = cropped(TWO, np.array([0, 2, 1], dtype=np.uint8)[TWO])
    assert check_swapped(label, measure(label), population(7))
    assert check_swapped(label, measure(label), population(8)) == []


def test_exchanged_segments_against_approved_labels():
    label = cropped(np.array([0, 2, 1], dtype=np.uint8)[TWO])
    (found,) = check_swapped(label, measure(label), population(8))
    assert (found.segment, numbers(found)) == (1, {"other-segment": 2, "cosine": pytest.approx(-1)})
    assert check_swapped(label, measure(label), population(7)) == []
    mixed = Population([*population(8).labels, *[measure(label)] * 8])  # no common direction
    assert check_swapped(label, measure(label), mixed) == []


def test_directions_are_compared_in_the_patient_not_in_the_array():
    # The same patient stored with the second axis reversed: the array order is reversed, the anatomy is not.
    flipped = np.array([[1, 0, 0, 0], [0, -1, 0, 19], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    label = cropped(TWO[:, ::-1], affine=flipped)
    assert measure(label).segments[1].centroid_mm == pytest.approx((8.5, 6.5, 8.5))
    assert check_swapped(label, measure(label), population(8)) == []


@pytest.mark.parametrize("shift", [(0, 0, 0), (3, 0, 0), (-2, 4, 1), (6, -6, 6)])
def test_the_best_translation_is_found(shift):
    prediction = np.zeros((32, 32, 32), np.uint8)
    prediction[10:18, 8:16, 12:20] = 1
    prediction[10:18, 16:24, 12:20] = 2
    label = np.roll(prediction, shift, axis=(0, 1, 2))
    found = best_translation(cropped(label, prediction))
    assert found is not None and found.voxels == tuple(-s for s in shift) and found.dice_after == 1


def test_dice_before_and_after_a_translation_by_hand():
    prediction = boxes(cube(1, 5, 6))
    label = boxes(cube(1, (8, 5, 5), 6))  # half of it still covers
    found = best_translation(cropped(label, prediction))
    assert found is not None and (found.dice_before, found.dice_after, found.voxels) == (0.5, 1, (-3, 0, 0))


def test_without_a_common_segment_there_is_no_best_translation():
    assert best_translation(cropped(boxes(cube(1, 2, 2)), boxes(cube(2, 2, 2)))) is None


def test_a_displaced_label_goes_back():
    moved = np.roll(TWO, 3, axis=0)
    label = cropped(moved, TWO)
    (found,) = check_displaced(label, measure(label), Population())
    assert found.reason == ReturnReason.DISPLACED
    assert numbers(found) == {"voxels": 3, "mean-dice": 0.5, "mean-dice-moved": 1}


def test_one_voxel_is_what_readers_do():
    label = cropped(np.roll(TWO, 1, axis=0), TWO)
    assert check_displaced(label, measure(label), Population()) == []


def test_a_low_dice_alone_does_not_send_a_label_back():
    # The prediction is the middle 2 x 2 x 2 of each cube: Dice 16/224 = 0.07 wherever the label lies over it.
    prediction = boxes(cube(1, (8, 6, 8), 2), cube(2, (8, 12, 8), 2))
    said = examine(
        Volume(TWO, LPS),
        (SegmentStatus(1, ANNOTATED), SegmentStatus(2, ANNOTATED)),
        Volume(prediction, LPS),
        CaseGeometry(FRAME, tuple(LPS.ravel())),
        ORGANS,
        population(8),
    )
    assert said.findings == ()
    assert [score.value for score in said.prediction_dice] == pytest.approx([16 / 224] * 2)


def test_the_place_in_the_frame_says_something_where_approved_labels_agree_on_it():
    moved = np.roll(TWO, 5, axis=0)
    label = cropped(moved)
    frame = frame_of(label, measure(label), population(40, spread=1))
    # Offsets -1, 0, 1 in turn: median 0, MAD 1, deviation 1.4826; the floor of 0.5 elsewhere: (5 / 1.4826)^2 = 11.4.
    assert frame is not None and frame.offset_mm == (5, 0, 0)
    assert frame.distance == pytest.approx((5 / 1.4826) ** 2)
    assert frame.limit == 22
    assert check_displaced(label, measure(label), population(40, spread=1)) == []
    (found,) = check_displaced(label, measure(label), population(40))
    assert numbers(found) == {"offset-mm": 5}


def test_the_place_in_the_frame_is_ignored_where_it_varies():
    label = cropped(np.roll(TWO, 5, axis=0))
    assert frame_of(label, measure(label), population(40, spread=2)) is None  # 2 * 1.4826 > 2 voxels
    assert frame_of(label, measure(label), population(7)) is None


def test_the_place_in_the_frame_moves_the_limit_for_the_prediction():
    # Moved by 2: each cube still shares 4 of 6 layers, so Dice 0.67 -> 1 and the gain 0.33 is enough for all limits.
    # A prediction that is a fifth of the gain is not: 5 further layers of noise keep Dice low either way.
    moved = np.roll(TWO, 2, axis=0)
    noisy = TWO.copy()
    noisy[13:18, 4:10, 6:12] = 1
    noisy[13:18, 10:16, 6:12] = 2
    label = cropped(moved, noisy)
    translation = best_translation(label)
    assert translation is not None
    # Before: the last layer of each cube lies in the noise: (4 + 1) of (6 + 11) / 2; after: 6 of 8.5.
    assert translation.dice_before == pytest.approx(5 / 8.5) and translation.dice_after == pytest.approx(6 / 8.5)
    usual = population(40, np.roll(TWO, 2, axis=0))
    assert check_displaced(label, measure(label), usual) == []  # 0.118 < 0.20
    assert check_displaced(label, measure(label), Population()) == []  # 0.118 < 0.12
    elsewhere = population(40, np.roll(TWO, -1, axis=0))
    assert len(check_displaced(label, measure(label), elsewhere)) == 1  # 0.118 > 0.06


def test_a_poor_prediction_does_not_speak_against_an_unusual_place():
    # A prediction of 2 x 2 x 2 in each cube: Dice 16/224 wherever it is covered, so no translation gains anything.
    poor = boxes(cube(1, (9, 6, 8), 2), cube(2, (9, 12, 8), 2))
    label = cropped(TWO, poor)
    elsewhere = population(40, np.roll(TWO, -3, axis=0))
    (found,) = check_displaced(label, measure(label), elsewhere)
    assert numbers(found) == {"offset-mm": 3}
    good = cropped(TWO, TWO)  # one that covers the label does
    assert check_displaced(good, measure(good), elsewhere) == []


def test_measurements_by_hand():
    affine = np.diag([-2.0, 1.0, 3.0, 1.0])
    array = boxes((1, (slice(4, 6), slice(0, 4), slice(0, 1))), (1, (slice(15, 16), slice(0, 1), slice(0, 1))))
    said = measure(cropped(array, affine=affine))
    # 9 voxels of 6 mm3; mean index ((4+5)*4 + 15)/9 = 5.667, (2*6 + 0)/9 = 1.333, 0.
    segment = said.segments[1]
    assert segment.volume_ml == pytest.approx(0.054)
    assert segment.centroid_mm == pytest.approx((-2 * 51 / 9, 12 / 9, 0))
    assert segment.parts == 2
    # Box 4..15, 0..3, 0..0: centre (9.5, 1.5, 0) minus 9.5 each, in mm, first axis pointing to the right.
    assert said.frame_offset_mm == pytest.approx((0, -8, -28.5))


def test_patient_axes_of_a_rotated_volume():
    # Sagittal: i runs along -P, j along -S, k along L.
    affine = np.array([[0, 0, 2.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    axes, signs = patient_axes(affine)
    assert axes.tolist() == [2, 0, 1] and signs.tolist() == [1, -1, -1]


def test_a_label_with_another_fault_is_not_called_displaced():
    moved = np.roll(np.where(TWO == 2, 0, TWO), 4, axis=0).astype(np.uint8)
    said = examine(
        Volume(moved, LPS),
        (SegmentStatus(1, ANNOTATED), SegmentStatus(2, ABSENT)),
        Volume(TWO, LPS),
        CaseGeometry(FRAME, tuple(LPS.ravel())),
        ORGANS,
        Population(),
    )
    assert [item.reason for item in said.findings] == [ReturnReason.MISSING_SEGMENT]


def test_dice_is_given_for_what_the_label_speaks_of():
    said = examine(
        Volume(boxes(cube(1, 2, 3)), LPS),
        (SegmentStatus(1, ANNOTATED), SegmentStatus(2, NOT_ANNOTATED)),
        Volume(TWO, LPS),
        CaseGeometry(FRAME, tuple(LPS.ravel())),
        ORGANS,
        Population(),
    )
    assert [score.name for score in said.prediction_dice] == ["dice-segment-1"]
