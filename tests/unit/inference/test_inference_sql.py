"""The tables: migrations, rows there and back, the queue of waiting predictions."""

import time
from dataclasses import replace
from functools import partial

import pytest

from inference.adapters.sql import InferenceSqlUnitOfWork, SqlPredictionQueue
from inference.adapters.tables import METADATA
from inference.adapters.wire import WIRE
from inference.domain import messages as m
from inference.domain.model import (
    Case,
    DeploymentCause,
    Model,
    ModelState,
    PendingDeployment,
    Prediction,
    PredictionState,
    Project,
    Traffic,
)
from radloop.references import ObjectRef, Score
from radloop.sql import Database
from radloop.testing import assert_migrations_match

REF = ObjectRef("a/b.nii", "sha256:" + "0" * 64, 7)
CASE = Case("case", "study", "p", (REF, REF))
PROJECT = Project("p", 3, "m", m.PromotionMode.MANUAL, (1, 2), True, (m.Member("anna", m.MemberRole.READER),))
MODEL = Model("p", "sha256:a", "m", REF, ModelState.SERVING, "why")


@pytest.fixture
def database(database_url):
    database = Database(database_url, "inference")
    database.migrate("inference.adapters.migrations")
    yield database
    database.close()


@pytest.fixture
def begin(database):
    return partial(InferenceSqlUnitOfWork, database, WIRE, source="/site-1/inference")


def test_migrations_make_the_tables_the_code_reads(empty_database_url):
    assert_migrations_match(empty_database_url, "inference", "inference.adapters.migrations", METADATA)


def test_rows_there_and_back(begin):
    waiting = Prediction.of(CASE, "sha256:a", "sha256:s", urgent=True)
    made = replace(
        waiting,
        state=PredictionState.MADE,
        mask=REF,
        uncertainty=REF,
        embedding=REF,
        scores=(Score("foreground-entropy", 0.1 + 0.2),),
        volumes=(Score("segment-1-ml", 1.5),),
    )
    failed = replace(waiting, state=PredictionState.FAILED, reason=m.PredictionFailure.NOT_FINITE, detail="x")
    pending = PendingDeployment(1, "p", "sha256:a", DeploymentCause.TRAINED, True, "sha256:b", 4)
    with begin() as uow:
        uow.projects.save(replace(PROJECT, project_version=1, overlapping_segments=False))
        uow.projects.save(PROJECT)
        uow.models.save(replace(MODEL, state=ModelState.WAITING))
        uow.models.save(replace(MODEL, model_digest="sha256:b"))
        uow.models.save(MODEL)
        uow.traffic.save(Traffic("p", "sha256:a", "sha256:b", 5, 6))
        uow.deployments.add(pending)
        assert uow.models.first_of_run("run") and not uow.models.first_of_run("run")
        uow.cases.add(CASE)
        uow.cases.add(replace(CASE, volumes=()))
        uow.commit()
    with begin(read_only=True) as uow:
        assert uow.projects.get("p") == PROJECT and uow.projects.get("q") is None
        assert uow.models.get("p", "sha256:a") == MODEL
        assert [model.model_digest for model in uow.models.all("p")] == ["sha256:a", "sha256:b"]
        assert uow.traffic.get("p") == Traffic("p", "sha256:a", "sha256:b", 5, 6) and uow.traffic.get("q") == Traffic(
            "q"
        )
        assert uow.deployments.next() == pending == uow.deployments.get(1)
        assert uow.deployments.of_project("p") == [pending] and uow.deployments.of_project("q") == []
        assert uow.cases.get("case") == CASE
    for prediction in (waiting, made, failed):
        with begin() as uow:
            uow.predictions.save(prediction)
            uow.commit()
        with begin(read_only=True) as uow:
            assert uow.predictions.get(prediction.prediction_id) == prediction
            assert uow.predictions.of_case("case", None) == [prediction] == uow.predictions.of_case("case", "sha256:a")
            assert uow.predictions.of_case("case", "sha256:b") == []


def test_rounds_that_wait_are_told_once(begin):
    with begin() as uow:
        for round_id in ("b", "a", "b"):
            uow.predictions.wait_for("prediction", round_id)
        assert uow.predictions.waiting_rounds("prediction") == ["a", "b"]
        assert uow.predictions.waiting_rounds("prediction") == []


