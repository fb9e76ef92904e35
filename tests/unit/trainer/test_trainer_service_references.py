"""What a sweep must leave of dataset versions and models."""

import pytest

from radloop.sql import Database
from trainer.adapters import tables
from trainer.adapters.references import needed
from trainer.adapters.sql import TrainerSqlUnitOfWork
from trainer.adapters.wire import WIRE
from trainer.domain.model import RunState, bundle_key

DATASET = "trainer/p/datasets/d1.json"
MODEL, ORPHAN = bundle_key("p", "sha256:m1"), bundle_key("p", "sha256:m2")


@pytest.fixture
def uow(database_url):
    database = Database(database_url, "trainer")
    database.migrate("trainer.adapters.migrations")
    with TrainerSqlUnitOfWork(database, WIRE, source="/site-1/trainer") as uow:
        uow.connection.execute(tables.datasets.insert().values(digest="sha256:d1", project_id="p", document="{}"))
        uow.connection.execute(run("one", RunState.ANSWERED, "sha256:m1"))
        yield uow
    database.close()


def run(run_id, state, model_digest, project_id="p"):
    return tables.runs.insert().values(
        run_id=run_id,
        project_id=project_id,
        run_number=1,
        state=state.value,
        job_ended=True,
        dataset_version="sha256:d1",
        model_digest=model_digest,
        document="{}",
    )


def test_manifests_and_models_of_runs_are_needed(uow):
    assert needed(uow, [DATASET, MODEL, ORPHAN, "trainer/p/datasets/d2.json"]) == {DATASET, MODEL}


def test_nothing_of_a_project_goes_while_it_trains(uow):
    other = bundle_key("q", "sha256:m3")
    uow.connection.execute(run("two", RunState.RUNNING, "", "q"))
    assert needed(uow, [ORPHAN, other]) == {other}


def test_of_a_run_that_ended_the_logs_are_needed(uow):
    log = "trainer/p/runs/one/log/attempt-1.txt/00000001-ab"
    assert needed(uow, [log, "trainer/p/runs/one/checkpoints/epoch-1.pt/00000001-ab"]) == {log}
