"""The HTTP API: reviews for reviewers, scores for readers and leads.

Readings are blind: a reader sees what became of the own labels and nothing of another reader's. Everything else is for
reviewers, leads, administrators and auditors of the project.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from qa.domain.findings import Finding, ReturnReason
from qa.domain.messages import ApproveReview, ReturnReview
from qa.domain.model import LabelVersion, Review, ReviewState
from radloop.auth import Principal, Role, pseudonym
from radloop.dispatch import Dispatcher
from radloop.errors import Forbidden, NotFound
from radloop.http import authenticated

Caller = Annotated[Principal, Depends(authenticated)]

OVERSEERS = (Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR)
DECIDERS = (Role.REVIEWER, Role.PROJECT_LEAD)
PAGE_LIMIT = 500


class Approve(BaseModel):
    """Body of an approval; without a label version the newest of the review is meant."""

    model_config = ConfigDict(extra="forbid")

    label_version_id: str = ""


class Return(BaseModel):
    """Body of a return."""

    model_config = ConfigDict(extra="forbid")

    reason: ReturnReason = ReturnReason.REVIEWER
    comment: str = Field(default="", max_length=2000)
    label_version_id: str = ""


def create_router(dispatcher: Dispatcher, unit_of_work: Callable[..., AbstractContextManager[Any]]) -> APIRouter:
    """Make the endpoints; ``unit_of_work(read_only=True)`` opens a query, ``unit_of_work()`` one that is audited."""
    router = APIRouter(prefix="/v1")
    read = partial(unit_of_work, read_only=True)

    def viewed(principal: Principal, action: str, target: str) -> None:
        """Put a look on record; nobody sees anything before it is."""
        with unit_of_work() as uow:
            uow.audit(principal.subject, action, target)
            uow.commit()

    def with_membership(uow: Any, principal: Principal, project_id: str) -> Principal:
        project = uow.projects.newest(project_id)
        return principal.with_members(project_id, project.members if project else ())

    def require_in(uow: Any, principal: Principal, project_id: str, *roles: Role) -> Principal:
        """Return the principal with what membership adds; raise without a role in the project, and without the project."""
        member = with_membership(uow, principal, project_id)
        member.require(project_id, *roles)
        if uow.projects.newest(project_id) is None:
            raise NotFound(
                "project-unknown",
                expected="a project this site has heard of",
                got="another id",
                do="set it up in the control plane, and wait until it is announced",
            )
        return member

    def visible_review(uow: Any, principal: Principal, review_id: str) -> tuple[Review, Principal]:
        review = uow.reviews.get(review_id)
        if review is None:
            raise NotFound("review-unknown", expected="the id of a review", got="another id", do="GET /v1/reviews")
        principal = with_membership(uow, principal, review.project_id)
        principal.require(review.project_id, *OVERSEERS)
        return review, principal

    def shown(principal: Principal, review_id: str) -> dict[str, Any]:
        with read() as uow:
            review, _ = visible_review(uow, principal, review_id)
            labels = uow.labels.of_review(review_id)
        return {**_review(review), "labels": [_label(label) for label in labels]}

    @router.get("/reviews")
    def list_reviews(
        principal: Caller,
        project_id: str,
        state: ReviewState | None = None,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = 100,
    ) -> dict[str, Any]:
        """List the reviews of a project in order of id; ``after`` is the last id of the page before."""
        with read() as uow:
            require_in(uow, principal, project_id, *OVERSEERS)
            reviews = uow.reviews.page(project_id, state, after, limit)
        viewed(principal, "reviews-listed", project_id)
        return {"reviews": [_review(review) for review in reviews]}

    @router.get("/reviews/{review_id}")
    def get_review(principal: Caller, review_id: str) -> dict[str, Any]:
        """Show a review with its labels, findings and numbers."""
        found = shown(principal, review_id)
        viewed(principal, "review-viewed", review_id)
        return found

    @router.post("/reviews/{review_id}/approve")
    def approve(principal: Caller, review_id: str, body: Approve) -> dict[str, Any]:
        """Approve a label of a review by a reviewer's word."""
        with read() as uow:
            review, decider = visible_review(uow, principal, review_id)
            labels = uow.labels.of_review(review_id)
        _require_decider(decider, review, labels)
        dispatcher.dispatch(ApproveReview(review_id, body.label_version_id, principal.subject))
        return shown(principal, review_id)

    @router.post("/reviews/{review_id}/return")
    def send_back(principal: Caller, review_id: str, body: Return) -> dict[str, Any]:
        """Send a label of a review back to its reader; the comment stays at the site."""
        with read() as uow:
            review, decider = visible_review(uow, principal, review_id)
            labels = uow.labels.of_review(review_id)
        _require_decider(decider, review, labels)
        dispatcher.dispatch(
            ReturnReview(review_id, body.label_version_id, body.reason, body.comment, principal.subject)
        )
        return shown(principal, review_id)

    @router.get("/labels/{label_version_id}")
    def get_label(principal: Caller, label_version_id: str) -> dict[str, Any]:
        """Show a reader what became of an own label, why, and what a reviewer wrote."""
        with read() as uow:
            label = uow.labels.get(label_version_id)
            if label is None:
                raise NotFound("label-unknown", expected="a label that was submitted", got="another id")
            principal = with_membership(uow, principal, label.project_id)
        if label.reader != pseudonym(principal.subject):
            principal.require(label.project_id, *OVERSEERS)
        viewed(principal, "outcome-viewed", label_version_id)
        own = _label(label)
        return {name: own[name] for name in ("label_version_id", "outcome", "returned_for", "comment", "findings")}

    @router.get("/readers")
    def list_readers(principal: Caller, project_id: str) -> dict[str, Any]:
        """Show the scores of a project's readers: to a reader the own, to leads and reviewers all."""
        with read() as uow:
            principal = require_in(uow, principal, project_id, Role.READER, *OVERSEERS)
            scores = uow.labels.scores(project_id)
        if not principal.roles_in(project_id) & set(OVERSEERS):
            scores = [score for score in scores if score.reader == pseudonym(principal.subject)]
        viewed(principal, "scores-viewed", project_id)
        return {"readers": [asdict(score) for score in scores]}

    @router.get("/status")
    def status(_principal: Caller, project_id: str | None = None) -> dict[str, Any]:
        """Return how many reviews stand in each state."""
        with read() as uow:
            return {"reviews": uow.reviews.counts(project_id)}

    return router


