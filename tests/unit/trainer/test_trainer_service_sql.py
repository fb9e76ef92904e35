"""The repositories on the real embedded database: what goes in comes out, also after the file was closed and opened again."""

import dataclasses
import json
from collections.abc import Iterator

import pytest

from radloop.errors import PermanentError
from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus, Split
from radloop.settings import load
from radloop.sql import Database
from radloop.testing import assert_migrations_match
from trainer.adapters.sql import TrainerSqlUnitOfWork
from trainer.adapters.tables import METADATA, projects
from trainer.adapters.wire import WIRE
from trainer.domain import messages as m
from trainer.domain.model import (
    ApprovedLabel,
    DatasetVersion,
    Run,
    RunState,
    ServingModel,
    Source,
    TrainingCase,
)
from trainer.domain.policy import Situation
from trainer.settings import TrainerSettings

PROJECT = m.ProjectConfigured(
    "p",
    2,
    "model",
    (m.Segment(1, "anterior"), m.Segment(2, "posterior")),
    m.TrainingPolicy(4, 1, 0, 100, 50, 3.0, 1, 7, (1.0, 1.0, 2.5), (16, 16, 16), 0),
    m.PromotionPolicy(m.PromotionMode.MANUAL, -0.01, 0.05),
    (m.Member("ada", m.Role.READER), m.Member("bob", m.Role.PROJECT_LEAD)),
)


class Store:
    """A database; each use is one transaction, the database is opened anew for it."""

    def __init__(self, url: str) -> None:
        self._url = url
        database = self._open()
        database.migrate("trainer.adapters.migrations")
        database.close()

    def _open(self) -> Database:
        return Database(self._url, "trainer")

    def __enter__(self) -> TrainerSqlUnitOfWork:
        self._database = self._open()
        self._uow = TrainerSqlUnitOfWork(self._database, WIRE, source="/site-1/trainer")
        return self._uow.__enter__()

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self._uow.commit()
        self._uow.__exit__(kind, error, trace)
        self._database.close()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    yield Store(database_url)


def case(number: int, split: Split = Split.TRAIN, project_id: str = "p") -> TrainingCase:
    volumes = tuple(ObjectRef(f"ingest/{number}-{channel}.nii", f"sha256:{number}{channel}", 5) for channel in (0, 1))
    return TrainingCase(f"case-{number}", f"study-{number}", project_id, f"patient-{number}", split, volumes)


def label(number: int, sequence: int = 1, arm: Arm | None = None, project_id: str = "p") -> ApprovedLabel:
    mask = ObjectRef(f"labeling/{number}.nii", f"sha256:mask-{number}", 5)
    states = (SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.NOT_ANNOTATED))
    return ApprovedLabel(
        f"case-{number}", f"study-{number}", project_id, f"label-{number}", mask, states, arm, sequence
    )


def run(number: int, state: RunState = RunState.QUEUED, project_id: str = "p", **fields: object) -> Run:
    return Run(
        f"run-{project_id}-{number}", project_id, number, "sha256:d", "sha256:pl", "{}", "model", "", state, **fields
    )


def dataset(digest: str, *numbers: int) -> DatasetVersion:
    items = tuple(
        m.DatasetItem(f"case-{n}", f"study-{n}", "sha256:i", f"label-{n}", "sha256:l", 1.5, Split.TRAIN, Arm.MINED)
        for n in numbers
    )
    sources = tuple(Source(f"case-{n}", case(n).volumes, label(n).mask) for n in numbers)
    return DatasetVersion(digest, "p", items, sources, ObjectRef("trainer/p/datasets/d.json", digest, 5))


def test_migrations_make_the_tables(empty_database_url: str) -> None:
    assert_migrations_match(empty_database_url, "trainer", "trainer.adapters.migrations", METADATA)


def test_a_misspelt_setting_stops_the_start() -> None:
    with pytest.raises(PermanentError, match="setting-unknown"):
        load(TrainerSettings, {"TRAINER_THREAD": "1"})


def test_projects(store: Store) -> None:
    older, newer = (dataclasses.replace(PROJECT, project_version=version) for version in (1, 3))
    with store as uow:
        assert uow.projects.get("p") is None and uow.projects.ids() == []
        uow.projects.save(PROJECT)
        uow.projects.save(older)
        uow.projects.save(dataclasses.replace(PROJECT, project_id="q"))
    with store as uow:
        assert uow.projects.get("p") == PROJECT
        assert sorted(uow.projects.ids()) == ["p", "q"]
        uow.projects.save(newer)
    with store as uow:
        assert uow.projects.get("p") == newer


