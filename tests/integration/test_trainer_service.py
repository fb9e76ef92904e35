"""`trainer` with its real parts: event log, database, object store, HTTP, and real jobs on tiny volumes.

The others are records in the log; the service's loops are turned by hand, except where its threads are what is tested.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.references import ObjectRef
from radloop.testing.databases import ONE_ENGINE
from tests.integration.trainer_platform import LIMIT_S, PROJECT, SAID, Platform, end, project, serving
from trainer.adapters.wire import WIRE

pytestmark = pytest.mark.integration


@pytest.fixture
def platform(tmp_path: Path, database_url: str, objects_url: str) -> Iterator[Platform]:
    platform = Platform(tmp_path, database_url, objects_url)
    yield platform
    for file in tmp_path.glob("work/*/process.json"):
        end(json.loads(file.read_text())["pid"])
    platform.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # and S3: real training takes its time
@pytest.mark.timeout(300)
def test_labels_become_models_though_the_trainer_is_restarted_in_mid_run(platform: Platform) -> None:
    platform.hear(project(), *platform.cohort(range(2), range(2, 4), range(4, 5)))
    (started,) = platform.said("training-started")
    assert [item.case_id for item in started.items] == [f"case-{number}" for number in range(5)]
    platform.until(lambda: (platform.job(started.run_id) / "progress.json").exists())
    before = platform.process(started.run_id)

    platform.restart()
    run = platform.ask("GET", f"/v1/runs/{started.run_id}")
    assert (run["state"], run["attempts"], run["progress"]["steps"]) == ("running", 1, 4)
    (trained,) = platform.until(lambda: platform.said("model-trained"))
    assert platform.process(started.run_id) == before  # the same job, found again

    # The bundle is in the store, and its digest is the model's.
    bundle = ObjectRef(trained.bundle.key, trained.model_digest, trained.bundle.size_bytes)
    assert trained.bundle.digest == trained.model_digest and len(platform.objects.get(bundle)) == bundle.size_bytes
    assert (trained.run_id, trained.run_number, trained.model_name) == (started.run_id, 1, "hippocampus-model")
    assert (trained.dataset_version, trained.plan_digest) == (started.dataset_version, started.plan_digest)
    assert sorted({row.case_id for row in trained.validation_dice}) == ["case-2", "case-3"]
    assert [(row.case_id, row.patient_key, row.segment) for row in trained.test_dice] == [
        ("case-4", "patient-4", 1),
        ("case-4", "patient-4", 2),
    ]
    assert (trained.train_patient_count, trained.comparison.passes) == (2, True)
    assert platform.ask("GET", "/v1/status") == {"runs": {"trained": 1}}

    # The answer makes way; two more labels start a run from these weights, measured against this model.
    platform.hear(serving(trained), *platform.cohort(range(5, 7)))
    second = platform.said("training-started")[1]
    task = json.loads((platform.job(second.run_id) / "task.json").read_text())["plan"]
    assert (task["warm_start"], task["serving"]["digest"], task["steps"]) == (True, trained.model_digest, 2)
    _, better = platform.until(lambda: len(said := platform.said("model-trained")) == 2 and said)
    assert better.comparison.serving_digest == trained.model_digest
    assert better.comparison.patient_count == 2 and better.model_digest != trained.model_digest
    first_dice, again = (
        {(row.case_id, row.segment): row.dice for row in rows}
        for rows in (trained.validation_dice, better.serving_validation_dice)
    )
    assert again == pytest.approx(first_dice, abs=1e-6)  # the same model on the same cases

    # Everything told again says nothing again.
    for topic in WIRE.topics:
        platform.service.event_log.rewind("trainer", topic, {0: 0})
    platform.restart()
    platform.turn()
    assert [len(platform.said(topic)) for topic in SAID] == [2, 2, 0, 0]

    # A study withdrawn since: what it was in is listed for a person, and can no longer be exported.
    platform.hear(ingest_pb2.StudyWithdrawn(study_key="study-5", site="site-1"))
    assert platform.ask("GET", f"/v1/withdrawn?project_id={PROJECT}")["withdrawn"] == [
        {
            "study_key": "study-5",
            "dataset_version": second.dataset_version,
            "model_digest": better.model_digest,
        }
    ]
    refused = platform.ask("GET", f"/v1/datasets/{second.dataset_version}/export", status=409)
    assert refused["error"] == "dataset-withdrawn"


@ONE_ENGINE
@pytest.mark.timeout(300)
def test_a_killed_job_is_started_again_and_ends(platform: Platform) -> None:
    platform.hear(project(initial_steps=20), *platform.cohort(range(2), range(2, 4)))
    (started,) = platform.said("training-started")
    checkpoints = platform.job(started.run_id) / "checkpoints"
    platform.until(lambda: list(checkpoints.glob("*.pt")))
    first = platform.process(started.run_id)
    os.killpg(first, signal.SIGKILL)
    (trained,) = platform.until(lambda: platform.said("model-trained"))
    assert platform.process(started.run_id) != first
    assert platform.ask("GET", f"/v1/runs/{trained.run_id}")["attempts"] == 2
    assert [len(platform.said(topic)) for topic in SAID] == [1, 1, 0, 0]


@pytest.mark.parametrize("by", ["person", "withdrawal"])
def test_a_run_that_is_ended_leaves_no_process(platform: Platform, by: str) -> None:
    platform.hear(project(initial_steps=100_000), *platform.cohort(range(2), range(2, 4)))
    (started,) = platform.said("training-started")
    process = platform.process(started.run_id)
    os.killpg(process, 0)  # it is there
    if by == "person":
        assert platform.ask("POST", f"/v1/runs/{started.run_id}/cancel")["state"] == "cancelled"
    platform.hear(*[ingest_pb2.StudyWithdrawn(study_key="study-1")] * (by == "withdrawal"))
    (failed,) = platform.until(lambda: platform.said("training-failed"))
    assert (failed.run_id, failed.reason) == (started.run_id, trainer_pb2.TRAINING_FAILURE_CANCELLED)
    platform.until(lambda: not running(process))
    assert platform.ask("GET", f"/v1/runs/{started.run_id}")["job_ended"] is True
    # Its label was half of what a run needs: after a withdrawal one more is enough, after a person's word it is not.
    platform.append(*platform.cohort(range(7, 8)))
    platform.service.consumer.step(timeout_s=0)
    platform.service.workers[0].step()
    platform.service.relay.step()
    assert len(platform.said("training-started")) == (2 if by == "withdrawal" else 1)


def running(process_group: int) -> bool:
    try:
        os.killpg(process_group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_bad_plan_is_told_at_once_by_the_services_own_threads(
    tmp_path: Path, database_url: str, objects_url: str
) -> None:
    platform = Platform(tmp_path, database_url, objects_url)
    platform.append(project(patch=[20, 20, 20]), *platform.cohort(range(2), range(2, 4)))
    platform.service.start()
    try:
        deadline = time.monotonic() + LIMIT_S
        log = platform.service.event_log.consumer("test", ["training-failed"])
        while not (records := log.poll(1.0)):
            assert time.monotonic() < deadline
        failed = trainer_pb2.TrainingFailed.FromString(records[0].record.value)
        assert (failed.reason, failed.attempts) == (trainer_pb2.TRAINING_FAILURE_BAD_PLAN, 1)
        run = platform.ask("GET", f"/v1/runs/{failed.run_id}")
        assert (run["state"], run["failure"]) == ("failed", "bad-plan")
        log.close()
    finally:
        platform.client.close()
        platform.service.drain()
    assert not any(thread.is_alive() for thread in platform.service.threads)
