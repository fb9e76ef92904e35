"""Every endpoint of `qa` with every role and with none, held against a table written by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from qa.app import build
from qa.settings import QaSettings
from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.imaging import Volume, write_nifti
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.settings import SharedSettings
from radloop.testing.access import EVERYBODY, OVERSEERS, endpoints, in_project, of_oneself, of_site, wrong_answers
from radloop.wire import event_option

pytestmark = pytest.mark.integration

V, L, S, A = Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR
ASKED = {"params": {"project_id": "p"}}

TABLE = {
    ("GET", "/v1/reviews"): in_project(*OVERSEERS, **ASKED),
    ("GET", "/v1/reviews/{review_id}"): in_project(*OVERSEERS),
    ("GET", "/v1/reviews/{review_id}/agreement"): in_project(*OVERSEERS),
    ("POST", "/v1/reviews/{review_id}/return"): in_project(V, L, json={"comment": "again"}),
    ("POST", "/v1/reviews/{review_id}/approve"): in_project(V, L, json={}),
    # Somebody else's label: its reader would see what became of it.
    ("GET", "/v1/labels/{label_version_id}"): in_project(*OVERSEERS),
    ("GET", "/v1/readers"): in_project(*EVERYBODY, **ASKED),  # a reader gets the own row
    # Who reads must not learn which cases are gold; an auditor has the trail.
    ("GET", "/v1/gold"): in_project(V, L, S, **ASKED),
    ("PUT", "/v1/gold/{case_id}"): in_project(L, S, json={"label_version_id": "label-1"}),
    ("DELETE", "/v1/gold/{case_id}"): in_project(L, S),
    ("GET", "/v1/status"): of_oneself(),  # counts
    ("GET", "/v1/audit"): of_site(S, A),
    ("GET", "/v1/studies/{study_key}/remains"): of_site(S, A),
}


class Qa:
    """A `qa` with one review that waits for a second reading in project p."""

    def __init__(self, folder: Path) -> None:
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder}/events.db",
            database_url=f"sqlite:///{folder}/state",
            objects_url=f"file://{folder}/objects",
            auth_url=f"token:{folder}/secret",
            work_dir=folder / "work",
        )
        self.service = build(QaSettings(shared=shared))
        self.http = TestClient(self.service.http, raise_server_exceptions=False)
        label = np.zeros((8, 8, 8), np.uint8)
        label[2:6, 2:6, 2:6] = 1
        ref = open_objects(shared.objects_url).put("labeling/s/mask.nii", write_nifti(Volume(label, np.eye(4))))
        self._hear(
            control_plane_pb2.ProjectConfigured(
                project_id="p",
                project_version=1,
                segments=[control_plane_pb2.Segment(value=1, always_present=True)],
                reading=control_plane_pb2.ReadingPolicy(second_reading_share=1.0, agreement_threshold=0.8),
            ),
            ingest_pb2.StudyIngested(
                study_key="s",
                project_id="p",
                split=references_pb2.SPLIT_TRAIN,
                cases=[ingest_pb2.Case(case_id="c", shape=label.shape, affine_lps=np.eye(4).ravel())],
            ),
            labeling_pb2.LabelSubmitted(
                label_version_id="label-1",
                task_id="task-1",
                case_id="c",
                study_key="s",
                project_id="p",
                project_version=1,
                reader="reader-a",
                source="LABEL_SOURCE_READER",
                reading="READING_FIRST",
                mask=references_pb2.ObjectRef(key=ref.key, digest=ref.digest, size_bytes=ref.size_bytes),
                segments=[references_pb2.SegmentStatus(value=1, state="SEGMENT_STATE_ANNOTATED")],
                attempt=1,
            ),
        )

    def _hear(self, *events) -> None:
        records = []
        for event in events:
            option = event_option(type(event))
            key = getattr(event, option.key)
            envelope = Envelope.new(option.topic, source="/site-1/somebody", subject=key)
            records.append(Record(option.topic, key, event.SerializeToString(), envelope.headers()))
        self.service.event_log.append(records)
        while self.service.consumer.step(timeout_s=0) or self.service.workers[0].step():
            pass

    def ask(self, method, path, roles, request):
        issue = self.service.http.state.authenticator.issue
        token = {} if roles is None else {"Authorization": f"Bearer {issue('zoe', roles, lifetime_s=600)}"}
        return self.http.request(method, path, headers=token, **request)

    def close(self) -> None:
        self.http.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()


@pytest.fixture
def qa(tmp_path):
    made = Qa(tmp_path)
    yield made
    made.close()


def test_the_table_has_every_endpoint(qa) -> None:
    assert endpoints(qa.http.get("/openapi.json").json()) == TABLE.keys()


def test_who_may(qa) -> None:
    (review,) = qa.ask("GET", "/v1/reviews", {"p": (V,)}, ASKED).json()["reviews"]
    ids = {"review_id": review["review_id"], "label_version_id": "label-1", "case_id": "c", "study_key": "s"}
    assert wrong_answers(TABLE, ids, qa.ask) == []
    assert json.loads(qa.ask("GET", "/v1/readers", {"p": (Role.READER,)}, ASKED).text) == {"readers": []}


@pytest.mark.parametrize("path", ["/v1/reviews", "/v1/readers", "/v1/gold"])
def test_a_project_nobody_has_heard_of(qa, path) -> None:
    for roles, status in (({"*": (S,)}, 404), ({"p": (S,)}, 403)):
        assert qa.ask("GET", path, roles, {"params": {"project_id": "x" * 400}}).status_code == status


def test_looks_and_decisions_are_in_the_audit_trail(qa) -> None:
    (review,) = qa.ask("GET", "/v1/reviews", {"p": (V,)}, ASKED).json()["reviews"]
    for path in (f"/v1/reviews/{review['review_id']}", "/v1/labels/label-1"):
        assert qa.ask("GET", path, {"p": (V,)}, {}).status_code == 200
        assert qa.ask("GET", path, {"q": (V,)}, {}).status_code == 403  # has seen nothing
    qa.ask("GET", "/v1/readers", {"p": (V,)}, ASKED)
    qa.ask("POST", f"/v1/reviews/{review['review_id']}/return", {"p": (V,)}, {"json": {}})
    found = qa.ask("GET", "/v1/audit", {"*": (A,)}, {}).json()["entries"]
    assert {entry["subject"] for entry in found} == {"zoe"}
    assert [(entry["action"], entry["target"]) for entry in found] == [
        ("reviews-listed", "p"),
        ("review-viewed", review["review_id"]),
        ("outcome-viewed", "label-1"),
        ("scores-viewed", "p"),
        ("return-label", "label-1"),
    ]
