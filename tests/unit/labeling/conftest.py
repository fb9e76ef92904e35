"""A labeling service in memory: fakes for every port, a clock that stands still, and one of each event."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest

from labeling.domain.messages import (
    BeginUpload,
    CodedTerm,
    EdgeCaseFlagged,
    IngestedCase,
    LabelApproved,
    LabelReturned,
    Member,
    PredictionMade,
    ProjectConfigured,
    Reader,
    ReadingPolicy,
    ReadingRequested,
    Segment,
    StudyIngested,
    StudyWithdrawn,
    SubmitLabel,
    TakeNext,
    TakeTask,
)
from labeling.domain.model import identity
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import FlagReason, MemberRole, Reading, ReturnReason, WithdrawReason
from labeling.handlers import HANDLERS
from radloop.errors import NotYet
from radloop.messages import Message
from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus, Split
from radloop.testing import FakeUnitOfWork

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class FakeClock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class FakeProjects:
    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.rounds: dict[str, int] = {}
        self.texts: dict[tuple[str, int], str] = {}

    def get(self, project_id: str) -> Any:
        return self.rows.get(project_id)

    def all(self) -> list[Any]:
        return [self.rows[project_id] for project_id in sorted(self.rows)]

    def put(self, project: Any) -> None:
        self.rows[project.project_id] = project

    def keep_instructions(self, project_id: str, version: int, instructions: str) -> None:
        self.texts.setdefault((project_id, version), instructions)

    def instructions(self, project_id: str, version: int) -> str | None:
        return self.texts.get((project_id, version))

    def newest_round(self, project_id: str) -> int:
        return self.rounds.get(project_id, 0)

    def round_heard(self, project_id: str, round_number: int) -> None:
        self.rounds[project_id] = max(round_number, self.newest_round(project_id))


class FakeStudies:
    def __init__(self, uow: "FakeLabelingUnitOfWork") -> None:
        self.uow, self.tombstones = uow, {}  # type: ignore[var-annotated]

    def withdrawn(self, study_key: str) -> bool:
        return study_key in self.tombstones

    def withdraw(self, study_key: str) -> None:
        self.tombstones[study_key] = False
        for repository in (self.uow.cases, self.uow.predictions, self.uow.labels, self.uow.reports):
            repository.rows = {k: v for k, v in repository.rows.items() if v.study_key != study_key}
        mine = {t.task_id for t in self.uow.tasks.of_study(study_key)}
        self.uow.drafts.rows = {k: v for k, v in self.uow.drafts.rows.items() if k[0] not in mine}

    def to_purge(self) -> str | None:
        return next((key for key, purged in self.tombstones.items() if not purged), None)

    def purged(self, study_key: str) -> None:
        self.tombstones[study_key] = True


class FakeById:
    """Rows by their id; the first stays."""

    def __init__(self, id_field: str) -> None:
        self.id_field, self.rows = id_field, {}  # type: ignore[var-annotated]

    def get(self, row_id: str) -> Any:
        return self.rows.get(row_id)

    def several(self, row_ids: Sequence[str]) -> dict[str, Any]:
        return {row_id: row for row_id in row_ids if (row := self.get(row_id)) is not None}

    def add(self, row: Any) -> None:
        self.rows.setdefault(getattr(row, self.id_field), row)


class FakeCases(FakeById):
    def __init__(self) -> None:
        super().__init__("case_id")

    def add(self, row: Any) -> None:
        known = self.rows.setdefault(row.case_id, row)
        if row.series_key and not known.series_key:
            self.rows[row.case_id] = row

    def phases(self, project_id: str, series_keys: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
        found: dict[str, list[tuple[int, str]]] = {}
        for case in sorted(self.rows.values(), key=lambda case: case.phase):
            if case.project_id == project_id and case.series_key in series_keys:
                found.setdefault(case.series_key, []).append((case.phase, case.case_id))
        return found


class FakePredictions(FakeById):
    def __init__(self) -> None:
        super().__init__("prediction_id")

    def newest_of_case(self, case_id: str) -> Any:
        return next((p for p in reversed(self.rows.values()) if p.case_id == case_id), None)


class FakeTasks:
    def __init__(self, uow: "FakeLabelingUnitOfWork") -> None:
        self.uow = uow
        self.rows: dict[str, Task] = {}

    def get(self, task_id: str) -> Task | None:
        return dataclasses.replace(self.rows[task_id]) if task_id in self.rows else None

    def add(self, task: Task) -> None:
        assert task.task_id not in self.rows
        self.rows[task.task_id] = dataclasses.replace(task)

    def save(self, task: Task) -> None:
        self.rows[task.task_id] = dataclasses.replace(task)

    def _where(self, condition: Any) -> list[Task]:
        found = [dataclasses.replace(t) for t in self.rows.values() if condition(t)]
        return sorted(found, key=lambda t: t.place)

    def of_case(self, case_id: str) -> Sequence[Task]:
        return self._where(lambda t: t.case_id == case_id)

    def of_study(self, study_key: str) -> Sequence[Task]:
        return self._where(lambda t: t.study_key == study_key)

    def held_in(self, project_id: str, reader: str, now: datetime) -> Task | None:
        return next(iter(self._where(lambda t: t.project_id == project_id and t.held_by(reader, now))), None)

    def returned_to(self, project_id: str, reader: Reader) -> Task | None:
        mine = self._where(lambda t: t.state is TaskState.RETURNED and t.reader == reader.pseudonym)
        return next((t for t in mine if t.project_id == project_id and _may(t, reader)), None)

    def takeable(self, project_id: str, reader: Reader) -> Task | None:
        me, labels = reader.pseudonym, self.uow.labels
        for task in self._where(lambda t: t.project_id == project_id and t.state is TaskState.OPEN):
            elsewhere = labels.read_elsewhere(task.case_id, me, task.task_id) or any(
                t.reader == me and t.state is TaskState.LEASED for t in self.of_case(task.case_id)
            )
            if _may(task, reader) and me not in task.excluded_readers and not elsewhere:
                return task
        return None

    def outdated(self, project_id: str, before_round: int) -> Sequence[Task]:
        return self._where(
            lambda t: (
                t.project_id == project_id
                and t.state is TaskState.OPEN
                and t.reading is Reading.FIRST
                and t.round_number < before_round
                and t.arm is not Arm.REPORTED
                and not self.uow.drafts.any(t.task_id)
            )
        )

    def expired(self, now: datetime, limit: int) -> Sequence[Task]:
        return self._where(lambda t: t.state is TaskState.LEASED and not t.live(now))[:limit]

    def leased_beyond(self, project_id: str, time: datetime) -> Sequence[Task]:
        return self._where(lambda t: t.project_id == project_id and t.live(time))


def _may(task: Task, reader: Reader) -> bool:
    return reader.may_adjudicate if task.reading is Reading.ADJUDICATION else reader.may_read


class FakeLabels(FakeById):
    def __init__(self) -> None:
        super().__init__("label_version_id")

    def newest_of_task(self, task_id: str) -> Any:
        mine = [label for label in self.versions_of_task(task_id) if not label.saved]
        return max(mine, key=lambda label: label.attempt, default=None)

    def versions_of_task(self, task_id: str) -> Sequence[Any]:
        return [label for label in self.rows.values() if label.task_id == task_id]

    def of_case(self, case_id: str) -> Sequence[Any]:
        return [label for label in self.rows.values() if label.case_id == case_id and not label.saved]

    def read_elsewhere(self, case_id: str, reader: str, task_id: str) -> bool:
        return any(label.reader == reader and label.task_id != task_id for label in self.of_case(case_id))


class FakeDrafts:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[Any]] = {}

    def last(self, task_id: str, reader: str) -> int:
        return len(self.rows.get((task_id, reader), []))

    def last_of(self, task_ids: Sequence[str], reader: str) -> dict[str, int]:
        return {task_id: last for task_id in task_ids if (last := self.last(task_id, reader))}

    def entries(self, task_id: str, reader: str, after: int, limit: int) -> Sequence[Any]:
        return self.rows.get((task_id, reader), [])[after : after + limit]

    def append(self, task_id: str, reader: str, entries: Sequence[Any]) -> None:
        self.rows.setdefault((task_id, reader), []).extend(entries)

    def any(self, task_id: str) -> bool:
        return any(key[0] == task_id and rows for key, rows in self.rows.items())


class FakeVerdicts:
    def __init__(self) -> None:
        self.approved: list[Any] = []
        self.returns: list[Any] = []

    def approvals(self, case_id: str) -> Sequence[Any]:
        return [a for a in self.approved if a.case_id == case_id]

    def approve(self, approval: Any) -> None:
        self.approved.append(approval)

    def returned(self, review_id: str, label_version_id: str) -> bool:
        return any((r.review_id, r.label_version_id) == (review_id, label_version_id) for r in self.returns)

    def return_(self, returned: Any) -> None:
        self.returns.append(returned)


class FakeUploads:
    def __init__(self) -> None:
        self.rows: dict[str, datetime] = {}

    def begin(self, key: str, study_key: str, at: datetime) -> None:
        self.rows[key] = at

    def end(self, key: str) -> bool:
        return self.rows.pop(key, None) is not None

    def abandoned(self, before: datetime) -> str | None:
        return next((key for key, at in self.rows.items() if at < before), None)


class FakeHistory:
    def __init__(self) -> None:
        self.rows: list[Any] = []

    def add(self, entry: Any) -> None:
        self.rows.append(entry)

    def of_case(self, case_id: str) -> Sequence[Any]:
        return [entry for entry in self.rows if entry.case_id == case_id]


class FakeLabelingUnitOfWork(FakeUnitOfWork):
    def __init__(self) -> None:
        super().__init__()
        self.projects = FakeProjects()
        self.cases = FakeCases()
        self.predictions = FakePredictions()
        self.labels = FakeLabels()
        self.drafts = FakeDrafts()
        self.verdicts = FakeVerdicts()
        self.reports = FakeById("report_id")
        self.uploads = FakeUploads()
        self.history = FakeHistory()
        self.tasks = FakeTasks(self)
        self.studies = FakeStudies(self)


def reader(name: str, *, reviewer: bool = False) -> Reader:
    """Return a reader, or a reviewer who reads too."""
    return Reader(pseudonym=f"reader-{name}", subject=name, may_read=True, may_adjudicate=reviewer)


class World:
    """The service in memory. Events go through `hear`, which parks what comes too early, as the consumer does."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.uow = FakeLabelingUnitOfWork()
        self.handlers = {cls: partial(handler, clock=self.clock) for cls, handler in HANDLERS.items()}
        self.parked: list[tuple[str, Message]] = []
        self.said: list[Message] = []
        self.ids = 0

    def do(self, command: Message) -> list[Message]:
        """Handle a command; return what was said."""
        said = self.handlers[type(command)](command, self.uow)
        self.said += said
        self._wake()
        return said

    def hear(self, *events: Message) -> None:
        """Deliver events; park what comes too early, and deliver it again once what it waits for has arrived."""
        for event in events:
            try:
                self.do(event)
            except NotYet as early:
                self.parked.append((early.token, event))

    def _wake(self) -> None:
        arrived, self.uow.arrived_tokens = set(self.uow.arrived_tokens), []
        ready = [event for token, event in self.parked if token in arrived]
        self.parked = [(token, event) for token, event in self.parked if token not in arrived]
        self.hear(*ready)

    # --- one of each ------------------------------------------------------------------------------------------------------

    def project(self, version: int = 1, **changes: Any) -> ProjectConfigured:
        term = CodedTerm("10200004", "SCT", "Liver")
        category = CodedTerm("123037004", "SCT", "Anatomical Structure")
        event = ProjectConfigured(
            project_id="p",
            project_version=version,
            segments=(
                Segment(1, "anterior", "#ff0000", term, category, True),
                Segment(2, "posterior", "#00ff00", dataclasses.replace(term, value="2"), category, False),
            ),
            overlapping_segments=False,
            reading=ReadingPolicy(lease_s=600),
            members=(Member("ada", MemberRole.READER),),
        )
        return dataclasses.replace(event, **changes)

    def study(self, case_id: str = "c1", study_key: str = "s1", split: Split = Split.TRAIN) -> StudyIngested:
        ref = ObjectRef(f"ingest/{study_key}/{case_id}/x", "sha256:0", 1)
        affine = tuple(float(x) for x in np.diag([1.0, 1.0, 2.0, 1.0]).ravel())
        case = IngestedCase(case_id, ref, (ref,), "MR", (4, 3, 2), (1.0, 1.0, 2.0), affine, "arbitrary")
        return StudyIngested(study_key=study_key, project_id="p", split=split, cases=(case,))

    def prediction(self, case_id: str = "c1", study_key: str = "s1", prediction_id: str = "") -> PredictionMade:
        ref = ObjectRef(f"inference/{study_key}/{case_id}/mask.nii", "sha256:0", 1)
        return PredictionMade(prediction_id or f"pred-{case_id}", case_id, study_key, ref)

    def flag(
        self, case_id: str = "c1", study_key: str = "s1", round_number: int = 1, **changes: Any
    ) -> EdgeCaseFlagged:
        event = EdgeCaseFlagged(
            round_id=f"round-{round_number}",
            round_number=round_number,
            case_id=case_id,
            study_key=study_key,
            project_id="p",
            arm=Arm.MINED,
            rank=1,
            reasons=(FlagReason.UNCERTAIN,),
            prediction_id=f"pred-{case_id}",
            show_proposal=True,
        )
        return dataclasses.replace(event, **changes)

    def second(self, case_id: str = "c1", study_key: str = "s1", **changes: Any) -> ReadingRequested:
        event = ReadingRequested(
            request_id=f"second-{case_id}",
            review_id=f"review-{case_id}",
            case_id=case_id,
            study_key=study_key,
            project_id="p",
            reading=Reading.SECOND,
            excluded_readers=(),
            label_version_ids=(),
            round_id="round-1",
            arm=Arm.MINED,
        )
        return dataclasses.replace(event, **changes)

    def returned(self, label_version_id: str, review_id: str = "review-c1") -> LabelReturned:
        label = self.uow.labels.get(label_version_id)
        task_id = label.task_id if label else ""
        reasons = (ReturnReason.MISSING_SEGMENT,)
        return LabelReturned(review_id, label_version_id, task_id, "c1", "s1", reasons)

    def approved(self, label_version_id: str, review_id: str = "review-c1") -> LabelApproved:
        label = self.uow.labels.get(label_version_id)
        task_id = label.task_id if label else ""
        return LabelApproved(review_id, label_version_id, "c1", "s1", task_id, "round-1")

    def withdrawal(self, study_key: str = "s1") -> StudyWithdrawn:
        return StudyWithdrawn(study_key, WithdrawReason.CONSENT)

    # --- what readers do --------------------------------------------------------------------------------------------------

    def ready(self, *case_ids: str) -> list[str]:
        """Set a project up with flagged cases c1, c2, ... in studies s1, s2, ...; return the task ids."""
        self.hear(self.project())
        for rank, case_id in enumerate(case_ids or ("c1",), start=1):
            study_key = f"s{case_id[1:]}"
            self.hear(self.study(case_id, study_key), self.prediction(case_id, study_key))
            self.hear(self.flag(case_id, study_key, rank=rank))
        return [identity("task", "round-1", case_id) for case_id in case_ids or ("c1",)]

    def take(self, who: Reader, task_id: str = "") -> Task | None:
        """Lease a task, or the next."""
        self.ids += 1
        lease_id = f"lease-{self.ids}"
        self.do(TakeTask(lease_id, task_id, who) if task_id else TakeNext(lease_id, "p", who))
        if task_id:
            return self.uow.tasks.get(task_id)
        return self.uow.tasks.held_in("p", who.pseudonym, self.clock.now())

    def submit(self, who: Reader, task: Task, label_version_id: str, **changes: Any) -> list[Message]:
        """Submit a label for a task by the lease it shows."""
        command = SubmitLabel(
            label_version_id=label_version_id,
            lease_id=task.lease_id,
            task_id=task.task_id,
            reader=who,
            mask=ObjectRef(f"labeling/{task.study_key}/{task.case_id}/{label_version_id}.nii", "sha256:1", 10),
            segments=(SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.ABSENT)),
            project_version=1,
            started_from_model=False,
            active_time_s=12.0,
        )
        command = dataclasses.replace(command, **changes)
        self.do(BeginUpload(command.mask.key, task.study_key))
        return self.do(command)

    def state(self, task_id: str) -> TaskState:
        """Return the state of a task."""
        return self.uow.tasks.rows[task_id].state


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def new_world() -> type[World]:
    return World


@pytest.fixture
def ada() -> Reader:
    return reader("ada")


@pytest.fixture
def ben() -> Reader:
    return reader("ben")


@pytest.fixture
def eve() -> Reader:
    return reader("eve", reviewer=True)
