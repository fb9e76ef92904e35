"""What the retention rules say is to go, and when; nothing is done by asking."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from ingest.adapters.retention import Retention
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]


def make_retention_router(retention: Retention) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter(prefix="/v1")

    @router.get("/retention")
    def listed(principal: Asking) -> dict[str, Any]:
        """Studies that the site's retention rules say are to go, why, whether a round uses them, and when they go."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.AUDITOR)
        return retention.listed()

    return router
