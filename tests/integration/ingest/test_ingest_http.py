"""The HTTP door: uploads, folders, roles, quarantine, resolving, splits."""

import io
import json
import tempfile
import zipfile

import pytest
from fastapi.testclient import TestClient

from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.testing.databases import ONE_ENGINE

pytestmark = pytest.mark.integration


def test_quarantine_and_release(site, send, slice_of):
    site.configure()
    answers = send([slice_of(n, BurnedInAnnotation="YES" if n == 1 else "NO") for n in range(3)])
    assert {answer.Status for answer in answers} == {0x0000}
    site.settle()
    assert {one.reason for one in site.said("study-rejected")} == {
        ingest_pb2.REJECT_REASON_BURNED_IN_TEXT,
        # 0 and 3 mm alone are evenly spaced, so what came formed a case of two slices.
    }
    (held,) = site.http.get("/v1/quarantine").json()["quarantine"]
    assert site.client(Role.READER).post(f"/v1/quarantine/{held['id']}/release").status_code == 403
    assert site.http.post(f"/v1/quarantine/{held['id']}/release").status_code == 200
    assert site.http.post(f"/v1/quarantine/{held['id']}/release").status_code == 404
    assert site.status["held"] == 0 and site.status["instances"] == 3


def test_uploads_are_never_spooled(site, monkeypatch, slice_of, file_of):
    def refuse(*_arguments, **_keywords):
        raise AssertionError("an upload was about to be written to a disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    large = file_of(slice_of(0, Rows=1024, Columns=1024, PixelData=bytes(2 << 20)))
    answer = site.http.post("/v1/uploads", files={"file": large})
    assert answer.json()["stored"] == 1


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


UPLOADS = {
    "one file": (lambda slice_of, file_of: file_of(slice_of(0)), 200, {"received": 1, "stored": 1, "rejected": []}),
    "zip": (
        lambda slice_of, file_of: zipped(
            ("a/1.dcm", file_of(slice_of(0))),
            ("a/2.dcm", file_of(slice_of(1))),
            ("a/2 again.dcm", file_of(slice_of(1))),
            ("a/notes.txt", b"hello"),
            ("DICOMDIR", b"index"),
            ("__MACOSX/a/._1.dcm", b"x"),
        ),
        200,
        {"received": 4, "stored": 2, "duplicates": 1, "rejected": [{"reason": "not-dicom", "count": 1}]},
    ),
    "not DICOM": (
        lambda slice_of, file_of: b"hello",
        200,
        {"stored": 0, "rejected": [{"reason": "not-dicom", "count": 1}]},
    ),
    "damaged zip": (lambda slice_of, file_of: b"PK\x03\x04 and nothing", 422, {"error": "zip-unreadable"}),
    "held": (
        lambda slice_of, file_of: file_of(slice_of(0, BurnedInAnnotation="YES")),
        200,
        {"held": 1, "rejected": [{"reason": "burned-in-text", "count": 1}]},
    ),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads(site, name, slice_of, file_of):
    make, status, expected = UPLOADS[name]
    answer = site.http.post("/v1/uploads", files={"file": make(slice_of, file_of)})
    assert answer.status_code == status
    assert answer.json() | expected == answer.json()


@ONE_ENGINE
@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ({"data": {"other": "1"}}, 422, "upload-unreadable"),
        ({"files": {"other": b"x"}}, 422, "upload-empty"),
        ({"json": {"folder": "/no/such/folder"}}, 422, "folder-missing"),
        ({"json": {"path": "/"}}, 422, "request-invalid"),
    ],
)
def test_uploads_that_are_none(site, arguments, status, code):
    answer = site.http.post("/v1/uploads", **arguments)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_upload_that_is_too_large(start, monkeypatch):
    monkeypatch.setenv("INGEST_LARGEST_UPLOAD_BYTES", "1000")
    answer = start().http.post("/v1/uploads", files={"file": bytes(2000)})
    assert (answer.status_code, answer.json()["error"]) == (422, "upload-too-large")


def test_folder_is_for_site_administrators_on_this_machine(site, tmp_path, slice_of, file_of):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(file_of(slice_of(0)))
    body = {"folder": str(folder)}
    assert site.client(Role.PROJECT_LEAD).post("/v1/uploads", json=body).json()["error"] == "forbidden"
    afar = TestClient(site.service.http, client=("192.0.2.1", 1), headers=dict(site.http.headers))
    assert afar.post("/v1/uploads", json=body).json()["error"] == "folder-from-afar"
    assert site.http.post("/v1/uploads", json=body).json()["stored"] == 1


