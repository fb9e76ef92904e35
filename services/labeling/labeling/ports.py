"""What labeling needs: repositories inside a unit of work, a clock. `adapters.sql` and the tests' fakes answer to these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from labeling.domain.messages import Reader
from labeling.domain.model import (
    Approval,
    Case,
    DraftEntry,
    HistoryEntry,
    LabelVersion,
    Prediction,
    Project,
    Report,
    Return,
)
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import FlagReason, Reading
from radloop import uow as radloop_uow
from radloop.errors import Conflict, NotFound


class Clock(Protocol):
    """Tells the time; leases are measured by it."""

    def now(self) -> datetime:
        """Return the time, with its zone."""
        ...


class Projects(Protocol):
    """Projects in their newest version."""

    def get(self, project_id: str) -> Project | None:
        """Return the project, or None."""
        ...

    def all(self) -> Sequence[Project]:
        """Return all projects, in order of id."""
        ...

    def put(self, project: Project) -> None:
        """Keep this version in place of the former."""
        ...

    def keep_instructions(self, project_id: str, version: int, instructions: str) -> None:
        """Keep how a version of a project is to be read; a repeat changes nothing."""
        ...

    def instructions(self, project_id: str, version: int) -> str | None:
        """Return how a version of a project is to be read; None where that version was never heard of."""
        ...

    def newest_round(self, project_id: str) -> int:
        """Return the highest round number heard of; 0 for none."""
        ...

    def round_heard(self, project_id: str, round_number: int) -> None:
        """Remember a round number, if it is the highest."""
        ...


class Studies(Protocol):
    """Which studies are to be forgotten, and what still has to be deleted for that."""

    def withdrawn(self, study_key: str) -> bool:
        """Whether the study was withdrawn."""
        ...

    def withdraw(self, study_key: str) -> None:
        """Remember that for ever, and delete the study's rows: cases, predictions, labels, drafts, notes, history."""
        ...

    def to_purge(self) -> str | None:
        """Return a withdrawn study whose objects may still be there."""
        ...

    def purged(self, study_key: str) -> None:
        """Remember that its objects are gone."""
        ...


class Cases(Protocol):
    """Cases by id. A case never changes, but that a repeat adds the series to one that was kept without."""

    def get(self, case_id: str) -> Case | None:
        """Return the case, or None."""
        ...

    def several(self, case_ids: Sequence[str]) -> Mapping[str, Case]:
        """Return those that are known, by id."""
        ...

    def add(self, case: Case) -> None:
        """Keep a case; one that is known is left as it is, unless its series is still unknown."""
        ...

    def phases(self, project_id: str, series_keys: Sequence[str]) -> Mapping[str, Sequence[tuple[int, str]]]:
        """Return the project's cases of each series as (phase, case id), in order of phase."""
        ...


class Predictions(Protocol):
    """Predictions by id. A prediction never changes."""

    def get(self, prediction_id: str) -> Prediction | None:
        """Return the prediction, or None."""
        ...

    def several(self, prediction_ids: Sequence[str]) -> Mapping[str, Prediction]:
        """Return those that are known, by id."""
        ...

    def add(self, prediction: Prediction) -> None:
        """Keep a prediction; one that is known is left as it is."""
        ...

    def newest_of_case(self, case_id: str) -> Prediction | None:
        """Return the prediction of the case that was heard of last, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks a worklist shows.

    Attributes
    ----------
    project_id : str
    state : TaskState, optional
    reader : str
        Pseudonym; only tasks this reader holds or answered. Empty for all.
    visible_to : Reader, optional
        Only tasks this reader holds, answered or may take; None for everything.
    """

    project_id: str
    state: TaskState | None = None
    reader: str = ""
    visible_to: Reader | None = None


class Order(StrEnum):
    """What a worklist is sorted by; equals stand in the order of urgency."""

    URGENCY = "urgency"
    """Most urgent first: priority, round, rank."""
    AGE = "age"
    """Youngest first."""
    SCORE = "score"
    """Lowest first; what has none, or must not be seen, comes last either way."""
    STATE = "state"
    """From what waits for somebody to what is closed."""
    ROUND = "round"
    CASE = "case"


