"""Gold cases: cases whose label is known to be right, mixed in among second readings to measure readers.

A gold reading must look to its reader like any other second reading, before it and after it: so nothing is said about its
label, and the reader's own score is told late and in groups.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from qa.domain.draw import first_drawn
from qa.domain.messages import ReadingRequested
from qa.domain.model import Reading, Review, ReviewState
from qa.domain.settlement import NAMESPACE, review_id_of

GROUP = 3
"""Gold readings that are told to their reader together: less would say how one reading went."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class GoldCase:
    """A case and its label that readers are measured by."""

    case_id: str
    study_key: str
    project_id: str
    label_version_id: str


@dataclass(frozen=True, slots=True)
class GoldReading:
    """A gold reading that was asked for.

    Attributes
    ----------
    review_id : str
        Review that asks; it names the label to compare with.
    asked_of : str
        Pseudonym of the reader it is meant for.
    mean_dice : float or None
        Mean Dice over segments with the gold label, 0..1; None before the answer and where nothing could be compared.
    """

    review_id: str
    project_id: str
    case_id: str
    study_key: str
    asked_of: str
    mean_dice: float | None = None


@dataclass(frozen=True, slots=True)
class ScoredReading:
    """A gold reading that was answered: whose, when (seconds since the epoch), and its mean Dice with the gold label (0..1)."""

    reader: str
    scored_at: float
    mean_dice: float


@dataclass(frozen=True, slots=True)
class GoldScore:
    """How many gold readings of one reader were compared, and their mean Dice; None where there is none."""

    gold_count: int
    gold_mean_dice: float | None


def gold_review_id(case_id: str, reader: str) -> str:
    """Return the id of the review in which a reader reads a gold case: the same for the same two, so that it is once."""
    return review_id_of(case_id, f"gold:{reader}")


def choose(cases: Sequence[GoldCase], seed: str, key: bytes) -> GoldCase | None:
    """Draw one of the gold cases; None where there is none."""
    chosen = first_drawn([case.case_id for case in cases], seed, key)
    return next((case for case in cases if case.case_id == chosen), None)


def gold_review(case: GoldCase, approved_in: Review, asked_for: Review, reader: str) -> Review:
    """Return the review of a gold reading.

    It stands in the round in which its case was read, as second readings do; a case no round asked for (an import) goes with
    the reading that led to the draw.
    """
    origin = approved_in if approved_in.round_id else asked_for
    return Review(
        review_id=gold_review_id(case.case_id, reader),
        project_id=case.project_id,
        case_id=case.case_id,
        study_key=case.study_key,
        task_id="",
        prediction_id="",
        round_id=origin.round_id,
        arm=origin.arm,
        state=ReviewState.AWAITING_GOLD,
        gold_label=case.label_version_id,
    )


def gold_request(review: Review, reader: str, known_readers: Collection[str]) -> ReadingRequested:
    """Ask one reader for a second reading, by excluding everybody else who is known."""
    return ReadingRequested(
        request_id=str(uuid.uuid5(NAMESPACE, f"request:{review.review_id}")),
        review_id=review.review_id,
        case_id=review.case_id,
        study_key=review.study_key,
        project_id=review.project_id,
        reading=Reading.SECOND,
        excluded_readers=tuple(sorted(set(known_readers) - {reader})),
        label_version_ids=(),
        round_id=review.round_id,
        arm=review.arm,
    )


def score_of(readings: Sequence[ScoredReading]) -> GoldScore:
    """Return the score over readings of one reader, as who leads the project sees it."""
    dices = [reading.mean_dice for reading in readings]
    return GoldScore(len(dices), sum(dices) / len(dices) if dices else None)


def score_told_to(readings: Sequence[ScoredReading], now: float) -> GoldScore:
    """Return what a reader may know of the own score: whole groups of readings, and none of today (UTC).

    A score that moved with the reading just made would tell that it was gold, and how it went.
    """
    midnight = now - now % _DAY_S
    past = sorted((one for one in readings if one.scored_at < midnight), key=lambda one: one.scored_at)
    return score_of(past[: len(past) - len(past) % GROUP])
