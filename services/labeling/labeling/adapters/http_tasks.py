"""Tasks and their leases: `/v1/tasks`. What a reader looks at stands in `http_images`."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from labeling.adapters.access import EVERYBODY, READERS, check_task_visible, member, oversees, reader_of
from labeling.adapters.api import Api
from labeling.adapters.views import TaskPage, TaskView, cursor, place, task_view, task_views
from labeling.domain.messages import ReleaseLease, RenewLease, SkipTask, TakeNext, TakeTask
from labeling.domain.states import TaskState
from labeling.domain.vocabulary import SkipReason
from labeling.ports import Filter, task_of
from radloop.auth import Principal, pseudonym
from radloop.errors import NotFound
from radloop.http import authenticated

Who = Annotated[Principal, Depends(authenticated)]


class NextRequest(BaseModel):
    """Where you want work."""

    project_id: str


class LeaseRequest(BaseModel):
    """The lease you hold."""

    lease_id: str


class SkipRequest(BaseModel):
    """Why you give the task up. The note stays at the site, in this service's own store."""

    lease_id: str
    reason: SkipReason
    note: str = Field(default="", max_length=4000)


class TaskStateView(BaseModel):
    """Where a task stands now."""

    task_id: str
    state: str


def router(api: Api) -> APIRouter:
    """Return the endpoints of tasks and their leases."""
    routes = APIRouter(prefix="/v1/tasks", tags=["tasks"])

    @routes.get("")
    def list_tasks(
        principal: Who,
        project_id: str,
        state: TaskState | None = None,
        reader: Annotated[str, Query(pattern="^(me)?$", description="me: only tasks you hold or answered")] = "",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: Annotated[str, Query(description="next of the page before")] = "",
    ) -> TaskPage:
        """List tasks, most urgent first. A reader sees what they hold, answered or may take; others see everything."""
        me = pseudonym(principal.subject)
        with api.unit_of_work(read_only=True) as uow:
            person = member(principal, project_id, uow, *EVERYBODY)
            wanted = Filter(
                project_id=project_id,
                state=state,
                reader=me if reader else "",
                visible_to=None if oversees(person, project_id) else reader_of(person, project_id),
            )
            found = uow.tasks.page(wanted, place(after) if after else None, limit + 1)
            more = cursor(found[limit - 1].place) if len(found) > limit else None
            views = task_views(found[:limit], me, api.clock.now(), uow)
        # A turn to write is short: what is listed was read before, and nobody sees it before the look is on record.
        with api.unit_of_work() as uow:
            uow.audit(principal.subject, "tasks-listed", project_id)
            uow.commit()
        return TaskPage(tasks=views, next=more)

    @routes.post("/next", responses={204: {"description": "There is nothing for you to do."}}, response_model=TaskView)
    def take_next(principal: Who, wanted: NextRequest) -> Response:
        """Lease the most urgent task: the one you hold, else returned to you, else adjudication, else by round and rank."""
        with api.unit_of_work(read_only=True) as uow:
            person = member(principal, wanted.project_id, uow, *READERS)
        reader = reader_of(person, wanted.project_id)
        api.dispatcher.dispatch(TakeNext(str(uuid.uuid4()), wanted.project_id, reader))
        with api.unit_of_work(read_only=True) as uow:
            now = api.clock.now()
            task = uow.tasks.held_in(wanted.project_id, reader.pseudonym, now)
            if task is None:
                return Response(status_code=204)
            body = task_view(task, reader.pseudonym, now, uow).model_dump_json()
        return Response(body, media_type="application/json")

    @routes.get("/{task_id}")
    def get_task(principal: Who, task_id: str) -> TaskView:
        """Show a task."""
        with api.unit_of_work() as uow:
            task = uow.tasks.get(task_id)
            if task is None:
                raise NotFound(
                    "task-unknown", expected="the id of a task", got="another id", do="GET /v1/tasks lists them"
                )
            person = member(principal, task.project_id, uow, *EVERYBODY)
            check_task_visible(task, person, uow)
            view = task_view(task, pseudonym(principal.subject), api.clock.now(), uow)
            uow.audit(principal.subject, "task-viewed", task_id)
            uow.commit()
        return view

    @routes.post("/{task_id}/lease")
    def take_task(principal: Who, task_id: str) -> TaskView:
        """Lease this task; if you hold it, your lease is renewed."""
        reader = api.acting(task_id, principal, *READERS)
        return _after(TakeTask(str(uuid.uuid4()), task_id, reader), task_id, principal)

    @routes.put("/{task_id}/lease")
    def renew_lease(principal: Who, task_id: str, held: LeaseRequest) -> TaskView:
        """Go on working: the lease lasts for the project's time from now. 409 when it has ended."""
        reader = api.acting(task_id, principal, *READERS)
        return _after(RenewLease(held.lease_id, task_id, reader), task_id, principal)

    @routes.delete("/{task_id}/lease", status_code=204)
    def release_lease(principal: Who, task_id: str, lease_id: str) -> None:
        """Put the task back for others; your draft stays."""
        reader = api.acting(task_id, principal, *READERS)
        api.dispatcher.dispatch(ReleaseLease(lease_id, task_id, reader))

    @routes.post("/{task_id}/skip")
    def skip_task(principal: Who, task_id: str, skipped: SkipRequest) -> TaskStateView:
        """Give a task up. You are not offered it again; when the reason lies with the case, nobody is."""
        reader = api.acting(task_id, principal, *READERS)
        api.dispatcher.dispatch(SkipTask(skipped.lease_id, task_id, reader, skipped.reason, skipped.note))
        with api.unit_of_work(read_only=True) as uow:
            return TaskStateView(task_id=task_id, state=task_of(task_id, uow).state)

    def _after(command: TakeTask | RenewLease, task_id: str, principal: Principal) -> TaskView:
        api.dispatcher.dispatch(command)
        with api.unit_of_work(read_only=True) as uow:
            return task_view(task_of(task_id, uow), pseudonym(principal.subject), api.clock.now(), uow)

    return routes
