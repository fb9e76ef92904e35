"""A `qa` with its real parts, turned by hand, and the events of the others, for tests."""

import itertools
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from fastapi.testclient import TestClient

from qa.adapters.wire import WIRE
from qa.app import build
from qa.settings import QaSettings
from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.imaging import Volume, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.settings import SharedSettings
from radloop.wire import event_option

PROJECT = "hippocampus"
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (24, 30, 20)
SAID = {
    "label-approved": qa_pb2.LabelApproved,
    "label-returned": qa_pb2.LabelReturned,
    "reading-requested": qa_pb2.ReadingRequested,
}


def mask(shift: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Two touching boxes of 8 x 8 x 8 voxels, 1 and 2."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[8:16, 6:14, 6:14] = 1
    array[8:16, 14:22, 6:14] = 2
    return np.roll(array, shift, axis=(0, 1, 2))


def stray(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed[1:3, 1:3, 1:3] = 1
    return changed


class Platform:
    """A `qa` whose loops are turned by hand."""

    def __init__(self, folder: Path, database_url: str, objects_url: str, **settings: object) -> None:
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder / 'events.db'}",
            database_url=database_url,
            objects_url=objects_url,
            auth_url=f"token:{folder / 'secret'}",
            work_dir=folder / "work",
        )
        self.objects = open_objects(shared.objects_url)
        self.settings = QaSettings(shared=shared, **settings)
        self.ids = itertools.count(1)
        self.start()

    def start(self) -> None:
        self.service = build(self.settings)
        self.client = TestClient(self.service.http)

    def replay(self, forget: list[sa.Table]) -> None:
        """Empty tables and start the service anew at the beginning of every topic."""
        with self.service.database.begin() as connection:
            for table in forget:
                connection.execute(table.delete())
        for topic in WIRE.topics:
            self.service.event_log.rewind("qa", topic, {0: 0})
        self.close()
        self.start()

    def token(self, subject: str, *roles: Role) -> dict[str, str]:
        issued = self.service.http.state.authenticator.issue(subject, {PROJECT: roles}, lifetime_s=600)
        return {"Authorization": f"Bearer {issued}"}

    def stored(self, owner: str, array: np.ndarray) -> references_pb2.ObjectRef:
        ref = self.objects.put(f"{owner}/mask-{next(self.ids)}.nii", write_nifti(Volume(array, AFFINE)))
        return references_pb2.ObjectRef(key=ref.key, digest=ref.digest, size_bytes=ref.size_bytes)

    def hear(self, *events, work: bool = True) -> None:
        """Put events into the log, let the service hear them, and (unless told not to) let its worker check labels."""
        records = []
        for event in events:
            option = event_option(type(event))
            key = getattr(event, option.key)
            envelope = Envelope.new(option.topic, source="/site-1/somebody", subject=key)
            records.append(Record(option.topic, key, event.SerializeToString(), envelope.headers()))
        self.service.event_log.append(records)
        self.turn(work=work)
        assert not [topic for topic in self.service.event_log.topics() if topic.endswith(".dlq")]

    def turn(self, *, work: bool = True) -> None:
        while True:
            busy = self.service.consumer.step(timeout_s=0)
            busy = (work and self.service.workers[0].step()) or busy
            if not busy:
                break
        while self.service.relay.step():
            pass

    def said(self, topic: str) -> list:
        return [SAID[topic].FromString(stored.record.value) for stored in self.service.event_log.read(topic, {}, 1000)]

    def get(self, path: str, headers: dict[str, str], status: int = 200):
        answer = self.client.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, body: dict, headers: dict[str, str], status: int = 200):
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def close(self) -> None:
        self.client.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()


def project(share: float = 0.0, threshold: float = 0.8, version: int = 1):
    segments = [control_plane_pb2.Segment(value=value, always_present=True) for value in (1, 2)]
    return control_plane_pb2.ProjectConfigured(
        project_id=PROJECT,
        project_version=version,
        segments=segments,
        reading=control_plane_pb2.ReadingPolicy(second_reading_share=share, agreement_threshold=threshold),
        members=[control_plane_pb2.Member(subject="carla", role="ROLE_REVIEWER")],
    )


def study(case: str, split: str = "TRAIN"):
    return ingest_pb2.StudyIngested(
        study_key=f"study-{case}",
        project_id=PROJECT,
        split=references_pb2.Split.Value(f"SPLIT_{split}"),
        cases=[ingest_pb2.Case(case_id=case, shape=SHAPE, affine_lps=AFFINE.ravel())],
    )


def prediction(platform: Platform, case: str, array: np.ndarray, prediction_id: str = "", round_id: str = ""):
    return inference_pb2.PredictionMade(
        prediction_id=prediction_id or f"prediction-{case}",
        case_id=case,
        study_key=f"study-{case}",
        project_id=PROJECT,
        mask=platform.stored(f"inference/study-{case}", array),
        round_id=round_id,
    )


def label(platform: Platform, case: str, array: np.ndarray, **changed):
    values = {
        "label_version_id": f"label-{next(platform.ids)}",
        "task_id": f"task-{case}",
        "case_id": case,
        "study_key": f"study-{case}",
        "project_id": PROJECT,
        "project_version": 1,
        "reader": "reader-a",
        "source": "LABEL_SOURCE_READER",
        "reading": "READING_FIRST",
        "mask": platform.stored(f"labeling/study-{case}", array),
        "segments": [
            references_pb2.SegmentStatus(
                value=value,
                state="SEGMENT_STATE_ANNOTATED" if (array == value).any() else "SEGMENT_STATE_ABSENT",
            )
            for value in (1, 2)
        ],
        "attempt": 1,
        **changed,
    }
    return labeling_pb2.LabelSubmitted(**values)


def imported(platform: Platform, case: str, array: np.ndarray, **changed):
    return label(
        platform,
        case,
        array,
        **{
            "task_id": "",
            "reader": "",
            "source": "LABEL_SOURCE_IMPORT",
            "reading": "READING_NONE",
            **changed,
        },
    )


def reason(name: str) -> int:
    return qa_pb2.ReturnReason.Value(f"RETURN_REASON_{name}")