def test_resolve_split_and_members(site, send, slice_of):
    site.configure(members=[cp.Member(subject="lead", role=cp.ROLE_PROJECT_LEAD)])
    lead = site.client(Role.READER, project_id="elsewhere", subject="lead")
    patients = [{"patient_id": "CANARY-ID", "split": "validation"}, {"patient_id": "other", "split": "test"}]
    assert lead.put("/v1/projects/p/split", json={"patients": patients}).json() == {"patients": 2}
    assert lead.put("/v1/projects/q/split", json={"patients": patients}).status_code == 403
    send([slice_of(n) for n in range(3)])
    site.settle()
    body = {"project_id": "p", "series": ["1.2.826.4242.1", "1.2.3"]}
    answer = lead.post("/v1/cases/resolve", json=body).json()
    (case,) = answer["cases"]
    (said,) = site.said("study-ingested")
    assert answer["unknown"] == ["1.2.3"]
    assert (case["series"], case["split"], case["phase"]) == ("1.2.826.4242.1", "validation", 0)
    assert (case["case_id"], case["study_key"], case["patient_key"]) == (
        said.cases[0].case_id,
        said.study_key,
        said.patient_key,
    )
    changed = [{"patient_id": "CANARY-ID", "split": "train"}]
    assert lead.put("/v1/projects/p/split", json={"patients": changed}).json()["error"] == "split-decided"
    unknown = site.http.post("/v1/cases/resolve", json={"project_id": "nope", "series": []})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "project-unknown")


@ONE_ENGINE
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/studies"),
        ("GET", "/v1/studies/2.25.1"),
        ("POST", "/v1/studies/2.25.1/identity"),
        ("POST", "/v1/studies/2.25.1/complete"),
        ("POST", "/v1/complete"),
        ("GET", "/v1/rejections"),
        ("GET", "/v1/quarantine"),
        ("POST", "/v1/quarantine/x/release"),
        ("POST", "/v1/uploads"),
        ("POST", "/v1/withdraw"),
        ("PUT", "/v1/projects/p/split"),
        ("POST", "/v1/cases/resolve"),
    ],
)
def test_who_may(site, method, path):
    body = {
        "/v1/withdraw": {"study_key": "2.25.1", "reason": "consent"},
        "/v1/projects/p/split": {"patients": []},
        "/v1/cases/resolve": {"project_id": "p", "series": []},
        "/v1/studies/2.25.1/identity": {"reason": "asked by the ward"},
    }.get(path)
    reader = site.client(Role.READER)
    assert reader.request(method, path, json=body).status_code == 403
    reader.headers.pop("Authorization")
    assert reader.request(method, path, json=body).status_code == 401


def test_identity_is_shown_to_the_administrator_and_audited(site, send, slice_of):
    send([slice_of(0)])
    (study,) = site.http.get("/v1/studies").json()["studies"]
    path = f"/v1/studies/{study['study_key']}/identity"
    assert site.http.post(path, json={"reason": " "}).json()["error"] == "reason-missing"
    answer = site.http.post(path, json={"reason": "asked by the ward"}).json()
    assert (answer["study_instance_uid"], answer["patient_id"], answer["issuer"]) == ("1.2.826.4242", "CANARY-ID", "")
    assert answer["attributes"]["PatientName"] == "CANARY^NAME"
    (noted,) = site.http.get("/v1/disclosures").json()["disclosures"]
    assert (noted["subject"], noted["target"], noted["reason"]) == ("somebody", study["study_key"], "asked by the ward")
    assert ("somebody", "re-identify", study["study_key"]) in site.rows("SELECT subject, action, target FROM audit")


@pytest.mark.parametrize("path", ["/v1/studies/2.25.1", "/v1/cases/x", "/v1/cases/x/volumes/0"])
def test_unknown(site, path):
    assert site.http.get(path).status_code == 404


def test_health(site):
    assert site.http.get("/livez").status_code == 200
    assert site.http.get("/readyz").json()["checks"] == {
        "events": True,
        "database": True,
        "dicom": True,
        "objects": True,
    }
    assert "radloop_ingest_instances_total" in site.http.get("/metrics").text
    assert "/v1/uploads" in json.dumps(site.http.get("/openapi.json").json())
