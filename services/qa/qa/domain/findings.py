"""What an automatic check says about a label.

Kept apart from the checks so that the review's rules (`verdict.py`) know findings without knowing arrays.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from radloop.references import Score


class ReturnReason(StrEnum):
    """Why a label goes back; the names are those of the contract's enum."""

    EMPTY = "empty"
    GEOMETRY = "geometry"
    MISSING_SEGMENT = "missing-segment"
    STRAY_COMPONENT = "stray-component"
    HOLES = "holes"
    VOLUME_OUTLIER = "volume-outlier"
    SWAPPED_SEGMENTS = "swapped-segments"
    DISPLACED = "displaced"
    DISAGREEMENT = "disagreement"
    """A reviewer found that the other reader was right."""
    UNKNOWN_VALUE = "unknown-value"
    REVIEWER = "reviewer"
    """A reviewer sent it back; the comment stays in this service."""


class Severity(StrEnum):
    """What a finding leads to."""

    RETURN = "return"
    """The label goes back to its reader."""
    DOUBT = "doubt"
    """Not enough to send it back: a second reader looks at the case."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check noticed.

    Attributes
    ----------
    reason : ReturnReason
    severity : Severity
    segment : int
        Segment value it concerns; 0 for the label as a whole.
    numbers : tuple[Score, ...]
        What was measured; names end in their unit.
    """

    reason: ReturnReason
    severity: Severity
    segment: int = 0
    numbers: tuple[Score, ...] = ()


def finding(reason: ReturnReason, severity: Severity, segment: int = 0, **numbers: float) -> Finding:
    """Make a finding; number names are written with ``_`` and kept with ``-``."""
    scores = tuple(Score(name.replace("_", "-"), float(value)) for name, value in numbers.items())
    return Finding(reason, severity, segment, scores)


def reasons(findings: Iterable[Finding], severity: Severity) -> tuple[ReturnReason, ...]:
    """Return the reasons of one severity, each once, in the order found."""
    return tuple(dict.fromkeys(item.reason for item in findings if item.severity == severity))
