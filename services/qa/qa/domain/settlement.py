"""What a decision changes in the labels of a review, and what is said about it. Pure: reads and writes nothing."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace

from qa.domain.findings import ReturnReason
from qa.domain.messages import LabelApproved, LabelReturned, ReadingRequested
from qa.domain.model import RULES_VERSION, LabelVersion, Outcome, Reading, Review, ReviewState

NAMESPACE = uuid.UUID("6b0c3c1e-6c0f-5a83-9d2a-3f5d0c9c7a11")
"""Of this service's ids: the same label gives the same review and request ids at every replay."""


def review_id_of(case_id: str, chain: str) -> str:
    """Return the id of the review of a case that a chain (first task, or label version of an import) leads to."""
    return str(uuid.uuid5(NAMESPACE, f"review:{case_id}:{chain}"))


def settle(labels: Sequence[LabelVersion], approved: str, agreeing: Collection[str]) -> list[LabelVersion]:
    """Return the labels whose outcome an approval changes.

    The approved one, and those that passed their checks: supported when they agree with it, overruled when not.
    """
    changed = []
    for label in labels:
        if label.label_version_id == approved:
            changed.append(replace(label, outcome=Outcome.APPROVED))
        elif label.outcome == Outcome.CHECKED:
            supported = label.label_version_id in agreeing
            changed.append(replace(label, outcome=Outcome.SUPPORTED if supported else Outcome.OVERRULED))
    return changed


def approval(review: Review, labels: Sequence[LabelVersion], approved: LabelVersion, sequence: int) -> LabelApproved:
    """Say that a label may train: with all who read the case for this review, and the last agreement measured."""
    read = [label for label in labels if label.outcome != Outcome.UNNEEDED]
    return LabelApproved(
        review_id=review.review_id,
        label_version_id=approved.label_version_id,
        case_id=approved.case_id,
        study_key=approved.study_key,
        project_id=approved.project_id,
        project_version=approved.project_version,
        mask=approved.mask,
        segments=approved.segments,
        readers=tuple(dict.fromkeys(label.reader for label in read)),
        agreement=next((label.agreement for label in reversed(read) if label.agreement), ()),
        rules_version=RULES_VERSION,
        source=approved.source,
        started_from_model=approved.started_from_model,
        prediction_dice=approved.prediction_dice,
        prediction_id=review.prediction_id if approved.prediction_dice else "",
        round_id=review.round_id,
        arm=review.arm,
        sequence=sequence,
        task_id=approved.task_id,
    )


def returned(label: LabelVersion, reasons: tuple[ReturnReason, ...]) -> LabelReturned:
    """Say that a label goes back to its reader."""
    return LabelReturned(
        review_id=label.review_id,
        label_version_id=label.label_version_id,
        task_id=label.task_id,
        case_id=label.case_id,
        study_key=label.study_key,
        project_id=label.project_id,
        reader=label.reader,
        reasons=reasons,
    )


def request(review: Review, labels: Sequence[LabelVersion]) -> ReadingRequested:
    """Ask for the reading a review now waits for; whoever read the case for it does not get it."""
    reading = Reading.SECOND if review.state == ReviewState.AWAITING_SECOND else Reading.ADJUDICATION
    undecided = tuple(label.label_version_id for label in labels if label.outcome == Outcome.CHECKED)
    return ReadingRequested(
        request_id=str(uuid.uuid5(NAMESPACE, f"request:{review.review_id}:{reading}:{review.sequence}")),
        review_id=review.review_id,
        case_id=review.case_id,
        study_key=review.study_key,
        project_id=review.project_id,
        reading=reading,
        excluded_readers=tuple(dict.fromkeys(label.reader for label in labels)),
        label_version_ids=undecided if reading == Reading.ADJUDICATION else (),
        round_id=review.round_id,
        arm=review.arm,
    )
