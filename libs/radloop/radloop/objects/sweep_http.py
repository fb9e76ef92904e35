"""The endpoint behind `radloop objects sweep`; every service that stores objects has it."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.errors import Invalid
from radloop.http import authenticated
from radloop.objects.sweep import Sweeper


class SweepRequest(BaseModel):
    """What to sweep."""

    model_config = ConfigDict(extra="forbid")

    grace_s: float = Field(default=24 * 3600.0, ge=0, le=10 * 365 * 24 * 3600.0)
    """Age in seconds below which nothing is touched."""

    dry_run: bool = False
    """Only count."""


def sweep_router(sweeper: Sweeper, shortest_grace_s: float) -> APIRouter:
    """Return the endpoint; it refuses a shorter grace, for a writer may not have said yet what it put is for."""
    router = APIRouter(prefix="/v1/objects", tags=["objects"])

    @router.post("/sweep")
    def sweep(principal: Annotated[Principal, Depends(authenticated)], asked: SweepRequest) -> dict[str, Any]:
        """Remove the objects of this service that nothing refers to and that are older than the grace time."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        if asked.grace_s < shortest_grace_s:
            raise Invalid(
                "grace-too-short",
                expected=f"a grace of at least {shortest_grace_s:g} s (RADLOOP_SWEEP_SHORTEST_GRACE_S)",
                got=f"{asked.grace_s:g} s",
                do="ask for a longer one, e.g. radloop objects sweep --grace 24h",
            )
        return asdict(sweeper.sweep(principal.subject, timedelta(seconds=asked.grace_s), dry_run=asked.dry_run))

    return router
