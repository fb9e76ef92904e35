"""A site in miniature: handlers, timer and mask reader over one unit of work, in memory and on SQLite.

Every test of a handler runs on both, so that the fakes and the SQL repositories are held to the same contract.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

from edge_miner.adapters.masks import MaskExaminer
from edge_miner.adapters.sql import EdgeMinerUnitOfWork
from edge_miner.adapters.timer import RoundTimer
from edge_miner.adapters.wire import WIRE
from edge_miner.domain import messages as m
from edge_miner.domain.batch import Line
from edge_miner.domain.model import (
    COLLECTING,
    PENDING,
    Case,
    EntryState,
    Prediction,
    Project,
    Round,
    RoundKind,
    RoundState,
)
from edge_miner.domain.pool import PoolMember
from edge_miner.handlers import HANDLERS
from edge_miner.ports import EligibleCase, LedgerEntry, MaskToExamine, NewEntry
from radloop.errors import NotYet
from radloop.imaging import Volume, write_nifti
from radloop.messages import Message
from radloop.references import ObjectRef, Score, Split
from radloop.sql import Database
from radloop.testing import FakeObjects, FakeUnitOfWork
from radloop.testing.databases import ENGINES

PROJECT = "hippocampus"
_BEFORE_READERS = (RoundKind.MODEL, RoundKind.COLD_START)


class FakeProjects:
    def __init__(self) -> None:
        self.rows: dict[str, Project] = {}

    def get(self, project_id: str) -> Project | None:
        return self.rows.get(project_id)

    def put(self, project: Project) -> None:
        self.rows[project.project_id] = project

    def all(self) -> Sequence[Project]:
        return list(self.rows.values())


class FakeCases:
    def __init__(self) -> None:
        self.rows: dict[str, Case] = {}
        self.numbers: dict[str, tuple[int, float]] = {}
        self.approvals: dict[str, str] = {}
        self.withdrawals: set[str] = set()
        self._next = itertools.count(1)

    def get(self, case_id: str) -> Case | None:
        return self.rows.get(case_id)

    def add(self, case: Case, now: float) -> None:
        if case.case_id not in self.rows:
            self.rows[case.case_id] = case
            self.numbers[case.case_id] = next(self._next), now

    def approve(self, case_id: str, study_key: str) -> None:
        self.approvals[case_id] = study_key
        self._change([case_id], labelled=True)

    def approved(self, case_id: str) -> bool:
        return case_id in self.approvals

    def open(self, case_ids: Sequence[str], round_id: str) -> None:
        self._change(case_ids, open_in=round_id)

    def reopen_pool(self, round_id: str) -> None:
        self._change([case.case_id for case in self.rows.values() if case.open_in == round_id], open_in="")

    def _change(self, case_ids: Sequence[str], **changes: Any) -> None:
        for case_id in case_ids:
            if case_id in self.rows:
                self.rows[case_id] = dataclasses.replace(self.rows[case_id], **changes)

    def _eligible(self, project_id: str) -> list[Case]:
        return [case for _, case in sorted(self.rows.items()) if case.project_id == project_id and case.eligible]

    def eligible(self, project_id: str) -> Sequence[EligibleCase]:
        return [EligibleCase(case.case_id, case.study_key, case.patient_key) for case in self._eligible(project_id)]

    def eligible_by_patient(self, project_id: str, up_to_case: int) -> Mapping[str, int]:
        known = (case for case in self._eligible(project_id) if self.numbers[case.case_id][0] <= up_to_case)
        return Counter(case.patient_key for case in known)

    def eligible_count(self, project_id: str) -> int:
        return len(self._eligible(project_id))

    def newest(self, project_id: str) -> tuple[int, float]:
        numbers = [self.numbers[case.case_id] for case in self.rows.values() if case.project_id == project_id]
        return max(numbers, default=(0, 0.0))

    def withdraw(self, study_key: str) -> None:
        self.withdrawals.add(study_key)
        self.rows = {case_id: case for case_id, case in self.rows.items() if case.study_key != study_key}
        self.approvals = {case_id: study for case_id, study in self.approvals.items() if study != study_key}

    def withdrawn(self, study_key: str) -> bool:
        return study_key in self.withdrawals


class FakePredictions:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Prediction] = {}

    def get(self, case_id: str, model_digest: str) -> Prediction | None:
        return self.rows.get((case_id, model_digest))

    def put(self, prediction: Prediction) -> None:
        self.rows[prediction.case_id, prediction.model_digest] = prediction

    def of_model(self, project_id: str, model_digest: str) -> Mapping[str, EntryState]:
        return {
            row.case_id: row.state
            for row in self.rows.values()
            if row.project_id == project_id and row.model_digest == model_digest
        }

    def forget_case(self, case_id: str) -> None:
        self.rows = {key: row for key, row in self.rows.items() if row.case_id != case_id}

    def forget_study(self, study_key: str) -> None:
        self.rows = {key: row for key, row in self.rows.items() if row.study_key != study_key}


class FakeRounds:
    def __init__(self) -> None:
        self.rows: dict[str, Round] = {}

    def get(self, round_id: str) -> Round | None:
        return self.rows.get(round_id)

    def put(self, each: Round) -> None:
        self.rows[each.round_id] = each

    def _of(self, project_id: str, kinds: Sequence[RoundKind], states: Sequence[RoundState]) -> list[Round]:
        rows = (row for row in self.rows.values() if row.project_id == project_id)
        return [row for row in rows if row.kind in kinds and row.state in states]

    def collecting(self, project_id: str) -> Round | None:
        return next(iter(self._of(project_id, (RoundKind.MODEL,), COLLECTING)), None)

    def flagged(self, project_id: str) -> Sequence[Round]:
        return self._of(project_id, _BEFORE_READERS, (RoundState.FLAGGED,))

    def last_number(self, project_id: str) -> int:
        ended = self._of(project_id, (RoundKind.MODEL,), (RoundState.FLAGGED, RoundState.SUPERSEDED))
        return max((row.round_number for row in ended), default=0)

    def any_of(self, project_id: str) -> bool:
        return bool(self._of(project_id, _BEFORE_READERS, tuple(RoundState)))

    def open_rounds(self) -> Sequence[Round]:
        return [row for row in self.rows.values() if row.state in COLLECTING]

    def of_project(self, project_id: str) -> Sequence[Round]:
        return self._of(project_id, tuple(RoundKind), tuple(RoundState))


class FakeLedger:
    def __init__(self, predictions: FakePredictions, rounds: FakeRounds) -> None:
        self.rows: dict[tuple[str, str], LedgerEntry] = {}
        self._predictions, self._rounds = predictions, rounds

    def enter(self, round_id: str, entries: Sequence[NewEntry]) -> None:
        for entry in entries:
            blank = Line(entry.case_id, None, 0, 0, 0.0, (), False, {})
            self.rows[round_id, entry.case_id] = LedgerEntry(
                entry.study_key, entry.patient_key, entry.state, blank, {}, {}, "", {}, False
            )

    def _in(self, round_id: str) -> dict[str, LedgerEntry]:
        return {case_id: row for (of_round, case_id), row in sorted(self.rows.items()) if of_round == round_id}

    def settle(self, round_id: str, case_id: str, state: EntryState) -> bool:
        row = self.rows.get((round_id, case_id))
        if row is None or row.state not in PENDING:
            return False
        self.rows[round_id, case_id] = dataclasses.replace(row, state=state)
        return True

    def leave(self, round_id: str, case_id: str) -> bool:
        row = self.rows.get((round_id, case_id))
        if row is None or row.state is EntryState.GONE:
            return False
        self.rows[round_id, case_id] = dataclasses.replace(row, state=EntryState.GONE)
        return True

    def any_in(self, round_id: str, states: Sequence[EntryState]) -> bool:
        return any(row.state in states for row in self._in(round_id).values())

    def to_ask(self, round_id: str, limit: int) -> Sequence[EligibleCase]:
        rows = [(case_id, row) for case_id, row in self._in(round_id).items() if row.state is EntryState.TO_ASK]
        for case_id, row in rows[:limit]:
            self.rows[round_id, case_id] = dataclasses.replace(row, state=EntryState.WAITING)
        return [EligibleCase(case_id, row.study_key, row.patient_key) for case_id, row in rows[:limit]]

    def _prediction(self, round_id: str, case_id: str) -> Prediction | None:
        each = self._rounds.get(round_id)
        return self._predictions.get(case_id, each.model_digest) if each else None

    def to_examine(self, round_id: str, limit: int) -> Sequence[MaskToExamine]:
        waiting = []
        for case_id, row in self._in(round_id).items():
            prediction = self._prediction(round_id, case_id)
            if row.state is EntryState.TO_EXAMINE and prediction and prediction.mask:
                waiting.append(
                    MaskToExamine(case_id, prediction.model_digest, prediction.prediction_id, prediction.mask)
                )
        return waiting[:limit]

    def pool(self, round_id: str) -> Sequence[PoolMember]:
        found = []
        for case_id, row in self._in(round_id).items():
            made = self._prediction(round_id, case_id)
            if row.state in (EntryState.READY, EntryState.FAILED) and made:
                found.append(
                    PoolMember(
                        case_id,
                        row.study_key,
                        row.patient_key,
                        made.failed,
                        made.scores,
                        made.volumes,
                        made.prediction_id,
                    )
                )
        return found

    def record(self, round_id: str, lines: Sequence[Line], members: Mapping[str, PoolMember]) -> None:
        for line in lines:
            member = members[line.case_id]
            self.rows[round_id, line.case_id] = dataclasses.replace(
                self.rows[round_id, line.case_id],
                line=line,
                scores=dict(member.scores),
                volumes=dict(member.volumes),
                prediction_id=member.prediction_id,
            )

    def label(self, case_id: str, prediction_id: str, dice: Mapping[int, float], started_from_model: bool) -> None:
        for key, row in self.rows.items():
            rests = key[1] == case_id and row.prediction_id == prediction_id
            if rests and row.line.arm and row.state is EntryState.READY:
                self.rows[key] = dataclasses.replace(row, dice=dict(dice), started_from_model=started_from_model)

    def withdraw(self, study_key: str) -> None:
        for key, row in self.rows.items():
            if row.study_key == study_key:
                self.rows[key] = dataclasses.replace(
                    row,
                    state=EntryState.GONE,
                    patient_key="",
                    line=dataclasses.replace(row.line, computed={}),
                    scores={},
                    volumes={},
                    prediction_id="",
                    dice={},
                )

    def counts(self, round_id: str) -> Mapping[EntryState, int]:
        return Counter(row.state for row in self._in(round_id).values())

    def flagged(self, round_id: str) -> Sequence[LedgerEntry]:
        return [row for row in self.entries(round_id) if row.line.rank]

    def entries(self, round_id: str) -> Sequence[LedgerEntry]:
        def place(row: LedgerEntry) -> tuple[Any, ...]:
            line = row.line
            return line.rank == 0, line.rank, line.pool_rank == 0, line.pool_rank, line.case_id

        return sorted(self._in(round_id).values(), key=place)


class FakeEdgeMinerUnitOfWork(FakeUnitOfWork):
    def __init__(self) -> None:
        super().__init__()
        self.site = "site-1"
        self.projects = FakeProjects()
        self.cases = FakeCases()
        self.predictions = FakePredictions()
        self.rounds = FakeRounds()
        self.ledger = FakeLedger(self.predictions, self.rounds)


class Site:
    """One site: hears events, parks what is early, lets the workers run, and remembers everything said."""

    def __init__(self, uow: Any) -> None:
        self.uow, self.now = uow, 1000.0
        self.said: list[Message] = []
        self.objects = FakeObjects()
        self.parked: list[tuple[str, Message]] = []
        self._arrived: list[str] = []
        uow.arrived = self._arrived.append
        timed = (m.StudyIngested, m.ModelDeployed, m.EdgeCaseReported, m.DrawSample, m.FlagBatch)
        self.handlers: dict[type, Callable[..., list[Message]]] = {
            **HANDLERS,
            **{each: partial(HANDLERS[each], clock=lambda: self.now) for each in timed},
            m.StartCold: partial(HANDLERS[m.StartCold], clock=lambda: self.now, quiet_s=60.0),
        }

        @contextmanager
        def same(*, read_only: bool = False) -> Iterator[Any]:
            yield uow

        self.timer = RoundTimer(self, same, ask_at_once=7)  # type: ignore[arg-type]
        self.examiner = MaskExaminer(self, same, self.objects)  # type: ignore[arg-type]

    def dispatch(self, message: Message) -> list[Message]:
        said = self.handlers[type(message)](message, self.uow)
        self.said += said
        return said

    def hear(self, *events: Message) -> None:
        """Deliver events as the consumer does, parking those that come too early."""
        for event in events:
            try:
                self.dispatch(event)
            except NotYet as early:
                self.parked.append((early.token, event))
            while ready := [pair for pair in self.parked if pair[0] in self._arrived]:
                self._arrived.clear()
                self.parked = [pair for pair in self.parked if pair not in ready]
                self.hear(*(event for _, event in ready))
            self._arrived.clear()

    def work(self) -> None:
        """Let the workers run until they find nothing to do."""
        for _ in range(500):
            if not self.timer.step() and not self.examiner.step():
                return
        raise AssertionError("the workers never come to rest")

    @property
    def asked(self) -> list[str]:
        return [each.case_id for each in self.said if isinstance(each, m.PredictionRequested)]

    @property
    def flagged(self) -> list[m.EdgeCaseFlagged]:
        return [each for each in self.said if isinstance(each, m.EdgeCaseFlagged)]

    def rounds(self) -> list[Round]:
        return list(self.uow.rounds.of_project(PROJECT))

    # Events with sensible values

    def configured(self, version: int = 1, **selection: Any) -> m.ProjectConfigured:
        policy = {
            "strategy": "entropy-and-sanity",
            "pool_sample": 1000,
            "batch_size": 4,
            "control_fraction": 0.1,
            "cold_start": False,
            "max_rounds": 0,
            "seed": 1,
        }
        return m.ProjectConfigured(
            project_id=PROJECT,
            project_version=version,
            segments=(m.ConfiguredSegment(1, True), m.ConfiguredSegment(2, False)),
            selection=m.SelectionPolicy(**(policy | selection)),
            members=(m.ConfiguredMember("lead@example.org", m.MemberRole.PROJECT_LEAD),),
        )

    def ingested(self, number: int, split: Split = Split.TRAIN, patient: int | None = None) -> m.StudyIngested:
        return m.StudyIngested(
            study_key=f"study-{number}",
            project_id=PROJECT,
            patient_key=f"patient-{number if patient is None else patient}",
            split=split,
            cases=(m.IngestedCase(f"case-{number:04d}"),),
        )

    def deployed(
        self, model: str, sequence: int, outcome: m.Deployment = m.Deployment.SERVING, wish: int = 0
    ) -> m.ModelDeployed:
        return m.ModelDeployed(PROJECT, model, outcome, sequence, wish)

    def made(
        self,
        number: int,
        model: str,
        entropy: float | None = None,
        settings: str = "a",
        parts: int | None = 1,
        ml: float = 3.0,
    ) -> m.PredictionMade:
        """Return a prediction; with ``parts=None`` they are not counted and the mask (of two parts) must be read."""
        scores = [Score("foreground-entropy", number / 1000 if entropy is None else entropy)]
        if parts is not None:
            scores.append(Score("components-segment-1", float(parts)))
        return m.PredictionMade(
            prediction_id=f"prediction-{number}-{model}-{settings}",
            case_id=f"case-{number:04d}",
            study_key=f"study-{number}",
            project_id=PROJECT,
            model_digest=model,
            mask=self.mask(f"inference/study-{number}/{model}-{settings}/mask.nii"),
            scores=tuple(scores),
            volumes=(Score("segment-1-ml", ml),),
        )

    def mask(self, key: str) -> ObjectRef:
        array = np.zeros((5, 5, 5), dtype=np.uint8)
        array[0, 0, 0] = array[4, 4, 4] = 1
        return self.objects.put(key, write_nifti(Volume(array, np.eye(4))))

    def failed(self, number: int, model: str) -> m.PredictionFailed:
        return m.PredictionFailed(f"failure-{number}-{model}", f"case-{number:04d}", f"study-{number}", PROJECT, model)

    def approved(
        self, number: int, prediction_id: str = "", dice: tuple[float, ...] = (), from_model: bool = False
    ) -> m.LabelApproved:
        return m.LabelApproved(
            case_id=f"case-{number:04d}",
            study_key=f"study-{number}",
            project_id=PROJECT,
            started_from_model=from_model,
            prediction_dice=tuple(Score(f"dice-segment-{n}", value) for n, value in enumerate(dice, start=1)),
            prediction_id=prediction_id,
        )

    def reported(self, number: int, report: str = "report-1") -> m.EdgeCaseReported:
        return m.EdgeCaseReported(report, f"case-{number:04d}", f"study-{number}", PROJECT)

    def withdrawn(self, number: int) -> m.StudyWithdrawn:
        return m.StudyWithdrawn(f"study-{number}")

    def round_of(self, model: str, sequence: int, numbers: Sequence[int]) -> list[m.EdgeCaseFlagged]:
        """Run one whole round with predictions on these cases; return what it flagged."""
        before = len(self.flagged)
        self.hear(self.deployed(model, sequence))
        self.work()
        self.hear(*(self.made(number, model) for number in numbers))
        self.work()
        return self.flagged[before:]


@pytest.fixture(scope="session")
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Database]]:
    """Return one migrated database per engine; no test commits anything to it."""
    made: dict[str, Database] = {}

    def of(engine: str) -> Database:
        if engine not in made:
            folder = tmp_path_factory.mktemp("edge-miner")
            url = f"sqlite:///{folder}" if engine == "sqlite" else request.getfixturevalue("fresh_databases").make()
            made[engine] = Database(url, "edge-miner")
            made[engine].migrate("edge_miner.adapters.migrations")
        return made[engine]

    yield of
    for database in made.values():
        database.close()


@pytest.fixture(params=["fake", *ENGINES])
def site(request: pytest.FixtureRequest, migrated: Callable[[str], Database]) -> Iterator[Site]:
    """A site on the fakes, and one on either engine whose transaction is never committed."""
    if request.param == "fake":
        yield Site(FakeEdgeMinerUnitOfWork())
        return
    database = migrated(request.param)
    with EdgeMinerUnitOfWork(database, WIRE, source="/site-1/edge-miner") as uow:
        yield Site(uow)


@pytest.fixture
def fresh_site() -> Callable[[], Site]:
    """Make any number of sites on the fakes."""
    return lambda: Site(FakeEdgeMinerUnitOfWork())
