"""Inbound over HTTP: rounds and their ledgers. Nothing can be changed here; readers are kept out, since a ledger names arms."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Query

from edge_miner.adapters.presentation import entry_as_json, estimate_as_json, pooled_estimate_as_json, round_as_json
from edge_miner.domain.model import EntryState, Project, Round, RoundKind, RoundState
from edge_miner.ports import UnitOfWork
from radloop.auth import Principal, Role
from radloop.errors import NotFound
from radloop.http import authenticated

_MAY_SEE_ARMS = (Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR)


def router(unit_of_work: Callable[..., UnitOfWork]) -> APIRouter:
    """Return the endpoints; ``unit_of_work(read_only=True)`` opens a query."""
    routes = APIRouter()

    @routes.get("/v1/rounds")
    def rounds(
        project_id: str,
        kind: RoundKind | None = None,
        principal: Principal = Depends(authenticated),
    ) -> dict[str, Any]:
        """List a project's rounds in the order they were opened, with mined against control over all of them."""
        with unit_of_work(read_only=True) as uow:
            _require(principal, _project(project_id, uow))
            found = [each for each in uow.rounds.of_project(project_id) if kind in (None, each.kind)]
            shown = [round_as_json(each, uow.ledger.counts(each.round_id)) for each in found]
            flagged = [each for each in found if _has_arms(each)]
            ledgers = [uow.ledger.flagged(each.round_id) for each in flagged]
        estimate = pooled_estimate_as_json(ledgers, seed=flagged[0].seed) if flagged else None
        return {"rounds": shown, "mined_minus_control": estimate}

    @routes.get("/v1/rounds/{round_id}")
    def ledger(
        round_id: str,
        flagged_only: bool = False,
        limit: int | None = Query(default=None, ge=1),
        after: int = Query(default=0, ge=0),
        principal: Principal = Depends(authenticated),
    ) -> dict[str, Any]:
        """Show a round's ledger: flagged cases by rank, then the rest of the pool by its rank.

        `limit` and `after` page through it (lines); without them the whole ledger is answered.
        """
        with unit_of_work(read_only=True) as uow:
            each = uow.rounds.get(round_id)
            if each is None:
                raise NotFound("round-unknown", expected="the id of a round", do="see GET /v1/rounds?project_id=")
            _require(principal, _project(each.project_id, uow))
            flagged = uow.ledger.flagged(round_id)
            entries = flagged if flagged_only else uow.ledger.entries(round_id)
            counts = uow.ledger.counts(round_id)
        page = entries[after : after + limit if limit else None]
        return {
            **round_as_json(each, counts),
            "estimate": estimate_as_json(each, flagged),
            "ledger": [entry_as_json(entry) for entry in page],
            "next": after + len(page) if after + len(page) < len(entries) else None,
        }

    @routes.get("/v1/status")
    def status(principal: Principal = Depends(authenticated)) -> dict[str, Any]:
        """Count the pool and what the open round still waits for, for each project the caller has a role in."""
        with unit_of_work(read_only=True) as uow:
            visible = [
                project for project in uow.projects.all() if _as_member(principal, project).roles_in(project.project_id)
            ]
            return {"projects": {project.project_id: _status(project, uow) for project in visible}}

    return routes


def _status(project: Project, uow: UnitOfWork) -> dict[str, Any]:
    each = uow.rounds.collecting(project.project_id)
    counts = uow.ledger.counts(each.round_id) if each else {}
    return {
        "eligible": uow.cases.eligible_count(project.project_id),
        "rounds_flagged": uow.rounds.last_number(project.project_id),
        "max_rounds": project.selection.max_rounds,
        "open_round": {
            "round_id": each.round_id,
            "round_number": each.round_number,
            "state": str(each.state),
            "sample_size": each.sample_size,
            "waiting": sum(counts.get(state, 0) for state in (EntryState.TO_ASK, EntryState.WAITING)),
            "to_examine": counts.get(EntryState.TO_EXAMINE, 0),
        }
        if each
        else None,
    }


def _has_arms(each: Round) -> bool:
    return each.kind is RoundKind.MODEL and each.state in (RoundState.FLAGGED, RoundState.SUPERSEDED)


def _project(project_id: str, uow: UnitOfWork) -> Project:
    project = uow.projects.get(project_id)
    if project is None:
        raise NotFound("project-unknown", expected="the id of a configured project", do="see control-plane's projects")
    return project


def _as_member(principal: Principal, project: Project) -> Principal:
    return principal.with_members(project.project_id, project.members)


def _require(principal: Principal, project: Project) -> None:
    _as_member(principal, project).require(project.project_id, *_MAY_SEE_ARMS)
