"""The HTTP API: reviews for reviewers, scores for readers and leads, gold cases for leads.

Readings are blind: a reader sees what became of the own labels and nothing of another reader's. Everything else is for
reviewers, leads, administrators and auditors of the project.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from qa.adapters.agreement import Agreements
from qa.adapters.views import gold_view, label_view, listed_view, newest_of_each_task, outcome_view
from qa.domain.findings import ReturnReason
from qa.domain.gold import score_of, score_told_to
from qa.domain.messages import ApproveReview, DropGold, NameGold, ReturnReview
from qa.domain.model import LabelVersion, Pin, Review, ReviewState
from qa.ports import Order
from radloop.auth import Principal, Role, pseudonym
from radloop.dispatch import Dispatcher
from radloop.errors import Forbidden, Invalid, NotFound
from radloop.http import authenticated

Caller = Annotated[Principal, Depends(authenticated)]

OVERSEERS = (Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR)
DECIDERS = (Role.REVIEWER, Role.PROJECT_LEAD)
GOLD_NAMERS = (Role.PROJECT_LEAD, Role.SITE_ADMIN)
GOLD_VIEWERS = (Role.REVIEWER, *GOLD_NAMERS)
PAGE_LIMIT = 500


class Approve(BaseModel):
    """Body of an approval; without a label version the newest of the review is meant."""

    model_config = ConfigDict(extra="forbid")

    label_version_id: str = ""


class PinnedTo(BaseModel):
    """Where in the image a comment belongs: a voxel (i, j, k), and the label that was looked at (empty: the one returned)."""

    model_config = ConfigDict(extra="forbid")

    index: tuple[StrictInt, StrictInt, StrictInt]
    label_version_id: str = ""


class Return(BaseModel):
    """Body of a return; without a label version the one of the pin is meant, else the newest of the review."""

    model_config = ConfigDict(extra="forbid")

    reason: ReturnReason = ReturnReason.REVIEWER
    comment: str = Field(default="", max_length=2000)
    label_version_id: str = ""
    pin: PinnedTo | None = None


class Gold(BaseModel):
    """Body of a gold case: the approved label that readers are measured by."""

    model_config = ConfigDict(extra="forbid")

    label_version_id: str


def create_router(
    dispatcher: Dispatcher, unit_of_work: Callable[..., AbstractContextManager[Any]], agreements: Agreements
) -> APIRouter:
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
            visible_review(uow, principal, review_id)
            listed = uow.reviews.listed(review_id)
        return listed_view(listed, time.time()) | {"labels": [label_view(label) for label in listed.labels]}

    def check_gold_namer(principal: Principal, case_id: str) -> None:
        with read() as uow:
            case = uow.cases.get(case_id)
            if case is None:
                raise NotFound("case-unknown", expected="a case this site has heard of", got="another id")
            with_membership(uow, principal, case.project_id).require(case.project_id, *GOLD_NAMERS)

    @router.get("/reviews")
    def list_reviews(
        principal: Caller,
        project_id: str,
        state: Annotated[str, Query(description="One state or several, separated by commas.")] = "",
        search: Annotated[str, Query(max_length=100, description="Beginning of the id of the case or review.")] = "",
        order: Order = Order.ID,
        after: Annotated[str, Query(description="In order of id: the last id of the page before.")] = "",
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = 100,
    ) -> dict[str, Any]:
        """List the reviews of a project with what a queue shows; ``order=priority``: what a reviewer can decide comes first."""
        states = _states(state)
        if after and order is not Order.ID:
            raise Invalid("page-unclear", expected="after in order of id, else offset", got=f"after and {order}")
        with read() as uow:
            require_in(uow, principal, project_id, *OVERSEERS)
            total, reviews = uow.reviews.page(
                project_id, states=states, search=search, order=order, after=after, offset=offset, limit=limit
            )
        viewed(principal, "reviews-listed", project_id)
        now = time.time()
        return {"total": total, "reviews": [listed_view(listed, now) for listed in reviews]}

    @router.get("/reviews/{review_id}")
    def get_review(principal: Caller, review_id: str) -> dict[str, Any]:
        """Show a review with its labels, findings and numbers."""
        found = shown(principal, review_id)
        viewed(principal, "review-viewed", review_id)
        return found

    @router.get("/reviews/{review_id}/agreement")
    def get_agreement(
        principal: Caller,
        review_id: str,
        label: Annotated[
            list[str] | None, Query(max_length=10, description="Which labels; each task's newest.")
        ] = None,
    ) -> dict[str, Any]:
        """Compare every two labels of a review, and each with the model's answer, segment by segment."""
        with read() as uow:
            review, _ = visible_review(uow, principal, review_id)
            labels = uow.labels.of_review(review_id)
            known = uow.cases.prediction(review.prediction_id) if review.prediction_id else None
            prediction = known or uow.cases.newest_prediction(review.case_id, review.round_id)
        chosen = (
            [one for one in labels if one.label_version_id in label] if label else newest_of_each_task(tuple(labels))
        )
        if label and len(chosen) != len(set(label)):
            raise NotFound("label-unknown", expected="label versions of this review", got="another id among them")
        viewed(principal, "agreement-viewed", review_id)
        return {
            "labels": [one.label_version_id for one in chosen],
            "prediction_id": prediction.prediction_id if prediction else "",
            "pairs": agreements.of(chosen, prediction),
        }

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
        """Send a label of a review back to its reader; the comment, and where it is pinned, stay at the site."""
        with read() as uow:
            review, decider = visible_review(uow, principal, review_id)
            labels = uow.labels.of_review(review_id)
        _require_decider(decider, review, labels)
        wanted = body.label_version_id or (body.pin.label_version_id if body.pin else "")
        pin = Pin(body.pin.index, body.pin.label_version_id) if body.pin else None
        dispatcher.dispatch(ReturnReview(review_id, wanted, body.reason, body.comment, principal.subject, pin))
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
        return outcome_view(label)

    @router.get("/readers")
    def list_readers(principal: Caller, project_id: str) -> dict[str, Any]:
        """Show the scores of a project's readers: to a reader the own, to leads and reviewers all."""
        with read() as uow:
            principal = require_in(uow, principal, project_id, Role.READER, *OVERSEERS)
            scores = uow.labels.scores(project_id)
            gold = uow.gold.scored(project_id)
        oversees = bool(principal.roles_in(project_id) & set(OVERSEERS))
        if not oversees:
            scores = [score for score in scores if score.reader == pseudonym(principal.subject)]
        viewed(principal, "scores-viewed", project_id)
        shown_score = score_of if oversees else partial(score_told_to, now=time.time())
        return {
            "readers": [
                asdict(score) | asdict(shown_score([one for one in gold if one.reader == score.reader]))
                for score in scores
            ]
        }

    @router.get("/gold")
    def list_gold(principal: Caller, project_id: str) -> dict[str, Any]:
        """List the gold cases of a project; not for its readers."""
        with read() as uow:
            require_in(uow, principal, project_id, *GOLD_VIEWERS)
            cases = uow.gold.of_project(project_id)
        viewed(principal, "gold-listed", project_id)
        return {"gold": [gold_view(case) for case in cases]}

    @router.put("/gold/{case_id}")
    def name_gold(principal: Caller, case_id: str, body: Gold) -> dict[str, Any]:
        """Name a case as gold, by one of its approved labels: some readers are asked for it without being told."""
        check_gold_namer(principal, case_id)
        dispatcher.dispatch(NameGold(case_id, body.label_version_id, principal.subject))
        return {"case_id": case_id, "label_version_id": body.label_version_id}

    @router.delete("/gold/{case_id}", status_code=204)
    def drop_gold(principal: Caller, case_id: str) -> None:
        """Ask nobody for this gold case any more; scores stay."""
        check_gold_namer(principal, case_id)
        dispatcher.dispatch(DropGold(case_id, principal.subject))

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


def _states(text: str) -> tuple[ReviewState, ...]:
    try:
        return tuple(ReviewState(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Invalid("state-unknown", expected=f"some of {', '.join(ReviewState)}", got="another") from error
