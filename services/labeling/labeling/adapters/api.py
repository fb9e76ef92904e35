"""What every endpoint is given: how to change things, how to read them, where the bytes are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labeling.adapters.access import OVERSEERS, check_not_reading, check_task_visible, member, reader_of
from labeling.domain.messages import Reader
from labeling.domain.model import Case
from labeling.domain.task import Task
from labeling.ports import Clock, case_of, task_of
from radloop.auth import Principal, Role
from radloop.dispatch import Dispatcher
from radloop.objects import Objects


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest uploads, in bytes."""

    upload: int
    draft_entry: int
    draft_request: int


@dataclass(frozen=True, slots=True)
class Api:
    """The parts `app.py` plugs in.

    Attributes
    ----------
    dispatcher : Dispatcher
        For commands.
    unit_of_work : callable
        For queries: ``unit_of_work()``, or ``unit_of_work(read_only=True)`` where nothing is audited.
    objects : Objects
    clock : Clock
    limits : Limits
    """

    dispatcher: Dispatcher
    unit_of_work: Callable[..., Any]
    objects: Objects
    clock: Clock
    limits: Limits

    def viewed(self, task_id: str, principal: Principal, action: str, *roles: Role) -> tuple[Task, Case]:
        """Return a task and its case for somebody who may look at them, and audit the look.

        Raises
        ------
        NotFound, Conflict, Forbidden
            Unknown; withdrawn; not theirs to see.
        """
        with self.unit_of_work() as uow:
            task = task_of(task_id, uow)
            person = member(principal, task.project_id, uow, *roles)
            check_task_visible(task, person, uow)
            case = case_of(task.case_id, uow)
            uow.audit(principal.subject, action, task.task_id)
            uow.commit()
        return task, case

    def overseen(self, case_id: str, principal: Principal, action: str) -> Case:
        """Return a case for somebody who oversees its project and is not reading it blind, and audit the look.

        Raises
        ------
        NotFound, Forbidden
            Unknown or withdrawn; not theirs to see.
        """
        with self.unit_of_work() as uow:
            case = case_of(case_id, uow)
            person = member(principal, case.project_id, uow, *OVERSEERS)
            check_not_reading(case, person, uow, self.clock.now())
            uow.audit(principal.subject, action, case_id)
            uow.commit()
        return case

    def acting(self, task_id: str, principal: Principal, *roles: Role) -> Reader:
        """Return who acts on a task, with the project's membership counted in.

        Raises
        ------
        NotFound, Conflict, Forbidden
            Unknown; withdrawn; none of the roles.
        """
        with self.unit_of_work(read_only=True) as uow:
            project_id = task_of(task_id, uow).project_id
            return reader_of(member(principal, project_id, uow, *roles), project_id)
