"""Cohorts pulled from a real Orthanc by C-MOVE, C-GET and DICOMweb: counted, as slowly as wanted, complete, and nothing twice."""

import json

import httpx
import pytest
from pydicom.uid import CTImageStorage

from ingest.domain.pulls import MOST_ATTEMPTS, backoff_s
from radloop.auth import Role
from standalone.supervisor.ports import free_ports
from tests.dicom_peers import AE_TITLE, needs_orthanc, orthanc

pytestmark = [pytest.mark.integration, needs_orthanc]

# 2026-03-02, 12:00 in Berlin.
NOON = 1772449200.0
UID = "1.2.826.99."
COHORT = {
    # study: patient, date, modality, body part, instances
    "1": ("CANARY-P1", "20200131", "CT", "ABDOMEN", 3),
    "2": ("CANARY-P1", "20180520", "CT", "ABDOMEN", 2),
    "3": ("CANARY-P1", "20170520", "CT", "HEAD", 2),
    "4": ("CANARY-P1", "20170521", "MR", "ABDOMEN", 2),
    "5": ("CANARY-P1", "20210521", "CT", "ABDOMEN", 2),
    "6": ("CANARY-P2", "20200215", "CT", "ABDOMEN", 4),
    "7": ("CANARY-P2", "20100215", "CT", "ABDOMEN", 2),
}
QUERY = {
    "project": "p",
    "purpose": "retrospective cohort",
    "queries": [{"modality": "CT", "study_date": {"first": "2020-01-01", "last": "2020-12-31"}}],
}
"""Finds studies 1 and 6."""


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def instances_of(number: str, make_slice):
    patient, date, modality, part, count = COHORT[number]
    study = UID + number
    for index in range(count):
        yield make_slice(
            index,
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.1",
            SOPInstanceUID=f"{study}.1.{index}",
            PatientID=patient,
            StudyDate=date,
            Modality=modality,
            BodyPartExamined=part,
            StudyDescription=f"CANARY {part} routine",
            AccessionNumber=f"ACC{number}",
            **({"SOPClassUID": CTImageStorage, "RescaleSlope": 1, "RescaleIntercept": 0} if modality == "CT" else {}),
        )


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    with orthanc(tmp_path_factory.mktemp("orthanc"), {}) as running:
        yield running


@pytest.fixture
def archive(pacs, environment, monkeypatch, slice_of, file_of):
    """Orthanc with the cohort, which knows our DICOM door; the site knows it as "pacs"."""
    (port,) = free_ports(1)
    monkeypatch.setenv("INGEST_DICOM_PORT", str(port))
    monkeypatch.setenv("INGEST_TIME_ZONE", "Europe/Berlin")
    monkeypatch.setenv("INGEST_ARCHIVES_FILE", f"{environment}/archives.json")
    for number in COHORT:
        for ds in instances_of(number, slice_of):
            pacs.store(file_of(ds))
    there = {"AET": "RADLOOP", "Host": "127.0.0.1", "Port": port}
    httpx.put(f"{pacs.url}/modalities/radloop", json=there, trust_env=False).raise_for_status()
    known(environment, pacs)
    return pacs


def known(folder, pacs, **changes) -> None:
    """Write the file of archives."""
    entry = {"ae_title": AE_TITLE, "host": "127.0.0.1", "port": pacs.port, "web_url": pacs.web, "timeout_s": 10}
    (folder / "archives.json").write_text(json.dumps({"pacs": {**entry, **changes}}))


@pytest.fixture
def site(archive, start, clock):
    site = start(clock=clock)
    site.configure(modality="CT")
    return site


def begin(site, **changes):
    """Start a pull; return its id."""
    answer = site.http.post("/v1/pulls", json={"archive": "pacs", "way": "c-get", **QUERY, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()["pull_id"]


def shown(site, pull_id):
    return site.http.get(f"/v1/pulls/{pull_id}").json()


def finished(site, pull_id):
    site.until(lambda: shown(site, pull_id)["state"] == "done")
    return shown(site, pull_id)


def stores_of(pacs) -> int:
    """Count what Orthanc was asked to send by DICOMweb or DIMSE: it logs nothing we could count, so its jobs are."""
    return len(pacs.get("jobs"))


@pytest.mark.parametrize("way", ["c-move", "c-get", "wado"])
def test_a_cohort_is_pulled_whole(site, way):
    pull = finished(site, begin(site, way=way))
    assert {"studies": 2, "done": 2, "failed": 0, "instances": 7, "instances_expected": 7}.items() <= pull["counts"].items()
    site.settle()
    assert site.status["cases"] == 2
    assert sorted(site.rows("SELECT count(*) FROM instances GROUP BY study_key")) == [(3,), (4,)]
    keys = {key for (key,) in site.rows("SELECT study_key FROM studies")}
    assert {entry["study_key"] for entry in pull["entries"]} == keys
    # Whose they were is forgotten here: the studies' own rows know it.
    assert set(site.rows("SELECT identity FROM pull_studies")) == {("",)}
