"""What the operator's page asks: pages of studies, rejections, quarantine and withdrawals, and forming again."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from ingest.adapters.listings import ORDERS, Listings
from ingest.adapters.reception import Dispatch
from ingest.domain.messages import FormAgain
from ingest.domain.model import StudyState
from ingest.domain.reasons import RejectReason
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.errors import Invalid
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]
Search = Annotated[str, Query(max_length=64, description="Beginning of the study key.")]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=1000)]

_OVERSEERS = (Role.SITE_ADMIN, Role.AUDITOR, Role.PROJECT_LEAD)


def make_operator_router(dispatch: Dispatch, listings: Listings) -> APIRouter:
    """Return the endpoints of the operator's page, each bound to what it needs."""
    router = APIRouter(prefix="/v1")

    def overseer(principal: Asking) -> Principal:
        principal.require(EVERY_PROJECT, *_OVERSEERS)
        return principal

    Overseer = Annotated[Principal, Depends(overseer)]

    @router.get("/studies")
    def studies(
        principal: Overseer,
        state: Annotated[str, Query(description="One state or several, separated by commas.")] = "",
        search: Search = "",
        order: Annotated[str, Query(pattern=f"^({'|'.join(ORDERS)})$")] = "key",
        after: Annotated[
            str, Query(max_length=64, description="In order of key: the last key of the page before.")
        ] = "",
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """Studies with what came of each and why it waits; `order=newest` for the newest first."""
        if after and order != "key":
            raise Invalid("page-unclear", expected="after in order of key, else offset", got=f"after and {order}")
        states = _states(state)
        return listings.studies(states=states, search=search, order=order, after=after, offset=offset, limit=limit)

    @router.get("/studies/{study_key}")
    def study(study_key: str, principal: Overseer) -> dict[str, Any]:
        """One study: series, cases, rejections, quarantine, differences."""
        return listings.study(study_key)

    @router.post("/studies/{study_key}/retry")
    def retry(study_key: str, principal: Asking) -> dict[str, Any]:
        """Form again what could not be formed, with the projects as they are now; what is a case stays as it is."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.PROJECT_LEAD)
        dispatch(FormAgain(study_key, principal.subject))
        return {"study_key": study_key}

    @router.get("/rejections")
    def rejections(
        principal: Overseer,
        search: Search = "",
        reason: RejectReason | None = None,
        offset: Offset = 0,
        limit: Limit = 1000,
    ) -> dict[str, Any]:
        """What was refused, when and why, newest first."""
        return listings.rejections(search=search, reason=reason, offset=offset, limit=limit)

    @router.get("/quarantine")
    def quarantine(principal: Asking, search: Search = "", offset: Offset = 0, limit: Limit = 1000) -> dict[str, Any]:
        """What waits for a person, why and since when, the longest waiting first."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.AUDITOR)
        return listings.quarantine(search=search, offset=offset, limit=limit)

    @router.get("/withdrawn")
    def withdrawn(principal: Asking, search: Search = "", offset: Offset = 0, limit: Limit = 1000) -> dict[str, Any]:
        """Studies that are to be forgotten, why and since when, newest first."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.AUDITOR)
        return listings.withdrawn(search=search, offset=offset, limit=limit)

    return router


def _states(text: str) -> tuple[str, ...]:
    states = tuple(part.strip() for part in text.split(",") if part.strip())
    known = [state.value for state in StudyState]
    if any(state not in known for state in states):
        raise Invalid("state-unknown", expected=f"some of {', '.join(known)}", got="another")
    return states
