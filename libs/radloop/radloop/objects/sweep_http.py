"""The endpoint behind `radloop objects sweep`; every service that stores objects has it."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.http import authenticated
from radloop.objects.sweep import Sweeper

SHORTEST_GRACE_S = 600.0


class SweepRequest(BaseModel):
    """What to sweep."""

    model_config = ConfigDict(extra="forbid")

    grace_s: float = Field(default=24 * 3600.0, ge=SHORTEST_GRACE_S, le=10 * 365 * 24 * 3600.0)
    """Age in seconds below which nothing is touched."""

    dry_run: bool = False
    """Only count."""


def sweep_router(sweeper: Sweeper) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter(prefix="/v1/objects", tags=["objects"])

    @router.post("/sweep")
    def sweep(principal: Annotated[Principal, Depends(authenticated)], asked: SweepRequest) -> dict[str, Any]:
        """Remove the objects of this service that nothing refers to and that are older than the grace time."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        return asdict(sweeper.sweep(principal.subject, timedelta(seconds=asked.grace_s), dry_run=asked.dry_run))

    return router
