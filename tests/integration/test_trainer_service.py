"""`trainer` with its real parts: event log, database, object store, HTTP, and real jobs on tiny volumes.

The others are records in the log; the service's loops are turned by hand, except where its threads are what is tested.
"""

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.imaging import Volume, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.references import ObjectRef
from radloop.settings import SharedSettings
from radloop.testing.databases import ONE_ENGINE
from radloop.wire import event_option
from trainer.adapters.wire import WIRE
from trainer.app import build
from trainer.settings import TrainerSettings

pytestmark = pytest.mark.integration

PROJECT = "hippocampus"
SHAPE = (16, 18, 16)
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
LIMIT_S = 100.0
"""How long a condition is waited for; importing torch alone takes seconds on a busy core."""
SAID = {
    "training-started": trainer_pb2.TrainingStarted,
    "model-trained": trainer_pb2.ModelTrained,
    "training-failed": trainer_pb2.TrainingFailed,
}


class Platform:
    """A `trainer` on a folder."""

    def __init__(self, folder: Path, database_url: str, objects_url: str) -> None:
        self.folder = folder
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder / 'events.db'}",
            database_url=database_url,
            objects_url=objects_url,
            auth_url=f"token:{folder / 'secret'}",
            work_dir=folder / "work",
        )
        self.settings = TrainerSettings(shared=shared, batch_size=1, epoch_steps=2, look_interval_s=0.05)
        self.objects = open_objects(shared.objects_url)
        self.sequences = itertools.count(1)
        self.open()

    def open(self) -> None:
        self.service = build(self.settings)
        self.client = TestClient(self.service.http)

    def close(self) -> None:
        self.client.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()

    def restart(self) -> None:
        """Forget everything that is not in a file."""
        self.close()
        self.open()

    def stored(self, key: str, array: np.ndarray) -> references_pb2.ObjectRef:
        ref = self.objects.put(key, write_nifti(Volume(array, AFFINE)))
        return references_pb2.ObjectRef(key=ref.key, digest=ref.digest, size_bytes=ref.size_bytes)

    def append(self, *events: Any) -> None:
        records = []
        for event in events:
            option = event_option(type(event))
            key = getattr(event, option.key)
            headers = Envelope.new(option.topic, source="/site-1/somebody", subject=key).headers()
            records.append(Record(option.topic, key, event.SerializeToString(), headers))
        self.service.event_log.append(records)

    def hear(self, *events: Any) -> None:
        """Put events into the log and turn until the service is at rest (or watches a job)."""
        self.append(*events)
        self.turn()

    def turn(self) -> None:
        busy = True
        while busy:
            busy = self.service.consumer.step(timeout_s=0)
            for worker in self.service.workers:
                busy = worker.step() or busy
        while self.service.relay.step():
            pass
        assert not [topic for topic in self.service.event_log.topics() if topic.endswith(".dlq")]

    def until(self, condition: Callable[[], Any]) -> Any:
        """Turn until a condition holds; return what it gave."""
        deadline = time.monotonic() + LIMIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline, [log.read_text()[-2000:] for log in self.folder.rglob("log.txt")]
            self.turn()
            self.service.consumer.step(timeout_s=0.1)  # waits, as the service's own thread does
        return found

    def said(self, topic: str) -> list[Any]:
        return [SAID[topic].FromString(stored.record.value) for stored in self.service.event_log.read(topic, {}, 100)]

    def job(self, run_id: str) -> Path:
        return self.folder / "work" / run_id

    def process(self, run_id: str) -> int:
        """Return the id of the job's process group."""
        return json.loads((self.job(run_id) / "process.json").read_text())["pid"]

    def token(self, *roles: Role, subject: str = "ada", project: str = PROJECT) -> dict[str, str]:
        issued = self.service.http.state.authenticator.issue(subject, {project: roles}, lifetime_s=600)
        return {"Authorization": f"Bearer {issued}"}

    def ask(self, method: str, path: str, *roles: Role, status: int = 200) -> Any:
        answer = self.client.request(method, path, headers=self.token(*roles or (Role.PROJECT_LEAD,)))
        assert answer.status_code == status, answer.text
        return answer.json()

    def study(self, number: int, split: str = "TRAIN") -> ingest_pb2.StudyIngested:
        """One case: a bright box whose halves are segments 1 and 2."""
        array = np.random.default_rng(number).normal(0, 10, SHAPE) + 100 * box(number)
        volume = self.stored(f"ingest/study-{number}/case-{number}/channel-0.nii", array.astype(np.int16))
        return ingest_pb2.StudyIngested(
            study_key=f"study-{number}",
            project_id=PROJECT,
            patient_key=f"patient-{number}",
            split=references_pb2.Split.Value(f"SPLIT_{split}"),
            cases=[ingest_pb2.Case(case_id=f"case-{number}", volumes=[volume])],
        )

    def approved(self, number: int) -> qa_pb2.LabelApproved:
        annotated = references_pb2.SEGMENT_STATE_ANNOTATED
        return qa_pb2.LabelApproved(
            label_version_id=f"label-{number}",
            case_id=f"case-{number}",
            study_key=f"study-{number}",
            project_id=PROJECT,
            mask=self.stored(f"labeling/study-{number}/label-{number}.nii", box(number)),
            segments=[references_pb2.SegmentStatus(value=value, state=annotated) for value in (1, 2)],
            sequence=next(self.sequences),
        )

    def cohort(self, train: range, validation: range = range(0), test: range = range(0)) -> list[Any]:
        parts = (("TRAIN", train), ("VALIDATION", validation), ("TEST", test))
        studies = [self.study(number, split) for split, numbers in parts for number in numbers]
        return studies + [self.approved(number) for _, numbers in parts for number in numbers]


