"""The HTTP side of pulls, for the site's administrators: a dry run, a start, how far they are, pause, resume, cancel.

Nothing here names a patient or an original UID: what was asked for stays encrypted, studies have their pseudonymous keys.
"""

import uuid
from collections.abc import Callable
from datetime import tzinfo
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Response

from ingest.adapters.archives import ArchivesFile
from ingest.adapters.pull_planning import Planning
from ingest.adapters.query_file import order_from_fields, order_of, order_to_fields
from ingest.adapters.reception import Dispatch
from ingest.adapters.sql_pulls import PullListings
from ingest.adapters.vault import Vault
from ingest.domain.pull_messages import StartPull, StepPull
from ingest.domain.pulls import Entry, Fate, Pull, PullState, PullStep, next_allowed, standing
from ingest.ports import Clock
from ingest.ports.pulling import ArchiveConnection
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.errors import Invalid, NotFound
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=1000)]


def make_pulls_router(
    *,
    dispatch: Dispatch,
    unit_of_work: Callable[..., Any],
    archives: ArchivesFile,
    connect: Callable[..., ArchiveConnection],
    planning: Planning,
    listings: PullListings,
    vault: Vault,
    vault_version: Callable[[], int],
    clock: Clock,
    zone: tzinfo,
) -> APIRouter:
    """Return the endpoints of pulls, each bound to what it needs."""
    router = APIRouter(prefix="/v1")

    def administrator(principal: Asking) -> Principal:
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        return principal

    Administrator = Annotated[Principal, Depends(administrator)]

    def shown(pull: Pull, counts: dict[str, int]) -> dict[str, Any]:
        order = order_from_fields(vault.open_fields(pull.order))
        now = clock()
        going = pull.state in (PullState.PLANNED, PullState.RUNNING)
        at, why = next_allowed(pull, order.window, now, zone) if going else (0.0, "")
        return {
            "pull_id": pull.pull_id,
            "state": standing(pull, order.window, now, zone),
            "archive": pull.archive,
            "way": pull.way.value,
            "project_id": pull.project_id,
            "purpose": order.purpose,
            "created_by": pull.created_by,
            "created_at": pull.created_at,
            "ended_at": pull.ended_at,
            "listed": pull.listed,
            "counts": counts,
            "problem": pull.problem,
            "waits_for": why,
            "next_at": at if why else 0.0,
        }

    def found(pull_id: str) -> dict[str, Any]:
        for pull, counts in listings.pulls(pull_id):
            return shown(pull, counts)
        raise NotFound("pull-unknown", expected="the id of a pull", got="another", do="see radloop pull list")

    def stepped(pull_id: str, step: PullStep, principal: Principal) -> dict[str, Any]:
        dispatch(StepPull(pull_id, step, principal.subject))
        return found(pull_id)

    @router.get("/archives")
    def known_archives(principal: Administrator) -> dict[str, Any]:
        """The archives of the site by name, and how studies can be fetched from each."""
        return {
            "archives": [
                {"name": name, "ways": [way.value for way in archive.ways]}
                for name, archive in sorted(archives.all().items())
            ]
        }

    @router.post("/pulls")
    def start(
        principal: Administrator, response: Response, body: Annotated[Any, Body()], dry_run: bool = False
    ) -> dict[str, Any]:
        """Begin a pull by a query file; with `dry_run`, only ask the archive and count: nothing is fetched, nothing remembered."""
        order = order_of(body)
        archive = archives.get(order.archive, order.way)
        if dry_run:
            with unit_of_work() as uow:
                uow.audit(principal.subject, "pull-dry-run", order.archive)
                uow.commit()
            return planning.summary(order, planning.plan(order, connect(archive, order.way)))
        version = vault_version()
        pull = Pull(
            pull_id=str(uuid.uuid4()),
            state=PullState.PLANNED,
            archive=order.archive,
            way=order.way,
            project_id=order.project_id,
            created_by=principal.subject,
            created_at=clock(),
            order=vault.seal_fields(order_to_fields(order)),
            vault_version=version,
        )
        dispatch(StartPull(pull))
        response.status_code = 201
        return found(pull.pull_id)

    @router.get("/pulls")
    def all_pulls(principal: Administrator) -> dict[str, Any]:
        """All pulls, the newest first, and how far they are."""
        return {"pulls": [shown(pull, counts) for pull, counts in listings.pulls()]}

    @router.get("/pulls/{pull_id}")
    def one_pull(
        pull_id: str,
        principal: Administrator,
        fate: Annotated[str, Query(description="One fate of a study or several, separated by commas.")] = "",
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """One pull with a page of its studies, by their keys."""
        return found(pull_id) | {
            "entries": [_entry(entry) for entry in listings.entries(pull_id, _fates(fate), offset, limit)]
        }

    @router.post("/pulls/{pull_id}/pause")
    def pause(pull_id: str, principal: Administrator) -> dict[str, Any]:
        """Begin no further study; the one at hand is finished."""
        return stepped(pull_id, PullStep.PAUSE, principal)

    @router.post("/pulls/{pull_id}/resume")
    def resume(pull_id: str, principal: Administrator) -> dict[str, Any]:
        """Go on; of a pull that is done, try again what failed."""
        return stepped(pull_id, PullStep.RESUME, principal)

    @router.post("/pulls/{pull_id}/cancel")
    def cancel(pull_id: str, principal: Administrator) -> dict[str, Any]:
        """End it for good, within seconds; what came stays."""
        return stepped(pull_id, PullStep.CANCEL, principal)

    return router


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "study_key": entry.study_key,
        "fate": entry.fate.value,
        "modality": entry.modality,
        "prior": entry.prior,
        "instances_expected": entry.expected,
        "instances": entry.present,
        "refused": dict(entry.refused),
        "attempts": entry.attempts,
        "reason": entry.reason,
        "detail": entry.detail,
        "not_before": entry.not_before,
        "ended_at": entry.ended_at,
    }


def _fates(text: str) -> tuple[str, ...]:
    fates = tuple(part.strip() for part in text.split(",") if part.strip())
    known = [fate.value for fate in Fate]
    if any(fate not in known for fate in fates):
        raise Invalid("fate-unknown", expected=f"some of {', '.join(known)}", got="another")
    return fates
