"""Gold cases: who names them, when one is asked for, and how its reading is scored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qa.domain.agreement import SegmentAgreement, mean_dice, scores
from qa.domain.draw import drawn
from qa.domain.examination import Examination
from qa.domain.findings import Severity
from qa.domain.gold import GoldCase, GoldReading, choose, gold_request, gold_review
from qa.domain.messages import DropGold, NameGold
from qa.domain.model import LabelSource, LabelVersion, Outcome, Reading, Review, Step
from qa.ports import QaUnitOfWork
from radloop.errors import Conflict, NotFound
from radloop.messages import Message


@dataclass(frozen=True, slots=True)
class Policy:
    """What the site decides.

    Attributes
    ----------
    draw_key : bytes
        Key of the draws of second and gold readings.
    surface_limit_mm : float
        Limit of surface distance between readers.
    gold_share : float
        Share of a reader's labels after which a gold case is asked for, 0..1.
    """

    draw_key: bytes
    surface_limit_mm: float
    gold_share: float = 0.0


def name_gold(message: NameGold, uow: QaUnitOfWork) -> list[Message]:
    """Name a case as gold, by one of its approved labels; one that was named before is replaced.

    Raises
    ------
    NotFound
        The case has no such label.
    Conflict
        The label is not approved.
    """
    label = uow.labels.get(message.label_version_id)
    if label is None or label.case_id != message.case_id:
        raise NotFound("label-unknown", expected="a label version of this case", got="another id")
    if label.outcome != Outcome.APPROVED:
        raise Conflict(
            "label-not-approved",
            expected="an approved label",
            got=f"one that is {label.outcome}",
            do="approve it first",
        )
    uow.audit(message.by, "gold-named", message.case_id)
    uow.gold.save(GoldCase(label.case_id, label.study_key, label.project_id, label.label_version_id))
    return []


def drop_gold(message: DropGold, uow: QaUnitOfWork) -> list[Message]:
    """Ask nobody for this case any more; what was asked for is still scored, and scores stay.

    Raises
    ------
    NotFound
        The case is not gold.
    """
    if uow.gold.get(message.case_id) is None:
        raise NotFound("gold-unknown", expected="a gold case", got="another", do="list them: GET /v1/gold")
    uow.audit(message.by, "gold-dropped", message.case_id)
    uow.gold.drop(message.case_id)
    return []


def ask_for_gold(label: LabelVersion, uow: QaUnitOfWork, policy: Policy) -> list[Message]:
    """Ask a label's reader, if the draw says so, for a gold case that this reader has not read and was not asked for."""
    readings = (Reading.FIRST, Reading.SECOND)  # who adjudicates need not be a reader
    if label.source != LabelSource.READER or label.reading not in readings:
        return []
    if not drawn(f"gold:{label.label_version_id}", policy.gold_share, policy.draw_key):
        return []
    case = choose(uow.gold.unread(label.project_id, label.reader), label.label_version_id, policy.draw_key)
    if case is None:
        return []
    approved, asked_for = uow.labels.get(case.label_version_id), uow.reviews.get(label.review_id)
    assert approved is not None and asked_for is not None, "a withdrawal deletes a gold case with its label"
    origin = uow.reviews.get(approved.review_id)
    assert origin is not None, "a label lies in a review"
    review = gold_review(case, origin, asked_for, label.reader)
    uow.reviews.save(review)
    uow.gold.save_reading(
        GoldReading(review.review_id, review.project_id, review.case_id, review.study_key, asked_of=label.reader)
    )
    return [gold_request(review, label.reader, uow.gold.readers(label.project_id))]


def score_gold(
    label: LabelVersion,
    review: Review,
    examination: Examination | None,
    compared: Sequence[SegmentAgreement],
    uow: QaUnitOfWork,
) -> None:
    """Score a reading of a gold case. Its label is neither approved nor returned.

    It stays as a second reading does that an adjudicator is awaited for, so that its reader sees nothing unusual; of its
    findings those are kept that such a label can have.
    """
    reading = uow.gold.reading(review.review_id)
    if reading is not None:
        uow.gold.save_reading(replace(reading, mean_dice=mean_dice(compared) if compared else None))
    noticed = examination.findings if examination else ()
    uow.labels.save(
        replace(
            label,
            outcome=Outcome.CHECKED,
            findings=tuple(item for item in noticed if item.severity == Severity.DOUBT),
            measurement=examination.measurement if examination else None,
            agreement=scores(compared),
        )
    )
    uow.reviews.save(review.step(Step.SCORE_GOLD))