def test_a_project_kept_before_segments_could_overlap_has_none_that_do(store: Store) -> None:
    with store as uow:
        uow.projects.save(dataclasses.replace(PROJECT, overlapping_segments=True))
        assert uow.projects.get("p").overlapping_segments
        document = uow.connection.execute(projects.select()).one().document
        before = {name: value for name, value in json.loads(document).items() if name != "overlapping_segments"}
        uow.connection.execute(projects.update().values(document=json.dumps(before)))
    with store as uow:
        assert uow.projects.get("p") == PROJECT


def test_cases_labels_and_flags(store: Store) -> None:
    with store as uow:
        assert (uow.labels.case("case-1"), uow.labels.label("case-1"), uow.labels.flags("p")) == (None, None, {})
        for number in (1, 2):
            uow.labels.save_case(case(number))
        uow.labels.save_label(label(1, arm=Arm.COLD_START), 10.0)
        uow.labels.save_label(label(3), 10.0)  # no such case: not labelled
        uow.labels.save_flag("case-1", "study-1", "p", Arm.MINED)
        uow.labels.save_flag("case-1", "study-1", "p", Arm.CONTROL)
        uow.labels.save_flag("case-9", "study-9", "q", Arm.MINED)
    with store as uow:
        assert (uow.labels.case("case-1"), uow.labels.case("case-2")) == (case(1), case(2))
        assert uow.labels.label("case-1") == label(1, arm=Arm.COLD_START)
        assert uow.labels.flags("p") == {"case-1": Arm.CONTROL}
        assert uow.labels.labelled("p") == [(case(1), label(1, arm=Arm.COLD_START))]
        assert uow.labels.labelled("q") == []


def test_the_situation_counts_what_is_there(store: Store) -> None:
    with store as uow:
        assert uow.runs.situation("p", 100.0) == Situation(False, 0, 0, 0, 0, 0.0, False)
        splits = [Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST]
        for number, split in enumerate(splits):
            uow.labels.save_case(case(number, split))
            uow.labels.save_label(label(number), 10.0 * number)
        uow.labels.save_case(case(8, project_id="q"))
        uow.labels.save_label(label(8, project_id="q"), 99.0)
        uow.runs.save_request("request-q", "q")
        assert uow.runs.situation("p", 100.0) == Situation(False, 0, 3, 1, 3, 80.0, False)
        uow.labels.mark_used(["case-2", "case-3"])
        assert uow.runs.situation("p", 100.0) == Situation(False, 0, 3, 1, 2, 90.0, False)
        uow.labels.mark_used(["case-0", "case-1", "never seen"])
        uow.labels.mark_used([])
        assert uow.runs.situation("p", 100.0) == Situation(False, 0, 3, 1, 0, 0.0, False)
        uow.labels.mark_new(["case-1"])
        uow.runs.save_request("request-p", "p")
        uow.runs.save(run(1, RunState.FAILED))
        assert uow.runs.situation("p", 100.0) == Situation(False, 1, 3, 1, 1, 90.0, True)


def test_a_clock_that_was_set_back_does_not_hold_up_the_quiet_time(store: Store) -> None:
    with store as uow:
        uow.labels.save_case(case(1, Split.TRAIN))
        uow.labels.save_label(label(1), 20_000.0)
        assert uow.runs.situation("p", 2_000.0).since_last_s == 18_000.0


@pytest.mark.parametrize("state", list(RunState))
def test_which_runs_are_unfinished_and_need_looking_after(store: Store, state: RunState) -> None:
    with store as uow:
        uow.runs.save(run(1, state))
        uow.runs.save(run(2, state, job_ended=True))
        unfinished = state in (RunState.QUEUED, RunState.RUNNING, RunState.TRAINED)
        assert uow.runs.situation("p", 0.0).unfinished is unfinished
        assert uow.runs.situation("q", 0.0).unfinished is False
        looked_after = {
            RunState.QUEUED: [1, 2],
            RunState.RUNNING: [1, 2],
            RunState.CANCELLED: [1],  # its job is still to be ended
        }
        assert [found.run_number for found in uow.runs.to_look_after()] == looked_after.get(state, [])


