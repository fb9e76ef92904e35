"""Runs the checks of submitted labels, one at a time: reads in one transaction, computes outside of any, records in another."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from qa.adapters.metrics import CHECK_SECONDS, FINDINGS
from qa.domain.agreement import compare
from qa.domain.examination import examine
from qa.domain.measurement import Population
from qa.domain.messages import Comparison, RecordExamination
from qa.domain.model import LabelVersion, Outcome, Project, Reading, Review
from qa.ports import KnownCase, KnownPrediction, Masks
from radloop.errors import PermanentError, TemporaryError
from radloop.imaging import Volume
from radloop.messages import Envelope, Message
from radloop.references import ObjectRef
from radloop.telemetry import logger

log = logger(__name__)

TRIES = 3
"""Unexpected errors of one label's checks after which it is held for a reviewer, so that it does not block the others."""


@dataclass(frozen=True)
class _Work:
    """All that the checks of one label need, read in one transaction."""

    label: LabelVersion
    cause: Envelope | None
    case: KnownCase
    project: Project
    prediction: KnownPrediction | None
    population: Population
    others: tuple[LabelVersion, ...]


class Checker:
    """The worker's step.

    Parameters
    ----------
    read : callable
        Makes a read-only unit of work.
    masks : Masks
    dispatch : callable
        ``dispatch(command, cause)`` handles a command as a consequence of the event that brought the label.
    prediction_wait_s : float
        See `QaSettings`.
    """

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[Any]],
        masks: Masks,
        dispatch: Callable[[Message, Envelope | None], object],
        prediction_wait_s: float,
    ) -> None:
        self._read, self._masks, self._dispatch = read, masks, dispatch
        self._prediction_wait_s = prediction_wait_s
        self._failures: Counter[str] = Counter()

    def step(self) -> bool:
        """Check the oldest label that waits; return whether there was one."""
        work = self._next()
        if work is None:
            return False
        label_version_id = work.label.label_version_id
        try:
            with CHECK_SECONDS.time():
                command = self._check(work)
        except TemporaryError:
            raise
        except Exception:  # counted here, logged and tried again by the worker's thread
            self._failures[label_version_id] += 1
            if self._failures[label_version_id] < TRIES:
                raise
            log.error("label cannot be checked, held for a reviewer")
            command = RecordExamination(label_version_id, None, "")
        self._dispatch(command, work.cause)
        del self._failures[label_version_id]
        for item in command.examination.findings if command.examination else ():
            FINDINGS.labels(item.reason, item.severity).inc()
        return True

    def _next(self) -> _Work | None:
        with self._read() as uow:
            label = uow.labels.next_to_check(self._prediction_wait_s)
            if label is None:
                return None
            review = uow.reviews.get(label.review_id)
            known = uow.cases.prediction(review.prediction_id) if review.prediction_id else None
            return _Work(
                label=label,
                cause=uow.labels.cause(label.label_version_id),
                case=uow.cases.get(label.case_id),
                project=uow.projects.get(label.project_id, label.project_version),
                prediction=known or uow.cases.newest_prediction(label.case_id),
                population=uow.approvals.population(label.project_id, label.case_id),
                others=self._compared_with(uow, review),
            )

    @staticmethod
    def _compared_with(uow: Any, review: Review) -> tuple[LabelVersion, ...]:
        """Return what a further reading is compared with: the gold label, or what passed its checks in the same review."""
        if review.gold_label:
            return (uow.labels.get(review.gold_label),)
        return tuple(label for label in uow.labels.of_review(review.review_id) if label.outcome == Outcome.CHECKED)

    def _check(self, work: _Work) -> RecordExamination:
        label = work.label
        mask = self._load(label.mask, "label")
        if mask is None:
            return RecordExamination(label.label_version_id, None, "")
        prediction = self._load(work.prediction.mask, "prediction") if work.prediction else None
        examination = examine(
            mask,
            label.segments,
            prediction,
            work.case.geometry,
            work.project.segments,
            work.population,
            overlapping=work.project.overlapping_segments,
        )
        return RecordExamination(
            label_version_id=label.label_version_id,
            examination=examination,
            prediction_id=work.prediction.prediction_id if work.prediction and prediction else "",
            comparisons=self._comparisons(work, mask) if examination.measurement else (),
        )

    def _comparisons(self, work: _Work, mask: Volume) -> tuple[Comparison, ...]:
        """Compare a second reading or an adjudication with what was read before it."""
        if work.label.reading not in (Reading.SECOND, Reading.ADJUDICATION):
            return ()
        compared = []
        for other in work.others:
            theirs = self._load(other.mask, "label")
            if theirs is not None and theirs.array.shape == mask.array.shape:
                segments = compare(theirs, mask, other.segments, work.label.segments)
                compared.append(Comparison(other.label_version_id, segments))
        return tuple(compared)

    def _load(self, ref: ObjectRef, what: str) -> Volume | None:
        try:
            return self._masks.load(ref)
        except PermanentError as error:
            log.warning("mask cannot be read", of=what, reason=error.code)
            return None
