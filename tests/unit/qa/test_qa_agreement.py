"""Agreement of two readers, the draw of second readings, and the numbers that are said."""

import math

import numpy as np
import pytest

from qa.domain.agreement import SegmentAgreement, compare, mean_dice, readers_agree, scores
from qa.domain.draw import drawn
from radloop.imaging import Volume
from radloop.references import Score, SegmentState, SegmentStatus

BOTH = (SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.ANNOTATED))


def volume(*parts, spacing=(1.0, 1.0, 1.0)):
    array = np.zeros((20, 20, 20), np.uint8)
    for value, part in parts:
        array[part] = value
    return Volume(array, np.diag([*spacing, 1.0]))


def test_agreement_by_hand():
    block = np.s_[4:8, 4:8, 4:8]
    first = volume((1, block), spacing=(1, 1, 2))
    second = volume((1, np.s_[4:8, 4:8, 5:9]), spacing=(1, 1, 2))  # moved by one slice of 2 mm
    one, two = compare(first, second, BOTH, BOTH)
    assert (one.segment, one.dice, one.surface_distance_95_mm) == (1, 0.75, 2)
    assert (two.segment, two.dice, two.surface_distance_95_mm) == (2, 1, 0)  # both say there is none


def test_one_reader_with_nothing_is_infinitely_far_and_that_number_is_not_said():
    first, second = volume((1, np.s_[2:4, 2:4, 2:4])), volume()
    one, two = compare(first, second, BOTH, BOTH)
    assert one.dice == 0 and math.isinf(one.surface_distance_95_mm)
    assert [score.name for score in scores((one, two))] == [
        "dice-segment-1",
        "dice-segment-2",
        "surface-distance-95-segment-2-mm",
    ]


def test_a_segment_one_reader_did_not_look_for_is_not_compared():
    partly = (SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.NOT_ANNOTATED))
    assert [item.segment for item in compare(volume(), volume(), BOTH, partly)] == [1]
    assert mean_dice(()) == 0 and not readers_agree((), 0.5, 10)


@pytest.mark.parametrize(
    ("dices", "distances", "expected"),
    [((0.9, 0.7), (1, 1), True), ((0.9, 0.69), (1, 1), False), ((0.95, 0.95), (1, 10.1), False)],
)
def test_readers_agree_on_mean_dice_and_on_no_far_surface(dices, distances, expected):
    agreement = [SegmentAgreement(at, d, s) for at, (d, s) in enumerate(zip(dices, distances, strict=True), 1)]
    assert readers_agree(agreement, 0.8, 10.0) is expected


def test_scores_have_names_with_units():
    assert scores((SegmentAgreement(3, 0.5, 2.0),)) == (
        Score("dice-segment-3", 0.5),
        Score("surface-distance-95-segment-3-mm", 2.0),
    )


def test_the_draw_takes_the_share_and_always_the_same_cases():
    cases = [f"case-{number}" for number in range(4000)]
    taken = {case for case in cases if drawn(case, 0.25, b"key")}
    assert 0.22 < len(taken) / len(cases) < 0.28  # 4 standard deviations of a binomial are 0.027
    assert taken == {case for case in cases if drawn(case, 0.25, b"key")}
    assert taken <= {case for case in cases if drawn(case, 0.5, b"key")}  # a larger share adds cases only
    assert taken != {case for case in cases if drawn(case, 0.25, b"other key")}
    assert not any(drawn(case, 0.0, b"key") for case in cases)
    assert all(drawn(case, 1.0, b"key") for case in cases)
