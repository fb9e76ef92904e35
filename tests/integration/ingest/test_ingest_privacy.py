"""A site's profile, reports of what was changed, two people for a release, and withdrawal by who it is about; all from outside."""

import io
import json

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from radloop.auth import Role
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.errors import Invalid, PermanentError
from radloop.testing.databases import ONE_ENGINE

pytestmark = [pytest.mark.integration]


@pytest.fixture
def profile(environment, monkeypatch):
    """Write the site's profile file; the next start reads it."""
    file = environment / "profile.json"
    monkeypatch.setenv("INGEST_PROFILE_FILE", str(file))

    def write(**choices) -> None:
        file.write_text(json.dumps({"name": "research", "version": 1, **choices}))

    write()
    return write


def send(site, send_to, *instances) -> list[int]:
    return [answer.Status for answer in send_to(site.port, instances)]


def uploaded(site, file_of, *instances) -> dict:
    files = [("file", (f"{number}.dcm", file_of(ds))) for number, ds in enumerate(instances)]
    return site.http.post("/v1/uploads", files=files).json()


def audited(site) -> set[tuple[str, str]]:
    return {(action, target) for action, target in site.rows("SELECT action, target FROM audit")}


def test_a_profile_is_obeyed_and_reported(profile, start, send_to, slice_of):
    profile(
        dates="full",
        retain=["institution-identity"],
        safe_private={"standard": True},
        allowed_values={"SeriesDescription": ["CANARY SERIES"]},
    )
    site = start()
    site.configure()
    ds = slice_of(0)
    ds.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
    ds.add_new(0x0019100C, "IS", "700")
    ds.add_new(0x00191001, "LO", "CANARY PRIVATE")
    assert send(site, send_to, ds, slice_of(1), slice_of(2, SeriesDescription="CANARY^JANE")) == [0, 0, 0]
    site.settle()
    stored = [pydicom.dcmread(io.BytesIO(data)) for key, data in site.stored().items() if key.endswith(".dcm")]
    assert {str(one.InstitutionName) for one in stored} == {"CANARY HOSPITAL"}
    assert {str(one.StudyDate) for one in stored} == {"20200131"}
    assert sorted(str(one.get("SeriesDescription", "")) for one in stored) == ["", "CANARY SERIES", "CANARY SERIES"]
    assert [one[0x0019100C].value for one in stored if 0x0019100C in one] == [700]

    ((study_key,),) = site.rows("SELECT study_key FROM studies")
    answer = site.http.get(f"/v1/studies/{study_key}/deidentification")
    found = answer.json()
    assert "CANARY" not in answer.text and "20200131" not in answer.text
    (applied,) = found["profiles"]
    assert applied["profile"] == "radloop profile 1, research 1"
    assert applied["codes"] == ["113100", "113105", "113106", "113111", "113112"]
    assert (found["instances"], applied["instances"], found["without_report"]) == (3, 3, 0)
    assert {"attribute": "0008103E", "instances": 1, "keyword": "SeriesDescription"} in applied["actions"]["remove"]
    assert {"attribute": "0019xxxx", "instances": 1, "keyword": ""} in applied["actions"]["remove"]
    kept = applied["actions"]["private-kept"]
    assert kept == [{"attribute": "(0019,xx0C) SIEMENS MR HEADER IS", "instances": 1, "keyword": ""}]
    assert ("view-deidentification", study_key) in audited(site)
    auditor = site.client(Role.AUDITOR)
    assert auditor.get(f"/v1/studies/{study_key}/deidentification").status_code == 200
    assert auditor.get("/v1/studies/2.25.1/deidentification").status_code == 404


@ONE_ENGINE
def test_a_profile_that_changes_needs_a_new_version(profile, start):
    start()
    profile(dates="none")
    with pytest.raises(PermanentError, match="site-profile-changed"):
        start()
    profile(version=2, dates="none")
    start()
    profile(name="?")
    with pytest.raises(Invalid, match="profile-invalid"):
        start()


