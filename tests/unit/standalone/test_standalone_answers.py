"""What the simulated readers draw."""

import numpy as np
import pytest

from radloop.imaging import components, dice
from standalone.demo import phantom
from standalone.demo.answers import (
    GrossError,
    ReadingOf,
    answer,
    planted_error,
    with_error,
    with_own_boundary,
)


@pytest.fixture(params=range(8))
def expert(request: pytest.FixtureRequest) -> np.ndarray:
    return phantom.generate(f"phantom_{request.param:03d}a", 7)[1].array


def random_for(expert: np.ndarray) -> np.random.Generator:
    return np.random.default_rng(int(expert.sum()))


def test_a_missing_segment_is_gone_and_the_other_stays(expert: np.ndarray) -> None:
    drawn = with_error(GrossError.MISSING_SEGMENT, expert, random_for(expert))
    (left,) = set(np.unique(drawn)) - {0}
    assert np.array_equal(drawn == left, expert == left)


def test_a_shift_moves_everything_by_three_voxels_or_more(expert: np.ndarray) -> None:
    drawn = with_error(GrossError.SHIFTED, expert, random_for(expert))
    distances = [
        np.abs(np.argwhere(drawn == value).mean(axis=0) - np.argwhere(expert == value).mean(axis=0)).max()
        for value in (1, 2)
    ]
    # Voxels pushed out of the crop pull the centre back a little.
    assert min(distances) > 2.5
    assert max(dice(drawn, expert, value) for value in (1, 2)) < 0.85


def test_a_stray_component_stands_apart(expert: np.ndarray) -> None:
    drawn = with_error(GrossError.STRAY_COMPONENT, expert, random_for(expert))
    added = (drawn > 0) & (expert == 0)
    assert np.array_equal(drawn[expert > 0], expert[expert > 0])
    assert added.sum() >= 40
    assert components(drawn > 0)[1].size == components(expert > 0)[1].size + 1


def test_swapped_segments_have_exchanged_their_values(expert: np.ndarray) -> None:
    drawn = with_error(GrossError.SWAPPED_SEGMENTS, expert, random_for(expert))
    assert np.array_equal(drawn == 1, expert == 2)
    assert np.array_equal(drawn == 2, expert == 1)


def test_another_reader_draws_nearly_the_same(expert: np.ndarray) -> None:
    drawn = with_own_boundary(expert, random_for(expert))
    for value in (1, 2):
        assert 0.85 < dice(drawn, expert, value) < 1
        assert components(drawn == value)[1].size == 1


def test_no_answer_changes_the_expert_mask_itself(expert: np.ndarray) -> None:
    before = expert.copy()
    for error in GrossError:
        with_error(error, expert, random_for(expert))
    with_own_boundary(expert, random_for(expert))
    assert np.array_equal(expert, before)


def test_errors_are_planted_in_about_the_share_asked_for_and_of_every_kind() -> None:
    planted = [planted_error(1, 0.15, ReadingOf(f"case-{n}", "first", 1)) for n in range(2000)]
    found = [error for error in planted if error]
    assert 0.12 < len(found) / len(planted) < 0.18
    assert set(found) == set(GrossError)


def test_the_same_question_gets_the_same_answer() -> None:
    asked = [ReadingOf(f"case-{n}", "first", 1) for n in range(50)]
    assert [planted_error(3, 0.5, a) for a in asked] == [planted_error(3, 0.5, a) for a in asked]
    assert [planted_error(3, 0.5, a) for a in asked] != [planted_error(4, 0.5, a) for a in asked]


@pytest.mark.parametrize(("reading", "attempt"), [("first", 2), ("second", 2), ("adjudication", 1)])
def test_corrections_and_adjudications_are_the_expert_mask(reading: str, attempt: int) -> None:
    expert = phantom.generate("phantom_001a", 7)[1].array
    assert np.array_equal(answer(1, 1.0, ReadingOf("case", reading, attempt), expert), expert)


def test_an_honest_first_reading_is_the_expert_mask_and_a_second_one_is_not() -> None:
    expert = phantom.generate("phantom_001a", 7)[1].array
    assert np.array_equal(answer(1, 0.0, ReadingOf("case", "first", 1), expert), expert)
    assert not np.array_equal(answer(1, 0.0, ReadingOf("case", "second", 1), expert), expert)
