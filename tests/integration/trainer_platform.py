"""A `trainer` with its real parts, on a folder; the other services are records in its log. Its loops are turned by hand."""

import itertools
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
from radloop.settings import SharedSettings
from radloop.wire import event_option
from trainer.app import build
from trainer.settings import TrainerSettings

PROJECT = "hippocampus"
SHAPE = (16, 18, 16)
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
LIMIT_S = 100.0
"""How long a condition is waited for; importing torch alone takes seconds on a busy core."""
SAID = {
    "training-started": trainer_pb2.TrainingStarted,
    "model-trained": trainer_pb2.ModelTrained,
    "training-failed": trainer_pb2.TrainingFailed,
    "training-waiting": trainer_pb2.TrainingWaiting,
}


class Platform:
    """A `trainer` on a folder."""

    def __init__(
        self, folder: Path, database_url: str, objects_url: str, jobs_url: str = "process:", **own: Any
    ) -> None:
        self.folder = folder
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder / 'events.db'}",
            database_url=database_url,
            objects_url=objects_url,
            auth_url=f"token:{folder / 'secret'}",
            work_dir=folder / "work",
            jobs_url=jobs_url,
        )
        self.settings = TrainerSettings(shared=shared, batch_size=1, epoch_steps=2, look_interval_s=0.05, **own)
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