def structured_report(slice_of) -> Dataset:
    said = Dataset()
    said.ValueType, said.TextValue = "TEXT", "CANARY is ill"
    changes = {"PixelData": None, "Modality": "SR", "SOPClassUID": BasicTextSRStorage, "ContentSequence": [said]}
    return slice_of(9, SeriesInstanceUID="1.2.826.4242.9", **changes)


def test_a_report_is_refused_by_name_unless_allowed(site, file_of, slice_of):
    assert uploaded(site, file_of, structured_report(slice_of))["rejected"] == [{"reason": "no-pixel-data", "count": 1}]
    (row,) = site.http.get("/v1/rejections").json()["rejections"]
    assert "Basic Text SR Storage" in row["detail"] and "structured-reports" in row["detail"]


def test_a_report_let_in_is_kept_with_its_study(profile, start, file_of, slice_of):
    profile(documents=["structured-reports"])
    site = start()
    site.configure()
    images = [slice_of(number) for number in range(3)]
    assert uploaded(site, file_of, *images, structured_report(slice_of))["stored"] == 4
    site.settle()
    ((case,),) = site.rows("SELECT count(*) FROM cases")
    assert case == 1
    ((study, series, sop),) = site.rows(
        "SELECT study_key, series_key, sop_key FROM instances ORDER BY generation DESC LIMIT 1"
    )
    path = f"/dicom-web/studies/{study}/series/{series}/instances/{sop}"
    (metadata,) = site.http.get(f"{path}/metadata").json()
    assert metadata["0040A730"]["Value"][0]["0040A160"]["Value"] == ["ANONYMIZED"] and "7FE00010" not in metadata
    assert site.http.get(f"{path}/frames/1").status_code == 404
    assert site.http.get(f"{path}/rendered").status_code == 404
    answer = site.http.get(path)
    assert answer.status_code == 200 and b"CANARY" not in answer.content


def test_two_people_release(start, monkeypatch, send_to, slice_of):
    monkeypatch.setenv("INGEST_RELEASE_PERSONS", "2")
    site = start()
    site.configure()
    send(site, send_to, slice_of(0, BurnedInAnnotation="YES"))
    (held,) = site.http.get("/v1/quarantine").json()["quarantine"]
    assert held["proposed_by"] == ""
    path = f"/v1/quarantine/{held['id']}/release"
    anna, ben = (site.client(Role.SITE_ADMIN, subject=name) for name in ("anna", "ben"))
    first = anna.post(path)
    assert first.json() == {"study_key": held["study_key"], "released": False, "waits_for": "second-person"}
    assert site.status["instances"] == 0
    again = anna.post(path)
    assert (again.status_code, again.json()["error"]) == (409, "second-person-needed")
    assert "ask a colleague" in again.json()["do"]
    (row,) = site.http.get("/v1/quarantine").json()["quarantine"]
    assert row["proposed_by"] == "anna" and row["proposed_at"] > 0
    assert ben.post(path).json() == {"study_key": held["study_key"], "released": True, "waits_for": None}
    assert site.status["instances"] == 1 and site.status["held"] == 0
    entries = site.rows("SELECT subject, action, target FROM audit WHERE action IN ('propose-release', 'release')")
    assert set(entries) == {("anna", "propose-release", held["id"]), ("ben", "release", held["id"])}
    assert ben.post(path).status_code == 404
    report = site.http.get(f"/v1/studies/{held['study_key']}/deidentification").json()
    assert report["held"] == [{"reason": "burned-in-text", "released": True, "instances": 1}]
    assert report["profiles"][0]["instances"] == 1


# Withdrawal


def study_of(slice_of, number: int, **changes) -> list[Dataset]:
    root = f"1.2.826.77.{number}"
    return [
        slice_of(
            index,
            StudyInstanceUID=root,
            SeriesInstanceUID=f"{root}.1",
            SOPInstanceUID=f"{root}.1.{index}",
            PixelData=np.full(24, number * 10 + index, dtype="<u2").tobytes(),
            AccessionNumber=f"ACC-{number}",
            **changes,
        )
        for index in range(3)
    ]


