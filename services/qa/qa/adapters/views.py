"""What the HTTP side shows of reviews and labels, as plain dictionaries."""

from datetime import UTC, datetime
from typing import Any

from qa.domain.findings import Finding
from qa.domain.gold import GoldCase
from qa.domain.model import LabelVersion, Outcome, Pin, Review
from qa.ports import ListedReview


def review_view(review: Review) -> dict[str, Any]:
    """Return what is shown of a review itself."""
    return {
        "review_id": review.review_id,
        "project_id": review.project_id,
        "case_id": review.case_id,
        "study_key": review.study_key,
        "task_id": review.task_id,
        "prediction_id": review.prediction_id,
        "state": review.state,
        "doubts": list(review.doubts),
        "approved_label": review.approved_label,
        "round_id": review.round_id,
        "sequence": review.sequence,
    }


def listed_view(listed: ListedReview, now: float) -> dict[str, Any]:
    """Return a row of the queue.

    ``findings`` are those of each task's newest label, each once; ``mean_agreement`` is the lowest among them, and
    ``prediction_dice`` the mean over segments of the newest label that has one.
    """
    newest = newest_of_each_task(listed.labels)
    found = {(item.reason, item.severity, item.segment) for label in newest for item in label.findings}
    agreements = [label.mean_agreement for label in newest if label.mean_agreement is not None]
    measured = [label.prediction_dice for label in newest if label.prediction_dice]
    return review_view(listed.review) | {
        "created_at": moment(listed.created_at),
        "changed_at": moment(listed.changed_at),
        "age_s": max(0.0, now - listed.created_at) if listed.created_at else None,
        "label_count": len(listed.labels),
        "reader_count": len({label.reader for label in listed.labels if label.reader}),
        "returned_count": sum(label.outcome == Outcome.RETURNED for label in listed.labels),
        "mean_agreement": min(agreements, default=None),
        "prediction_dice": sum(score.value for score in measured[-1]) / len(measured[-1]) if measured else None,
        "findings": [
            {"reason": reason, "severity": severity, "segment": segment}
            for reason, severity, segment in sorted(found, key=lambda item: (item[1], item[0], item[2] or 0))
        ],
    }


def newest_of_each_task(labels: tuple[LabelVersion, ...]) -> list[LabelVersion]:
    """Return the last label of every task, in order of arrival; imports have no task and count each."""
    last = {label.task_id or label.label_version_id: label for label in labels}
    return sorted(last.values(), key=labels.index)


def label_view(label: LabelVersion) -> dict[str, Any]:
    """Return all that is shown of a label, to who oversees its review."""
    return {
        "label_version_id": label.label_version_id,
        "task_id": label.task_id,
        "reader": label.reader,
        "source": label.source,
        "reading": label.reading,
        "attempt": label.attempt,
        "outcome": label.outcome,
        "returned_for": list(label.returned_for),
        "comment": label.comment,
        "pin": pin_view(label.pin),
        "started_from_model": label.started_from_model,
        "findings": [_finding(item) for item in label.findings],
        "prediction_dice": {score.name: score.value for score in label.prediction_dice},
        "agreement": {score.name: score.value for score in label.agreement},
        "mean_agreement": label.mean_agreement,
    }


def outcome_view(label: LabelVersion) -> dict[str, Any]:
    """Return what a reader is shown of the own label: nothing of another reader's, so the pin names the own one."""
    whole = label_view(label)
    shown = {
        name: whole[name] for name in ("label_version_id", "outcome", "returned_for", "comment", "pin", "findings")
    }
    if label.pin is not None:
        shown["pin"] = whole["pin"] | {"label_version_id": label.label_version_id}
    return shown


def gold_view(case: GoldCase) -> dict[str, Any]:
    """Return what is shown of a gold case."""
    return {"case_id": case.case_id, "label_version_id": case.label_version_id}


def pin_view(pin: Pin | None) -> dict[str, Any] | None:
    """Return where a comment is pinned."""
    return None if pin is None else {"index": list(pin.index), "label_version_id": pin.label_version_id}


def moment(seconds: float) -> str | None:
    """Return a time as ISO 8601 in UTC; None where it is not known."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None


def _finding(item: Finding) -> dict[str, Any]:
    return {
        "reason": item.reason,
        "severity": item.severity,
        "segment": item.segment,
        "numbers": {score.name: score.value for score in item.numbers},
    }