@dataclass(frozen=True, slots=True)
class Worklist:
    """Which part of a project's tasks a table shows. Empty tuples and texts let everything through.

    Attributes
    ----------
    project_id : str
    mine : Reader, optional
        Only what this reader holds, answered, was returned to them or may take; None for everything.
    states, readings : tuple
    reasons : tuple of FlagReason
        Any of them; a blind task has none that is shown, and so never matches.
    search : str
        Part of a case's or task's id.
    order : Order
    descending : bool
    offset, limit : int
    """

    project_id: str
    mine: Reader | None = None
    states: tuple[TaskState, ...] = ()
    readings: tuple[Reading, ...] = ()
    reasons: tuple[FlagReason, ...] = ()
    search: str = ""
    order: Order = Order.URGENCY
    descending: bool = False
    offset: int = 0
    limit: int = 100


Place = tuple[int, int, int, str]
"""Where a task stands in the order of urgency: (priority, round number, rank, task id)."""


class Tasks(Protocol):
    """Tasks."""

    def get(self, task_id: str) -> Task | None:
        """Return the task, or None; locked until the transaction ends."""
        ...

    def add(self, task: Task) -> None:
        """Keep a new task."""
        ...

    def save(self, task: Task) -> None:
        """Keep what has changed.

        Raises
        ------
        Busy
            When another transaction changed it since it was read.
        """
        ...

    def of_case(self, case_id: str) -> Sequence[Task]:
        """Return all tasks of a case."""
        ...

    def of_study(self, study_key: str) -> Sequence[Task]:
        """Return all tasks of a study."""
        ...

    def held_in(self, project_id: str, reader: str, now: datetime) -> Task | None:
        """Return a task of the project the reader holds an unexpired lease on."""
        ...

    def returned_to(self, project_id: str, reader: Reader) -> Task | None:
        """Return the most urgent task that waits for the reader, of those they have the role for."""
        ...

    def takeable(self, project_id: str, reader: Reader) -> Task | None:
        """Return the most urgent open task the reader may take: by role, exclusion, and readings of the same case."""
        ...

    def outdated(self, project_id: str, before_round: int) -> Sequence[Task]:
        """Return open first readings of older rounds, those that readers reported excepted, that have no draft."""
        ...

    def expired(self, now: datetime, limit: int) -> Sequence[Task]:
        """Return tasks whose lease has run out."""
        ...

    def leased_beyond(self, project_id: str, time: datetime) -> Sequence[Task]:
        """Return the project's tasks whose lease lasts longer than until ``time``."""
        ...

    def page(self, wanted: Filter, after: Place | None, limit: int) -> Sequence[Task]:
        """Return the tasks after a place, most urgent first."""
        ...

    def count(self, project_id: str) -> dict[TaskState, int]:
        """Return the number of tasks by state; of all projects when the id is empty."""
        ...


class Labels(Protocol):
    """Label versions. They are made once and never changed. What was only saved is no answer, and counts where it is named."""

    def get(self, label_version_id: str) -> LabelVersion | None:
        """Return the label version, or None."""
        ...

    def add(self, label: LabelVersion) -> None:
        """Keep a label version."""
        ...

    def newest_of_task(self, task_id: str) -> LabelVersion | None:
        """Return the label version that answered the last attempt, or None."""
        ...

    def versions_of_task(self, task_id: str) -> Sequence[LabelVersion]:
        """Return the label versions of a task, those that were only saved among them, oldest first."""
        ...

    def of_case(self, case_id: str) -> Sequence[LabelVersion]:
        """Return the answers to a case, oldest first."""
        ...

    def read_elsewhere(self, case_id: str, reader: str, task_id: str) -> bool:
        """Whether the reader answered another task of the case."""
        ...