@pytest.fixture
def three(site, send_to, slice_of):
    """Two studies of one patient and one of another."""
    site.configure()
    for number, patient in ((1, "PAT-A"), (2, "PAT-A"), (3, "PAT-B")):
        send(site, send_to, *study_of(slice_of, number, PatientID=patient))
    site.settle()


def withdraw(site, **body) -> dict:
    answer = site.http.post("/v1/withdraw", json={"reason": "consent", **body})
    assert answer.status_code == 200, answer.text
    assert "PAT-A" not in answer.text and "ACC-" not in answer.text
    return answer.json()


def test_all_studies_of_a_patient(site, three, send_to, slice_of, caplog):
    found = withdraw(site, patient_id="PAT-A", dry_run=True)
    assert [(s["series"], s["instances"], s["cases"], s["projects"]) for s in found["studies"]] == [
        (1, 3, 1, ["p"])
    ] * 2
    assert site.status["withdrawn"] == 0 and not found["refused_from_now_on"]
    keys = {study["study_key"] for study in found["studies"]}
    assert {("look-for-withdrawal", key) for key in keys} <= audited(site)
    done = withdraw(site, patient_id="PAT-A", refuse_future=True)
    assert done["refused_from_now_on"] and {study["study_key"] for study in done["studies"]} == keys
    assert {event.study_key for event in site.said("study-withdrawn")} == keys
    site.until(lambda: not [key for key in site.stored() if key.split("/")[1] in keys])
    assert site.status["studies"] == {"ingested": 1}
    # Of this patient nothing comes in any more; of others, all.
    assert send(site, send_to, *study_of(slice_of, 4, PatientID="PAT-A")) == [0x0124] * 3
    assert send(site, send_to, *study_of(slice_of, 5, PatientID="PAT-B")) == [0] * 3
    assert "PAT-A" not in caplog.text
    # They change their mind.
    assert site.http.post("/v1/patients/admit", json={"patient_id": "PAT-A"}).status_code == 200
    assert site.http.post("/v1/patients/admit", json={"patient_id": "PAT-A"}).status_code == 404
    assert send(site, send_to, *study_of(slice_of, 4, PatientID="PAT-A")) == [0] * 3
    assert send(site, send_to, *study_of(slice_of, 1, PatientID="PAT-A")) == [0x0124] * 3
    assert {"refuse-patient", "admit-patient"} <= {action for action, _ in audited(site)}
    assert not [target for _, target in audited(site) if "PAT-A" in target]


def test_a_patient_stays_refused_after_the_key_was_rotated(site, three, send_to, slice_of):
    withdraw(site, patient_id="PAT-A", refuse_future=True)
    assert site.http.post("/v1/keys/rotate").status_code == 200
    assert send(site, send_to, *study_of(slice_of, 4, PatientID="PAT-A")) == [0x0124] * 3
    (first, _) = site.http.get("/v1/keys").json()["versions"]
    assert first["needed_by"]["refused patients"] == 1


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"accession_number": "ACC-2"}, 1),
        ({"accession_number": "ACC-2", "patient_id": "PAT-A"}, 1),
        ({"accession_number": "ACC-3", "patient_id": "PAT-A"}, 0),
        ({"patient_id": "PAT-A", "issuer": "HOSP"}, 0),
        ({"patient_id": "PAT-C"}, 0),
    ],
)
@ONE_ENGINE
def test_who_is_found(site, three, body, count):
    found = withdraw(site, dry_run=True, **body)
    assert len(found["studies"]) == count
    assert found["other_issuers"] == (2 if body.get("issuer") else 0)


