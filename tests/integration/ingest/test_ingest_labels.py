"""Which case a label belongs to: by what it refers to, by ids of a table; over key versions, and for who may ask only."""

import numpy as np
import pytest

from radloop.auth import Role
from radloop.testing.databases import ONE_ENGINE
from tests.label_files import saved, structure_set

pytestmark = [pytest.mark.integration, ONE_ENGINE]

TRIANGLE = np.array([[1.0, 1, 0], [4, 1, 0], [1, 3, 0]])


@pytest.fixture
def slices(site, send, slice_of):
    """A study that became a case of project p."""
    site.configure()
    slices = [slice_of(number, IssuerOfPatientID="CANARY-ISSUER") for number in range(3)]
    send(slices)
    site.settle()
    return slices


@pytest.fixture
def label(slices) -> bytes:
    return saved(structure_set(slices, {1: ("CANARY liver", [TRIANGLE])}))


def matched(client, label: bytes, project_id: str = "p"):
    return client.post("/v1/labels/match", params={"project_id": project_id}, files={"file": ("a.dcm", label)})


def resolved(client, **row):
    (found,) = client.post("/v1/cases/resolve", json={"project_id": "p", "rows": [row]}).json()["rows"]
    return [case["study_key"] for case in found["cases"]] or found["why"]


def test_a_label_is_matched_and_audited_and_nothing_of_it_is_kept(site, label, caplog) -> None:
    before = {
        table: site.rows(f"SELECT count(*) FROM {table}") for table in ("instances", "held", "refusals", "outbox")
    }
    objects = set(site.stored())
    found = matched(site.http, label).json()
    ((case_id, study_key),) = site.rows("SELECT case_id, study_key FROM cases")
    assert [(case["case_id"], case["study_key"]) for case in found["cases"]] == [(case_id, study_key)]
    assert found["segments"] == [{"number": 1, "name": "CANARY liver", "category": {}, "type": {}}]
    assert {table: site.rows(f"SELECT count(*) FROM {table}") for table in before} == before
    assert set(site.stored()) == objects and "CANARY" not in caplog.text
    last = site.http.get("/v1/audit").json()["entries"][-1]
    assert (last["subject"], last["action"], last["target"]) == ("somebody", "match-label", case_id)


def test_cases_are_found_under_every_key_version_and_by_every_id(site, slices, label) -> None:
    ((study_key,),) = site.rows("SELECT study_key FROM cases")
    ids = [
        {"series_instance_uid": slices[0].SeriesInstanceUID},
        {"study_instance_uid": slices[0].StudyInstanceUID},
        {"accession_number": "CANARY-ACC"},
        {"patient_id": "CANARY-ID", "issuer": "CANARY-ISSUER"},
        {"patient_id": "CANARY-ID", "issuer": "CANARY-ISSUER", "accession_number": "CANARY-ACC", "phase": 0},
    ]
    assert [resolved(site.http, **row) for row in ids] == [[study_key]] * len(ids)
    assert site.http.post("/v1/keys/rotate").status_code == 200
    site.until(lambda: site.rows("SELECT count(*) FROM studies WHERE vault_version = 1") == [(0,)])
    assert [resolved(site.http, **row) for row in ids] == [[study_key]] * len(ids)
    assert len(matched(site.http, label).json()["cases"]) == 1


def test_why_there_is_no_case_is_said(site, slices, label, send, slice_of) -> None:
    assert resolved(site.http, patient_id="CANARY-ID") == "not-received"  # another issuer is another patient
    assert resolved(site.http, accession_number="CANARY-ACC", study_instance_uid="1.2.3") == "not-received"
    assert resolved(site.http, study_instance_uid=slices[0].StudyInstanceUID, phase=7) == "no-case"
    assert resolved(site.http) == "nothing-named"
    gap = [
        slice_of(n, StudyInstanceUID="1.5", SeriesInstanceUID="1.5.1", SOPInstanceUID=f"1.5.1.{n}") for n in (0, 1, 4)
    ]
    send(gap)
    site.settle()
    found = matched(site.http, saved(structure_set(gap, {}))).json()
    assert (found["cases"], found["why"], found["rejected"]) == ([], "no-case", ["missing-slices"])
    site.http.post("/v1/withdraw", json={"study_instance_uid": slices[0].StudyInstanceUID, "reason": "consent"})
    assert matched(site.http, label).json()["why"] == "not-received"


def test_only_who_leads_the_project_may_ask(site, label) -> None:
    site.configure("q")
    for role, project_id, status in (
        (Role.PROJECT_LEAD, "p", 200),
        (Role.PROJECT_LEAD, "q", 403),
        (Role.REVIEWER, "p", 403),
    ):
        assert matched(site.client(role, project_id=project_id), label).status_code == status
    # A case of another project is not told of.
    assert matched(site.client(Role.PROJECT_LEAD, project_id="q"), label, "q").json()["why"] == "no-case"
    assert matched(site.http, label, "none").json()["error"] == "project-unknown"


def test_one_file_at_a_time(site, label) -> None:
    files = [("file", ("a.dcm", label)), ("file", ("b.dcm", label))]
    answer = site.http.post("/v1/labels/match", params={"project_id": "p"}, files=files)
    assert (answer.status_code, answer.json()["error"]) == (422, "label-count")
