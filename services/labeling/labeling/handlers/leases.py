"""Taking tasks and giving them back. A lease is what keeps two readers from overwriting one another."""

from datetime import datetime, timedelta

from labeling.domain.messages import ExpireLeases, Reader, ReleaseLease, RenewLease, SkipTask, TakeNext, TakeTask
from labeling.domain.model import Action, HistoryEntry, Project
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.ports import Clock, UnitOfWork, project_of, task_of
from radloop.errors import Forbidden
from radloop.messages import Message

_EXPIRED_AT_ONCE = 100

_CLOCKS_APART = timedelta(minutes=2)
"""So far apart the clocks of two replicas may be."""


def take_next(command: TakeNext, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Lease the most urgent task: the one the reader holds, else returned to them, else adjudication, else by round and rank."""
    project = project_of(command.project_id, uow)
    now, reader = clock.now(), command.reader
    _shorten_leases(project, uow, now)
    expire_leases(ExpireLeases(), uow, clock)  # else what just ran out would not be offered before the worker comes by
    task = (
        uow.tasks.held_in(project.project_id, reader.pseudonym, now)
        or uow.tasks.returned_to(project.project_id, reader)
        or uow.tasks.takeable(project.project_id, reader)
    )
    if task is not None:
        _take(task, command.lease_id, reader, project, uow, clock)
    return []


def take_task(command: TakeTask, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Lease this task.

    Raises
    ------
    NotFound, Conflict, Forbidden
        Unknown; held, closed or waiting for somebody else; not this reader's to read.
    """
    task = task_of(command.task_id, uow)
    me, now = command.reader.pseudonym, clock.now()
    if not task.held_by(me, now):
        elsewhere = any(t.task_id != task.task_id and t.held_by(me, now) for t in uow.tasks.of_case(task.case_id))
        if elsewhere or uow.labels.read_elsewhere(task.case_id, me, task.task_id):
            raise Forbidden(
                "reader-excluded",
                expected="a reader who has not read this case",
                got="you, who have another reading of it",
                do="take another: POST /v1/tasks/next",
            )
    _take(task, command.lease_id, command.reader, project_of(task.project_id, uow), uow, clock)
    return []


def renew_lease(command: RenewLease, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Let the lease last for the project's time from now."""
    task = task_of(command.task_id, uow)
    lease_s = project_of(task.project_id, uow).lease_s
    task.renew(command.lease_id, command.reader.pseudonym, clock.now(), lease_s)
    uow.tasks.save(task)
    return []


def release_lease(command: ReleaseLease, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Put the task back; the draft stays. Released already: nothing changes."""
    task = task_of(command.task_id, uow)
    if task.lease_id == command.lease_id and task.state in (TaskState.OPEN, TaskState.RETURNED):
        return []
    task.release(command.lease_id, command.reader.pseudonym, clock.now())
    uow.tasks.save(task)
    uow.audit(command.reader.subject, "task-released", task.task_id)
    _tell(task, Action.RELEASED, uow, clock, reader=command.reader.pseudonym)
    return []


def skip_task(command: SkipTask, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Give a task up with a reason; this reader is not offered it again. Skipped by this lease already: nothing changes."""
    task = task_of(command.task_id, uow)
    me = command.reader.pseudonym
    given_up = task.state in (TaskState.OPEN, TaskState.SKIPPED) and me in task.excluded_readers
    if task.lease_id == command.lease_id and given_up:
        return []
    task.skip(command.lease_id, me, clock.now(), command.reason)
    uow.tasks.save(task)
    uow.audit(command.reader.subject, "task-skipped", task.task_id)
    _tell(task, Action.SKIPPED, uow, clock, reader=me, detail=command.reason, note=command.note)
    return []


def expire_leases(command: ExpireLeases, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Give tasks back whose lease has run out."""
    del command
    for task in uow.tasks.expired(clock.now(), _EXPIRED_AT_ONCE):
        holder = task.reader
        if task.expire(clock.now()):
            uow.tasks.save(task)
            _tell(task, Action.EXPIRED, uow, clock, reader=holder)
    return []


def _shorten_leases(project: Project, uow: UnitOfWork, now: datetime) -> None:
    """Let no lease last longer than one taken now: the clock was set back, and its holder may have left long ago."""
    for task in uow.tasks.leased_beyond(project.project_id, now + timedelta(seconds=project.lease_s) + _CLOCKS_APART):
        task.lease_expires_at = now + timedelta(seconds=project.lease_s)
        uow.tasks.save(task)


def _take(task: Task, lease_id: str, reader: Reader, project: Project, uow: UnitOfWork, clock: Clock) -> None:
    now = clock.now()
    renewed = task.held_by(reader.pseudonym, now)
    task.take(lease_id, reader, now, project.lease_s)
    uow.tasks.save(task)
    if not renewed:
        uow.audit(reader.subject, "task-taken", task.task_id)
        _tell(task, Action.TAKEN, uow, clock, reader=reader.pseudonym)


def _tell(
    task: Task, action: Action, uow: UnitOfWork, clock: Clock, *, reader: str, detail: str = "", note: str = ""
) -> None:
    uow.history.add(
        HistoryEntry(
            case_id=task.case_id,
            at=clock.now(),
            action=action,
            reader=reader,
            task_id=task.task_id,
            detail=detail,
            note=note,
        )
    )