def _require_decider(principal: Principal, review: Review, labels: list[LabelVersion]) -> None:
    """Check that somebody may decide here: a reviewer or lead, and not on an own label."""
    principal.require(review.project_id, *DECIDERS)
    if any(label.reader == pseudonym(principal.subject) for label in labels if label.task_id):
        raise Forbidden(
            "own-label",
            expected="a reviewer who did not read the case",
            got="one of its readers",
            do="ask another reviewer",
        )


def _review(review: Review) -> dict[str, Any]:
    return {
        "review_id": review.review_id,
        "project_id": review.project_id,
        "case_id": review.case_id,
        "study_key": review.study_key,
        "task_id": review.task_id,
        "state": review.state,
        "doubts": list(review.doubts),
        "approved_label": review.approved_label,
        "round_id": review.round_id,
        "sequence": review.sequence,
    }


def _label(label: LabelVersion) -> dict[str, Any]:
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
        "findings": [_finding(item) for item in label.findings],
        "prediction_dice": {score.name: score.value for score in label.prediction_dice},
        "agreement": {score.name: score.value for score in label.agreement},
        "mean_agreement": label.mean_agreement,
    }


def _finding(item: Finding) -> dict[str, Any]:
    return {
        "reason": item.reason,
        "severity": item.severity,
        "segment": item.segment,
        "numbers": {score.name: score.value for score in item.numbers},
    }