@ONE_ENGINE
def test_a_dry_run_of_one_study(site, three):
    found = withdraw(site, study_instance_uid="1.2.826.77.1", dry_run=True)
    assert found["before"] == "received" and found["studies"][0]["instances"] == 3
    assert withdraw(site, study_instance_uid="1.2.826.99", dry_run=True)["before"] == "unknown"
    assert site.status["withdrawn"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"study_key": "2.25.1", "patient_id": "PAT-A"},
        {"study_key": "2.25.1", "study_instance_uid": "1.2"},
        {"study_key": "2.25.1", "refuse_future": True},
        {"accession_number": "A", "refuse_future": True},
    ],
)
@ONE_ENGINE
def test_withdrawals_that_are_unclear(site, body):
    answer = site.http.post("/v1/withdraw", json={"reason": "consent", **body})
    assert (answer.status_code, answer.json()["error"]) == (422, "withdrawal-unclear")


@ONE_ENGINE
def test_proof_of_a_withdrawal(site, three):
    ((key,),) = site.rows("SELECT study_key FROM studies ORDER BY received_at LIMIT 1")
    left = site.http.get(f"/v1/studies/{key}/remains").json()
    assert (
        left["rows"] == {"cases": 1, "instances": 3, "originals": 3, "series": 1, "studies": 1} and not left["forgets"]
    )
    assert left["objects"] == 5
    assert site.http.get(f"/v1/withdrawn/{key}/proof").json()["error"] == "not-withdrawn"
    withdraw(site, study_key=key)
    site.until(lambda: not [name for name in site.stored() if name.split("/")[1] == key])
    site.said("study-withdrawn")
    site.until(lambda: site.rows("SELECT count(*) FROM tombstones WHERE NOT empty") == [(0,)])
    found = site.http.get(f"/v1/withdrawn/{key}/proof").json()
    assert found["nothing_left"] and found["emptied"] and found["reason"] == "consent"
    assert found["remains"]["rows"] == {} and found["remains"]["objects"] == 0
    assert [one["table"] for one in found["remains"]["kept"]] == ["tombstones"]
    assert any("Backups" in line for line in found["not_seen_here"])
    assert {("view-proof", key), ("view-remains", key)} <= audited(site)


def test_retention_lists_and_then_withdraws(start, environment, monkeypatch, send_to, slice_of):
    file = environment / "retention.json"
    monkeypatch.setenv("INGEST_RETENTION_FILE", str(file))
    monkeypatch.setenv("INGEST_RETENTION_INTERVAL_S", "0.1")
    rules = {"projects": {"p": {"unlabelled_days": 0}}, "notice_days": 0}
    file.write_text(json.dumps(rules))
    site = start()
    site.configure()
    for number in (1, 2, 3):
        send(site, send_to, *study_of(slice_of, number, PatientID=f"PAT-{number}"))
    site.settle()
    cases = dict(site.rows("SELECT study_key, case_id FROM cases"))
    labelled, flagged, forgotten = cases
    label = {"case_id": cases[labelled], "study_key": labelled, "project_id": "p", "label_version_id": "l"}
    mask = references_pb2.ObjectRef(key="labeling/l.nii", digest="sha256:0", size_bytes=1)
    site.hear("label-approved", qa_pb2.LabelApproved(**label, mask=mask))
    site.hear("edge-case-flagged", edge_miner_pb2.EdgeCaseFlagged(case_id=cases[flagged], study_key=flagged))

    def due() -> list[dict]:
        return site.http.get("/v1/retention").json()["due"]

    site.until(lambda: [one["study_key"] for one in due()] == [forgotten])
    site.until(lambda: due()[0]["noticed_at"] is not None)
    assert due()[0]["goes_at"] is None and site.status["withdrawn"] == 0  # listed, and nothing more
    site.service.drain()

    file.write_text(json.dumps(rules | {"act": True}))
    site = start()
    site.until(lambda: site.status["withdrawn"] == 1)
    (event,) = site.said("study-withdrawn")
    assert (event.study_key, event.reason) == (forgotten, ingest_pb2.WITHDRAW_REASON_RETENTION)
    assert ("withdraw", forgotten) in audited(site)
    assert {key for (key,) in site.rows("SELECT study_key FROM studies")} == {labelled, flagged}
