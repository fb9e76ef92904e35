"""A control plane with its real parts, and everybody else as events in its log."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from control_plane.app import build
from control_plane.settings import ControlPlaneSettings
from radloop.auth import Role
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.messages import Envelope, Record
from radloop.settings import SharedSettings
from radloop.testing.databases import ENGINES
from radloop.wire import event_option

ROOT = Path(__file__).resolve().parents[3]
BODY = json.loads((ROOT / "docs/examples/project.json").read_text())
SPLIT = references_pb2.Split.Value
ARM = references_pb2.Arm.Value
PROJECT = "hippocampus"
ADMIN = "root"


def digest(name: str) -> str:
    return "sha256:" + name.encode().hex().ljust(64, "0")


class Platform:
    """A control plane whose loops are turned by hand, and everybody else as records in its event log."""

    def __init__(self, folder: Path, database_url: str) -> None:
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder / 'events.db'}",
            database_url=database_url,
            objects_url=f"file:///{folder / 'objects'}",
            auth_url=f"token:{folder / 'secret'}",
            work_dir=folder / "work",
        )
        self.service = build(ControlPlaneSettings(shared=shared))
        self.client = TestClient(self.service.http, raise_server_exceptions=True)
        self.said_by_others = 0

    def token(self, subject: str, **roles: list[Role]) -> dict[str, str]:
        authenticator = self.service.http.state.authenticator
        every = {("*" if name == "everywhere" else name): names for name, names in roles.items()}
        return {"Authorization": f"Bearer {authenticator.issue(subject, every, lifetime_s=600)}"}

    @property
    def admin(self) -> dict[str, str]:
        return self.token(ADMIN, everywhere=[Role.SITE_ADMIN])

    def put(self, body: dict, headers: dict[str, str] | None = None, project: str = PROJECT):
        return self.client.put(f"/v1/projects/{project}", json=body, headers=headers or self.admin)

    def get(self, path: str, headers: dict[str, str] | None = None, status: int = 200):
        answer = self.client.get(path, headers=headers or self.admin)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, body: dict | None = None, headers: dict[str, str] | None = None):
        return self.client.post(path, json=body, headers=headers or self.admin)

    def hear(self, *events, service: str = "somebody", site: str = "site-1") -> None:
        records = []
        for event in events:
            option = event_option(type(event))
            key = getattr(event, option.key)
            envelope = Envelope.new(option.topic, source=f"/{site}/{service}", subject=key)
            records.append(Record(option.topic, key, event.SerializeToString(), envelope.headers()))
        self.service.event_log.append(records)
        while self.service.consumer.step(timeout_s=0):
            pass
        assert not [topic for topic in self.service.event_log.topics() if topic.endswith(".dlq")]

    def said(self, topic: str) -> list[Record]:
        while self.service.relay.step():
            pass
        return [stored.record for stored in self.service.event_log.read(topic, {}, 1000)]

    def picture(self) -> dict:
        """Everything a person can read of the catalogue."""
        paths = [f"/v1/projects/{PROJECT}/{view}" for view in ("counts", "curve")]
        paths += ["/v1/datasets", f"/v1/datasets/{digest('d1')}", "/v1/models", f"/v1/models/{digest('m1')}"]
        return {path: self.get(path) for path in [*paths, "/v1/withdrawals"]}

    def close(self) -> None:
        self.client.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()


# Events of a small history.


def study(number: int, split: str = "TRAIN", patient: str | None = None, revision: int = 1):
    return ingest_pb2.StudyIngested(
        study_key=f"study-{number}",
        site="site-1",
        project_id=PROJECT,
        project_version=1,
        revision=revision,
        patient_key=patient or f"patient-{number}",
        split=SPLIT(f"SPLIT_{split}"),
        cases=[ingest_pb2.Case(case_id=f"case-{number}")],
    )


def approved(number: int, arm: str = "UNSPECIFIED", round_id: str = "", dice: float | None = None, sequence: int = 1):
    scores = [] if dice is None else [("dice-segment-1", dice - 0.02), ("dice-segment-2", dice + 0.02)]
    return qa_pb2.LabelApproved(
        review_id=f"review-{number}-{sequence}",
        label_version_id=f"label-{number}-{sequence}",
        case_id=f"case-{number}",
        study_key=f"study-{number}",
        project_id=PROJECT,
        project_version=1,
        mask=references_pb2.ObjectRef(key=f"labeling/study-{number}/x.nii", digest=digest("mask"), size_bytes=1),
        source="LABEL_SOURCE_READER" if round_id else "LABEL_SOURCE_IMPORT",
        prediction_dice=[references_pb2.Score(name=name, value=value) for name, value in scores],
        round_id=round_id,
        arm=ARM(f"ARM_{arm}"),
        sequence=sequence,
    )


def flagged(number: int, arm: str, round_id: str = "round-1", round_number: int = 1):
    return edge_miner_pb2.EdgeCaseFlagged(
        round_id=round_id,
        round_number=round_number,
        case_id=f"case-{number}",
        study_key=f"study-{number}",
        project_id=PROJECT,
        arm=ARM(f"ARM_{arm}"),
        pool_size=40,
        batch_size=4,
        model_digest=digest("m1"),
    )


def started(run: int, *numbers: int, request_id: str = ""):
    return trainer_pb2.TrainingStarted(
        run_id=f"run-{run}",
        project_id=PROJECT,
        dataset_version=digest(f"d{run}"),
        plan_digest=digest(f"p{run}"),
        run_number=run,
        request_id=request_id,
        items=[
            trainer_pb2.DatasetItem(
                case_id=f"case-{number}",
                study_key=f"study-{number}",
                image_digest=digest("image"),
                label_version_id=f"label-{number}-1",
                label_digest=digest("label"),
                weight=1.0,
                split=SPLIT("SPLIT_TRAIN"),
            )
            for number in numbers
        ],
    )


def waiting(run: int, sequence: int, waits_for: str = "MACHINE", scheduler_said: str = ""):
    return trainer_pb2.TrainingWaiting(
        run_id=f"run-{run}",
        project_id=PROJECT,
        run_number=run,
        waits_for=trainer_pb2.TrainingWait.Value(f"TRAINING_WAIT_{waits_for}"),
        scheduler_said=scheduler_said,
        since_s=1_700_000_000,
        sequence=sequence,
    )


def dice(number: int, first: float, second: float, patient: str | None = None):
    name = patient or f"patient-{number}"
    return [
        references_pb2.CaseDice(case_id=f"case-{number}", patient_key=name, segment=segment, dice=value)
        for segment, value in ((1, first), (2, second))
    ]


def trained(run: int, test: list | None = None, serving: str = ""):
    return trainer_pb2.ModelTrained(
        model_name="hippocampus",
        model_digest=digest(f"m{run}"),
        project_id=PROJECT,
        run_id=f"run-{run}",
        run_number=run,
        dataset_version=digest(f"d{run}"),
        plan_digest=digest(f"p{run}"),
        bundle=references_pb2.ObjectRef(key=f"trainer/{PROJECT}/m{run}.zip", digest=digest(f"m{run}"), size_bytes=10),
        train_patient_count=2,
        test_dice=test or [],
        comparison=trainer_pb2.Comparison(serving_digest=serving, patient_count=3, passes=True),
        duration_s=12.5,
    )


def deployed(sequence: int, serving: str, candidate: str, outcome: str = "SERVING", previous: str = "", wish: int = 0):
    name = candidate and references_pb2.ObjectRef(key=f"x/{candidate}.zip", digest=digest(candidate), size_bytes=10)
    return inference_pb2.ModelDeployed(
        model_name="hippocampus",
        project_id=PROJECT,
        serving_digest=digest(serving) if serving else "",
        candidate_digest=digest(candidate) if candidate else "",
        outcome=inference_pb2.Deployment.Value(f"DEPLOYMENT_{outcome}"),
        sequence=sequence,
        previous_digest=digest(previous) if previous else "",
        candidate_bundle=name or None,
        wish_sequence=wish,
    )


def withdrawn(number: int):
    return ingest_pb2.StudyWithdrawn(study_key=f"study-{number}", reason="WITHDRAW_REASON_CONSENT", site="site-1")


def everything_about_one_study():
    prediction = inference_pb2.PredictionMade(
        prediction_id="p1", case_id="case-1", study_key="study-1", project_id=PROJECT, model_digest=digest("m0")
    )
    return [
        study(1),
        prediction,
        flagged(1, "MINED"),
        approved(1, "MINED", "round-1", 0.5),
        started(1, 1, 2),
        waiting(1, 1),
        trained(1, dice(1, 0.5, 0.5) + dice(2, 0.9, 0.9)),
        trained(2, serving=digest("m1")),
        withdrawn(1),
    ]


@pytest.fixture(params=ENGINES)
def make_platform(request, tmp_path, make_database):
    """Make control planes in folders of their own; all are closed at the end."""
    made = []

    def make(name: str = "platform") -> Platform:
        made.append(Platform(tmp_path / name, make_database(request.param)))
        return made[-1]

    yield make
    for platform in made:
        platform.close()


@pytest.fixture
def platform(make_platform):
    return make_platform()


@pytest.fixture
def body():
    """A whole project; each test gets its own copy."""
    return copy.deepcopy(BODY)


@pytest.fixture
def project(platform, body):
    """A platform with the project already put."""
    assert platform.put(body).status_code == 200
    return platform


@pytest.fixture
def story():
    """The events of others, by name: `story.study(1)`."""
    builders = (
        digest,
        study,
        approved,
        flagged,
        started,
        dice,
        trained,
        deployed,
        withdrawn,
        waiting,
        everything_about_one_study,
    )
    return SimpleNamespace(**{build.__name__: build for build in builders})