@pytest.fixture
def platform(tmp_path: Path, database_url: str, objects_url: str) -> Iterator[Platform]:
    platform = Platform(tmp_path, database_url, objects_url)
    yield platform
    for file in tmp_path.glob("work/*/process.json"):
        end(json.loads(file.read_text())["pid"])
    platform.close()


def end(process_group: int) -> None:
    """End a job of ours that a failed test left behind."""
    try:
        os.killpg(process_group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def box(number: int) -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.uint8)
    shift = number % 3
    array[4:12, 3 + shift : 8 + shift, 4:12] = 1
    array[4:12, 8 + shift : 13 + shift, 4:12] = 2
    return array


def project(**training: Any) -> control_plane_pb2.ProjectConfigured:
    policy: dict[str, Any] = {
        "new_labels": 2,
        "min_validation_labels": 2,
        "initial_steps": 4,
        "update_steps": 2,
        "edge_case_weight": 2.0,
        "members": 1,
        "seed": 3,
        "patch": [16, 16, 16],
    }
    return control_plane_pb2.ProjectConfigured(
        project_id=PROJECT,
        project_version=1,
        model_name="hippocampus-model",
        segments=[
            control_plane_pb2.Segment(value=1, name="anterior"),
            control_plane_pb2.Segment(value=2, name="posterior"),
        ],
        training=control_plane_pb2.TrainingPolicy(**policy | training),
        promotion=control_plane_pb2.PromotionPolicy(
            mode=control_plane_pb2.PROMOTION_MODE_AUTOMATIC, margin=-0.01, segment_loss_bound=0.1
        ),
    )


def serving(trained: trainer_pb2.ModelTrained) -> inference_pb2.ModelDeployed:
    return inference_pb2.ModelDeployed(
        model_name=trained.model_name,
        project_id=PROJECT,
        serving_digest=trained.model_digest,
        candidate_digest=trained.model_digest,
        outcome=inference_pb2.DEPLOYMENT_SERVING,
        sequence=1,
        bundle=trained.bundle,
        candidate_bundle=trained.bundle,
    )


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
    assert [len(platform.said(topic)) for topic in SAID] == [2, 2, 0]

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
    assert [len(platform.said(topic)) for topic in SAID] == [1, 1, 0]


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