def test_runs(store: Store) -> None:
    failed = run(2, RunState.FAILED, attempts=3, failure=m.TrainingFailure.JOB_DIED, job_ended=True)
    with store as uow:
        assert uow.runs.get("run-p-1") is None
        for each in (failed, run(1), run(1, project_id="q"), run(1, RunState.ANSWERED, model_digest="sha256:m")):
            uow.runs.save(each)
    with store as uow:
        assert uow.runs.get("run-p-2") == failed
        assert [each.run_number for each in uow.runs.of_project("p")] == [1, 2]
        assert [each.run_id for each in uow.runs.of_project(None)] == ["run-p-1", "run-p-2", "run-q-1"]
        assert uow.runs.by_model("sha256:m").run_id == "run-p-1"
        assert uow.runs.by_model("sha256:other") is None


def test_dataset_versions_are_kept_as_they_were(store: Store) -> None:
    first = dataset("sha256:d1", 1, 2)
    with store as uow:
        uow.runs.save_dataset(first)
        uow.runs.save_dataset(dataclasses.replace(first, sources=()))  # the same version again
        uow.runs.save_dataset(dataset("sha256:d2", 2, 3))
    with store as uow:
        assert uow.runs.dataset("sha256:d1") == first
        assert uow.runs.dataset("sha256:d3") is None
        assert uow.runs.datasets_with("study-2") == ["sha256:d1", "sha256:d2"]
        assert uow.runs.datasets_with("study-3") == ["sha256:d2"]
        assert uow.runs.datasets_with("study-9") == []


def test_requests(store: Store) -> None:
    with store as uow:
        for request_id, project_id in (("r2", "p"), ("r1", "p"), ("r0", "q")):
            uow.runs.save_request(request_id, project_id)
        assert (uow.runs.request("p"), uow.runs.request("q"), uow.runs.request("other")) == ("r1", "r0", "")
        uow.runs.close_requests("p")
        uow.runs.save_request("r1", "p")  # told again
        assert (uow.runs.request("p"), uow.runs.request("q")) == ("", "r0")


def test_the_model_that_serves(store: Store) -> None:
    bundle = ObjectRef("trainer/p/models/a.zip", "sha256:a", 9)
    with store as uow:
        assert uow.runs.serving("p") is None
        uow.runs.save_serving("p", ServingModel("sha256:a", bundle, 3))
        uow.runs.save_serving("p", ServingModel("sha256:old", None, 2))
    with store as uow:
        assert uow.runs.serving("p") == ServingModel("sha256:a", bundle, 3)
        uow.runs.save_serving("p", ServingModel("", None, 4))
        assert uow.runs.serving("p") == ServingModel("", None, 4)


def test_withdrawn_studies(store: Store) -> None:
    with store as uow:
        for number in (1, 2):
            uow.labels.save_case(case(number))
            uow.labels.save_label(label(number), 1.0)
            uow.labels.save_flag(f"case-{number}", f"study-{number}", "p", Arm.MINED)
        uow.runs.save_dataset(dataset("sha256:d1", 1, 2))
        uow.runs.save(
            dataclasses.replace(run(1, RunState.ANSWERED, model_digest="sha256:m"), dataset_version="sha256:d1")
        )
        uow.runs.save(dataclasses.replace(run(2, RunState.FAILED), dataset_version="sha256:d1"))
        uow.withdrawn.forget("study-1", ["sha256:d1"])
        uow.withdrawn.forget("study-7", [])
    with store as uow:
        assert [uow.withdrawn.contains(f"study-{number}") for number in (1, 2, 7)] == [True, False, True]
        assert (uow.labels.case("case-1"), uow.labels.label("case-1")) == (None, None)
        assert (uow.labels.case("case-2"), uow.labels.label("case-2")) == (case(2), label(2))
        assert uow.labels.flags("p") == {"case-2": Arm.MINED}
        listed = {"study_key": "study-1", "dataset_version": "sha256:d1", "model_digest": "sha256:m"}
        assert (uow.withdrawn.listed("p"), uow.withdrawn.listed("q")) == ([listed], [])


def test_what_was_not_committed_is_not_there(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store as uow:
        uow.labels.save_case(case(1))
        raise ZeroDivisionError
    with store as uow:
        assert uow.labels.case("case-1") is None
