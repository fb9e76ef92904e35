"""The worklist as a table: `/v1/worklist`. One page of it, filtered and sorted, and how many rows there are."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from labeling.adapters.access import EVERYBODY, OVERSEERS, member, oversees, reader_of
from labeling.adapters.api import Api
from labeling.adapters.views import holder
from labeling.domain.model import Case
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import FlagReason, Reading
from labeling.ports import Order, Worklist
from radloop.auth import Principal, pseudonym
from radloop.errors import Invalid
from radloop.http import authenticated

Who = Annotated[Principal, Depends(authenticated)]
_MOST = 500
_FARTHEST = 10_000_000

_Member = TypeVar("_Member", bound=StrEnum)


class Scope(StrEnum):
    """Whose tasks are listed."""

    MINE = "mine"
    """What I hold, answered, was returned to me, or may take."""
    TEAM = "team"
    """Everything in the project; not for readers."""
    ALL = "all"
    """Everything that I may see."""


class RowView(BaseModel):
    """A task in the table. Where the reading is blind, nothing tells why the case was flagged."""

    task_id: str
    case_id: str
    state: str
    reading: str
    round_number: int
    rank: int
    priority: int
    reasons: list[str]
    score: float | None
    created_at: datetime
    attempt: int
    returned: list[str]
    held_by: str
    blind: bool
    modality: str
    shape: list[int]
    """Voxels along (i, j, k); empty once the study was withdrawn."""
    draft_sequence: int
    reported_by_reader: bool


class WorklistView(BaseModel):
    """Part of the table, and how many rows it has."""

    total: int
    tasks: list[RowView]


def router(api: Api) -> APIRouter:
    """Return the endpoint of the worklist."""
    routes = APIRouter(prefix="/v1", tags=["tasks"])

    @routes.get("/worklist", response_model=WorklistView)
    def worklist(
        principal: Who,
        project_id: str,
        scope: Scope = Scope.MINE,
        state: Annotated[str, Query(description="States, separated by commas.")] = "",
        reason: Annotated[str, Query(description="Reasons, separated by commas: any of them.")] = "",
        reading: Annotated[str, Query(description="Readings, separated by commas.")] = "",
        search: Annotated[str, Query(max_length=100, description="Part of a case's or task's id.")] = "",
        sort: Order = Order.URGENCY,
        descending: bool = False,
        offset: Annotated[int, Query(ge=0, le=_FARTHEST)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    ) -> Response:
        """Return a part of the worklist. A reader lists what is theirs; who oversees the project may list all of it."""
        me = pseudonym(principal.subject)
        states, readings = _members(state, TaskState, "state"), _members(reading, Reading, "reading")
        reasons = _members(reason, FlagReason, "reason")
        with api.unit_of_work(read_only=True) as uow:
            person = member(principal, project_id, uow, *(OVERSEERS if scope is Scope.TEAM else EVERYBODY))
            everything = scope is not Scope.MINE and oversees(person, project_id)
            total, found = uow.worklist(
                Worklist(
                    project_id=project_id,
                    mine=None if everything else reader_of(person, project_id),
                    states=states,
                    readings=readings,
                    reasons=reasons,
                    search=search.replace("\0", ""),
                    order=sort,
                    descending=descending,
                    offset=offset,
                    limit=limit,
                )
            )
            cases = uow.cases.several([task.case_id for task in found])
            drafts = uow.drafts.last_of([task.task_id for task in found], me)
        now = api.clock.now()
        with api.unit_of_work() as uow:
            uow.audit(principal.subject, "tasks-listed", project_id)
            uow.commit()
        view = WorklistView(
            total=total,
            tasks=[_row(task, cases.get(task.case_id), me, now, drafts.get(task.task_id, 0)) for task in found],
        )
        # Written here: the framework would validate every row once more.
        return Response(view.model_dump_json(), media_type="application/json")

    return routes


def _row(task: Task, case: Case | None, me: str, now: datetime, draft_sequence: int) -> RowView:
    task.expire(now)  # as it stands now, whether or not the worker has come by; nothing is saved here
    reasons = task.shown_reasons(case) if case else ()
    return RowView(
        task_id=task.task_id,
        case_id=task.case_id,
        state=task.state,
        reading=task.reading,
        round_number=task.round_number,
        rank=task.rank,
        priority=task.priority,
        reasons=list(reasons),
        score=task.shown_score(case) if case else None,
        created_at=task.created_at,
        attempt=task.attempt,
        returned=list(task.returned),
        held_by=holder(task, me, now),
        blind=task.blind(case) if case else True,
        modality=case.modality if case else "",
        shape=list(case.shape) if case else [],
        draft_sequence=draft_sequence,
        reported_by_reader=FlagReason.REPORTED in reasons,
    )


def _members(text: str, of: type[_Member], name: str) -> tuple[_Member, ...]:
    """Return the members of a closed set that a list names."""
    try:
        return tuple(of(word) for word in dict.fromkeys(text.split(",")) if word)
    except ValueError as error:
        raise Invalid(
            f"{name}-unknown", expected=f"{name} of {', '.join(of)}, separated by commas", got="another word"
        ) from error