def fill(begin, *cases, urgent=()):
    with begin() as uow:
        uow.projects.save(PROJECT)
        uow.models.save(MODEL)
        for name in cases:
            case = replace(CASE, case_id=name, study_key=f"study-of-{name}")
            uow.cases.add(case)
            uow.predictions.save(Prediction.of(case, "sha256:a", "sha256:s", urgent=name in urgent))
        uow.commit()


def test_what_is_claimed_comes_with_its_project(database, begin):
    fill(begin, "one")
    claimed = SqlPredictionQueue(database, "here", hold_s=60).claim()
    assert (claimed.project, claimed.model, claimed.case.case_id) == (PROJECT, MODEL, "one")


def taken(queue, times):
    return [claim.case.case_id if (claim := queue.claim()) else None for _ in range(times)]


def test_the_queue_gives_each_once_in_order_the_urgent_first(database, begin):
    fill(begin, "one", "two", "three", urgent=("three",))
    first, second = (SqlPredictionQueue(database, place, hold_s=60) for place in ("here", "there"))
    assert [*taken(first, 1), *taken(second, 1), *taken(first, 2)] == ["three", "one", "two", None]
    with begin(read_only=True) as uow:
        assert uow.predictions.counts() == (0, 3)
        assert uow.predictions.asked_for() == {("p", "sha256:a")}


def test_what_a_dead_process_held_is_free_again(database, begin):
    fill(begin, "one", "two")
    here, there = (SqlPredictionQueue(database, place, hold_s=60) for place in ("here", "there"))
    assert taken(here, 1) == ["one"] and taken(there, 1) == ["two"]
    SqlPredictionQueue(database, "here", hold_s=60).release_all()
    assert taken(there, 2) == ["one", None]
    expired = SqlPredictionQueue(database, "late", hold_s=-1)
    fill(begin, "three")
    assert taken(expired, 1) == ["three"] and taken(here, 1) == ["three"]


def test_what_is_put_back_waits_its_time(database, begin):
    fill(begin, "one")
    queue = SqlPredictionQueue(database, "here", hold_s=60)
    claim = queue.claim()
    assert queue.put_back(claim.prediction.prediction_id, 3600, counts=True) == 1
    assert queue.claim() is None
    assert queue.put_back(claim.prediction.prediction_id, 0, counts=False) == 1
    assert queue.claim().prediction.attempts == 1
    assert queue.put_back("forgotten meanwhile", 0, counts=True) == 0


def test_a_clock_that_is_set_back_keeps_nothing_waiting(database, begin, monkeypatch):
    fill(begin, "one", "two")
    here, there = (SqlPredictionQueue(database, place, hold_s=60) for place in ("here", "there"))
    claim = here.claim()
    here.put_back(claim.prediction.prediction_id, 3600, counts=False)
    assert taken(here, 2) == ["two", None]
    now = time.time()
    for back_s, expected in ((60, [None]), (3600, ["one", "two", None])):
        monkeypatch.setattr("inference.adapters.sql.time.time", lambda back_s=back_s: now - back_s)
        assert taken(there, len(expected)) == expected


def test_what_is_done_is_not_taken(database, begin):
    fill(begin, "one")
    queue = SqlPredictionQueue(database, "here", hold_s=0)
    claim = queue.claim()
    with begin() as uow:
        uow.predictions.save(replace(claim.prediction, state=PredictionState.MADE, mask=REF))
        uow.commit()
    assert queue.claim() is None
    with begin(read_only=True) as uow:
        assert uow.predictions.counts() == (0, 0)


def test_a_withdrawn_study_leaves_no_row(database, begin):
    fill(begin, "one", "two")
    with begin() as uow:
        identity = Prediction.of(uow.cases.get("one"), "sha256:a", "sha256:s").prediction_id
        uow.predictions.wait_for(identity, "round")
        uow.cases.withdraw("study-of-one")
        uow.commit()
    with begin() as uow:
        assert uow.cases.is_withdrawn("study-of-one") and not uow.cases.is_withdrawn("study-of-two")
        assert uow.cases.get("one") is None and uow.predictions.get(identity) is None
        assert uow.predictions.waiting_rounds(identity) == []
        assert uow.cases.objects_to_delete() == ["study-of-one"]
        uow.cases.objects_deleted("study-of-one")
        assert uow.cases.objects_to_delete() == []
        uow.cases.withdraw("study-of-one")
        assert uow.cases.objects_to_delete() == ["study-of-one"]
    assert taken(SqlPredictionQueue(database, "here", hold_s=60), 2) == ["two", None]
