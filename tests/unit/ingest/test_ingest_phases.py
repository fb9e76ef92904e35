"""Which slice belongs to which phase."""

import pytest

from ingest.domain.phases import split_phases
from ingest.domain.reasons import Refused, RejectReason


def slices(header, numbers_by_position):
    """Build headers and groups: for each position the numbers of its slices."""
    headers, groups = [], []
    for numbers in numbers_by_position:
        groups.append(list(range(len(headers), len(headers) + len(numbers))))
        headers += [header(numbers=one) for one in numbers]
    return headers, groups


def test_three_dimensional(header):
    assert split_phases(*slices(header, [[{}], [{}], [{}]])) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("temporal-position", "trigger-time-ms"),
        ("trigger-time-ms", "acquisition-offset-s"),
        ("acquisition-offset-s", "echo-time-ms"),
        ("echo-time-ms", "b-value-s-mm2"),
    ],
)
def test_the_preferred_time_that_differs_decides(header, first, second):
    positions = [
        [{first: 2.0, second: 1.0}, {first: 1.0, second: 2.0}],
        [{first: 5.0, second: 1.0}, {first: 9.0, second: 2.0}],
    ]
    assert split_phases(*slices(header, positions)) == [[1, 2], [0, 3]]


def test_a_time_that_is_constant_is_passed_over(header):
    positions = [[{"temporal-position": 1.0, "trigger-time-ms": t} for t in (30.0, 10.0)] for _ in range(2)]
    assert split_phases(*slices(header, positions)) == [[1, 3], [0, 2]]


def test_a_time_that_is_missing_somewhere_is_passed_over(header):
    positions = [[{"trigger-time-ms": 1.0, "echo-time-ms": 5.0}, {"echo-time-ms": 4.0}]]
    assert split_phases(*slices(header, positions)) == [[1], [0]]


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([3, 3, 2], RejectReason.UNEQUAL_PHASES),
        ([3, 1, 3], RejectReason.UNEQUAL_PHASES),
        ([1, 2, 1], RejectReason.DUPLICATE_SLICES),
        ([1, 3, 1, 1], RejectReason.DUPLICATE_SLICES),
    ],
)
def test_unequal_counts(header, counts, reason):
    positions = [[{"trigger-time-ms": float(t)} for t in range(count)] for count in counts]
    with pytest.raises(Refused) as refused:
        split_phases(*slices(header, positions))
    assert refused.value.reason is reason


def test_equal_times_are_duplicates(header):
    positions = [[{"trigger-time-ms": 1.0}, {"trigger-time-ms": 1.0}] for _ in range(3)]
    with pytest.raises(Refused) as refused:
        split_phases(*slices(header, positions))
    assert refused.value.reason is RejectReason.DUPLICATE_SLICES
