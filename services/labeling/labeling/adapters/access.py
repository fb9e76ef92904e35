"""Who may do what, and see what. Roles come from the token and from the project's own members."""

from datetime import datetime

from labeling.domain.messages import Reader
from labeling.domain.model import Case, LabelVersion, Project
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import Reading
from labeling.ports import UnitOfWork, project_of
from radloop.auth import Principal, Role, pseudonym
from radloop.errors import Conflict, Forbidden

READERS = (Role.READER, Role.REVIEWER)
IMPORTERS = (Role.PROJECT_LEAD, Role.SITE_ADMIN)
OVERSEERS = (Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR)
"""Who sees tasks and labels of others. A reader does not: readers are blind to one another."""
EVERYBODY = tuple(Role)


def member(principal: Principal, project_id: str, uow: UnitOfWork, *any_of: Role) -> Principal:
    """Return the principal with what the project's membership adds, holding one of the roles in the project.

    Raises
    ------
    NotFound, Forbidden
        No such project; none of the roles.
    """
    project: Project | None = uow.projects.get(project_id)
    if project is not None:
        principal = principal.with_members(project_id, project.members)
    principal.require(project_id, *any_of)
    project_of(project_id, uow)
    return principal


def reader_of(principal: Principal, project_id: str) -> Reader:
    """Return who acts, and which readings are theirs to do in the project."""
    roles = principal.roles_in(project_id)
    return Reader(
        pseudonym=pseudonym(principal.subject),
        subject=principal.subject,
        may_read=Role.READER in roles,
        may_adjudicate=Role.REVIEWER in roles,
    )


def oversees(principal: Principal, project_id: str) -> bool:
    """Whether the principal sees tasks and labels of others in the project."""
    return bool(principal.roles_in(project_id) & set(OVERSEERS))


def reads_blind(case_id: str, reader: str, uow: UnitOfWork, now: datetime) -> bool:
    """Whether the person is at this moment reading the case, and so must not see what others made of it."""
    return any(t.held_by(reader, now) and t.reading is not Reading.ADJUDICATION for t in uow.tasks.of_case(case_id))


def check_task_visible(task: Task, principal: Principal, uow: UnitOfWork) -> None:
    """Raise unless this person may look at the task: an overseer, its reader, or a reader who could take it.

    Raises
    ------
    Forbidden
        ``task-not-yours``.
    """
    reader = reader_of(principal, task.project_id)
    if oversees(principal, task.project_id) or task.reader == reader.pseudonym or _could_take(task, reader, uow):
        return
    raise Forbidden(
        "task-not-yours",
        expected="a task you hold, answered or may take",
        got="another",
        do="ask for one: POST /v1/tasks/next",
    )


def check_not_reading(case: Case, principal: Principal, uow: UnitOfWork, now: datetime) -> None:
    """Raise `Forbidden` (``blind``) when this person is reading the case just now."""
    if reads_blind(case.case_id, pseudonym(principal.subject), uow, now):
        raise Forbidden(
            "blind",
            expected="a case you are not reading",
            got="one you hold a reading of",
            do="finish your own reading first",
        )


def check_label_visible(label: LabelVersion, principal: Principal, uow: UnitOfWork, now: datetime) -> None:
    """Raise unless this person may look at the label: its reader, or an overseer who is not reading the case just now.

    Raises
    ------
    Forbidden
        ``blind``.
    """
    me = pseudonym(principal.subject)
    if label.reader == me:
        return
    if oversees(principal, label.project_id) and not reads_blind(label.case_id, me, uow, now):
        return
    raise Forbidden(
        "blind",
        expected="a label of your own",
        got="another reader's",
        do="readers are blind to one another; ask a reviewer",
    )


def _could_take(task: Task, reader: Reader, uow: UnitOfWork) -> bool:
    if task.state not in (TaskState.OPEN, TaskState.SKIPPED):
        return False
    try:
        task.check_takeable(reader)
    except (Conflict, Forbidden):
        return False
    return not uow.labels.read_elsewhere(task.case_id, reader.pseudonym, task.task_id)