class Drafts(Protocol):
    """Journals: one for each task and reader."""

    def last(self, task_id: str, reader: str) -> int:
        """Return the sequence number of the last entry; 0 for an empty journal."""
        ...

    def last_of(self, task_ids: Sequence[str], reader: str) -> Mapping[str, int]:
        """Return it for each of the tasks whose journal is not empty."""
        ...

    def entries(self, task_id: str, reader: str, after: int, limit: int) -> Sequence[DraftEntry]:
        """Return entries in order."""
        ...

    def append(self, task_id: str, reader: str, entries: Sequence[DraftEntry]) -> None:
        """Append entries; their sequence numbers follow the last."""
        ...

    def any(self, task_id: str) -> bool:
        """Whether any reader has written a draft of the task."""
        ...


class Verdicts(Protocol):
    """What QA has said."""

    def approvals(self, case_id: str) -> Sequence[Approval]:
        """Return the approvals of a case."""
        ...

    def approve(self, approval: Approval) -> None:
        """Keep an approval; a repeat changes nothing."""
        ...

    def returned(self, review_id: str, label_version_id: str) -> bool:
        """Whether this return was heard before."""
        ...

    def return_(self, returned: Return) -> None:
        """Keep a return."""
        ...


class Reports(Protocol):
    """Cases that readers reported, with their notes."""

    def get(self, report_id: str) -> Report | None:
        """Return the report, or None."""
        ...

    def add(self, report: Report) -> None:
        """Keep a report."""
        ...


class Uploads(Protocol):
    """Objects announced and not yet referred to."""

    def begin(self, key: str, study_key: str, at: datetime) -> None:
        """Announce an object; a repeat moves the time."""
        ...

    def end(self, key: str) -> bool:
        """Forget the announcement; return whether there was one."""
        ...

    def abandoned(self, before: datetime) -> str | None:
        """Return the key of an object announced before a time and never referred to."""
        ...


class History(Protocol):
    """What happened to cases."""

    def add(self, entry: HistoryEntry) -> None:
        """Append an entry."""
        ...

    def of_case(self, case_id: str) -> Sequence[HistoryEntry]:
        """Return what happened, oldest first."""
        ...


class UnitOfWork(radloop_uow.UnitOfWork, Protocol):
    """One transaction over all of it."""

    projects: Projects
    studies: Studies
    cases: Cases
    predictions: Predictions
    tasks: Tasks
    labels: Labels
    drafts: Drafts
    verdicts: Verdicts
    reports: Reports
    uploads: Uploads
    history: History

    def worklist(self, wanted: Worklist) -> tuple[int, Sequence[Task]]:
        """Return how many tasks there are, and those of the part that is shown, without who is excluded from them."""
        ...


def task_of(task_id: str, uow: UnitOfWork) -> Task:
    """Return a task.

    Raises
    ------
    NotFound
        ``task-unknown``.
    Conflict
        ``study-withdrawn``.
    """
    task = uow.tasks.get(task_id)
    if task is None:
        raise NotFound("task-unknown", expected="the id of a task", got="another id", do="list them: GET /v1/tasks")
    if uow.studies.withdrawn(task.study_key):
        raise Conflict(
            "study-withdrawn",
            expected="a study that is still there",
            got="one that was withdrawn; its labels and drafts are deleted",
            do="take another: POST /v1/tasks/next",
        )
    return task


def project_of(project_id: str, uow: UnitOfWork) -> Project:
    """Return a project, or raise `NotFound` (``project-unknown``)."""
    project = uow.projects.get(project_id)
    if project is None:
        raise NotFound(
            "project-unknown",
            expected="a project this site has heard of",
            got="another id",
            do="set it up in the control plane, and wait until it is announced",
        )
    return project


def case_of(case_id: str, uow: UnitOfWork) -> Case:
    """Return a case, or raise `NotFound` (``case-unknown``)."""
    case = uow.cases.get(case_id)
    if case is None:
        raise NotFound(
            "case-unknown",
            expected="a case this service has heard of",
            got="another id, or the id of a withdrawn one",
            do="wait until its study is announced (GET /v1/studies of ingest), then try again",
        )
    return case
