"""Telling a 3-D series from a 4-D one, and which slice belongs to which phase.

The phase of a slice is the rank of its time among the slices at the same position. Clock times do not survive
de-identification as they were, so the numbers are taken as relative ones before it, under the names listed here.
"""

from collections import Counter
from collections.abc import Sequence

from ingest.domain.model import SliceHeader
from ingest.domain.reasons import Refused, RejectReason

TIME_NUMBERS = (
    "temporal-position",
    "trigger-time-ms",
    "acquisition-offset-s",
    "inversion-time-ms",
    "echo-time-ms",
    "b-value-s-mm2",
)
"""What can tell phases apart, in order of preference: the first that differs within every position is used."""


def split_phases(headers: Sequence[SliceHeader], groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Sort slices into phases.

    Parameters
    ----------
    headers : sequence of SliceHeader
    groups : sequence of sequence of int
        Indices into ``headers`` of the slices at each position, positions in order along the normal.

    Returns
    -------
    list of list of int
        For each phase the index of its slice at each position. One phase for a 3-D series.

    Raises
    ------
    Refused
        DUPLICATE_SLICES when slices at one position cannot be told apart, or a few positions of a 3-D series have two;
        UNEQUAL_PHASES when positions have unequal numbers of phases.
    """
    counts = [len(group) for group in groups]
    if max(counts) == 1:
        return [[group[0] for group in groups]]
    usual, _ = Counter(counts).most_common(1)[0]
    if usual == 1:
        doubled = sum(count > 1 for count in counts)
        raise Refused(
            RejectReason.DUPLICATE_SLICES,
            f"{doubled} of {len(counts)} positions hold more than one slice, the others one",
        )
    name = next((name for name in TIME_NUMBERS if _tells_apart(headers, groups, name)), None)
    if name is None:
        raise Refused(
            RejectReason.DUPLICATE_SLICES,
            f"no time differs between the {usual} slices at a position: {', '.join(TIME_NUMBERS)}",
        )
    if min(counts) != max(counts):
        raise Refused(
            RejectReason.UNEQUAL_PHASES, f"positions hold {min(counts)} to {max(counts)} phases, most {usual}"
        )
    ordered = [sorted(group, key=lambda index: headers[index].numbers[name]) for group in groups]
    return [[group[phase] for group in ordered] for phase in range(usual)]


def _tells_apart(headers: Sequence[SliceHeader], groups: Sequence[Sequence[int]], name: str) -> bool:
    for group in groups:
        values = {headers[index].numbers.get(name) for index in group}
        if None in values or len(values) < len(group):
            return False
    return True
