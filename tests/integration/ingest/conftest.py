"""A running `ingest` over SQLite and a folder, or PostgreSQL and S3, and slices that name somebody in as many ways as usual."""

import io
import json
import os
import threading
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE

from ingest import app
from ingest.settings import IngestSettings
from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.references import ObjectRef
from radloop.settings import load
from standalone.association import associate
from tests.dicom_peers import AE_TITLE, orthanc
from tests.integration.ingest.ward import Ward

WAIT_S = 30.0


class Site:
    """One running service and what a test needs around it."""

    def __init__(self, folder: Path, **parts) -> None:
        self.folder = folder
        self.settings = load(IngestSettings)
        self.service = app.build(self.settings, **parts)
        self.service.start()
        self.http = self.client(Role.SITE_ADMIN)

    def client(self, *roles: Role, project_id: str = "*", subject: str = "somebody") -> TestClient:
        authenticator = open_authenticator(self.settings.shared.auth_url)
        token = authenticator.issue(subject, {project_id: roles}, lifetime_s=600)
        headers = {"Authorization": f"Bearer {token}"}
        return TestClient(self.service.http, client=("127.0.0.1", 50000), headers=headers)

    @property
    def status(self) -> dict:
        return self.http.get("/v1/status").json()

    @property
    def port(self) -> int:
        return self.status["dicom"]["port"]

    def until(self, done) -> None:
        """Wait for a condition, at most `WAIT_S`."""
        wake = threading.Event()
        for _ in range(int(WAIT_S / 0.05)):
            if done():
                return
            wake.wait(0.05)
        raise AssertionError(f"still waiting after {WAIT_S} s: {self.status}")

    def configure(
        self, project_id: str = "p", *, modality: str = "MR", version: int = 1, members=(), **changes
    ) -> None:
        """Have a project announced, and wait until it is heard."""
        event = cp.ProjectConfigured(
            project_id=project_id,
            project_version=version,
            routing=[cp.RoutingRule(modality=modality)],
            split=cp.SplitPolicy(validation_fraction=0.2, test_fraction=0.2),
            phases=cp.PHASE_RULE_SPLIT,
            members=members,
            **changes,
        )
        self.hear("project-configured", event, project_id)
        self.until(lambda: {"project_id": project_id, "project_version": version} in self.status["projects"])

    def hear(self, topic: str, event, key: str = "") -> None:
        """Put an event of another service into the log."""
        key = key or event.study_key
        envelope = Envelope.new(topic, source="/site-1/another", subject=key)
        self.service.event_log.append([Record(topic, key, event.SerializeToString(), envelope.headers())])

    def settle(self) -> None:
        """Say that everything is complete, and wait until it is formed and said."""
        assert self.http.post("/v1/complete").status_code == 200
        self.until(lambda: not self.status["waiting"] and not self.status["rejections_unsaid"])

    def said(self, topic: str) -> list:
        """Return the events of a topic, once the outbox is empty."""
        proto = {"study-ingested": ingest_pb2.StudyIngested, "study-rejected": ingest_pb2.StudyRejected}
        proto["study-withdrawn"] = ingest_pb2.StudyWithdrawn
        self.until(lambda: self.rows("SELECT count(*) FROM outbox") == [(0,)])
        return [proto[topic].FromString(stored.record.value) for stored in self.service.event_log.read(topic, {}, 1000)]

    def rows(self, statement: str) -> list:
        """Read the service's database."""
        with self.service.database.begin(read_only=True) as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]

    def stored(self) -> dict[str, bytes]:
        """Return the objects, by key."""
        store = open_objects(os.environ["RADLOOP_OBJECTS_URL"])
        found = {}
        for key in store.keys(""):
            ref = ObjectRef(key, "", 0)
            url = store.presigned_url(ref, 60)
            answer = httpx.get(url) if url else None
            if answer is not None and answer.status_code == 404:
                continue  # deleted since it was listed
            found[key] = answer.raise_for_status().content if answer else store.path(ref).read_bytes()
        return found


@pytest.fixture
def environment(tmp_path, monkeypatch, database_url, objects_url):
    for name, value in {
        "RADLOOP_EVENTS_URL": f"sqlite:///{tmp_path}/events.db",
        "RADLOOP_DATABASE_URL": database_url,
        "RADLOOP_OBJECTS_URL": objects_url,
        "RADLOOP_AUTH_URL": f"token:{tmp_path}/secret",
        "RADLOOP_WORK_DIR": f"{tmp_path}/work",
        "INGEST_SITE_KEY_FILE": f"{tmp_path}/site-key",
        "INGEST_DICOM_PORT": "0",
        "INGEST_QUIET_S": "600",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def start(environment):
    """Start a site; every one is drained at the end of the test."""
    running = []

    def begin(**parts) -> Site:
        running.append(Site(environment, **parts))
        return running[-1]

    yield begin
    for site in running:
        site.service.drain()


@pytest.fixture
def site(start):
    return start()


@pytest.fixture
def send(site):
    """Send data sets over one real association; return the status of each."""

    def run(instances, *, called="RADLOOP", offered=None):
        ae = AE(ae_title="MODALITY")
        for ds in instances:
            syntaxes = offered or [ds.file_meta.TransferSyntaxUID]
            ae.add_requested_context(ds.SOPClassUID, syntaxes)
        association = associate(ae, "127.0.0.1", site.port, ae_title=called)
        assert association.is_established
        answers = [association.send_c_store(ds) for ds in instances]
        association.release()
        return answers

    return run


@pytest.fixture
def send_to():
    def run(port, instances):
        ae = AE()
        ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
        association = associate(ae, "127.0.0.1", port)
        answers = [association.send_c_store(ds) for ds in instances]
        association.release()
        return answers

    return run


def make_slice(number: int = 0, **changes) -> Dataset:
    """Return an MR slice that names somebody in as many ways as usual."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": f"1.2.826.4242.1.1.{number}",
        "StudyInstanceUID": "1.2.826.4242",
        "SeriesInstanceUID": "1.2.826.4242.1",
        "PatientID": "CANARY-ID",
        "PatientName": "CANARY^NAME",
        "PatientBirthDate": "19701231",
        "InstitutionName": "CANARY HOSPITAL",
        "AccessionNumber": "CANARY-ACC",
        "StudyDate": "20200131",
        "StudyDescription": "CANARY STUDY",
        "SeriesDescription": "CANARY SERIES",
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Rows": 4,
        "Columns": 6,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelSpacing": [2, 3],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, 1.5 * number],
        "PixelData": np.full(24, number, dtype="<u2").tobytes(),
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def write_file(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def slice_of():
    """Makes slices: number of the slice, and attributes to replace (None removes one)."""
    return make_slice


@pytest.fixture
def file_of():
    """Writes a data set as a Part 10 file."""
    return write_file


@pytest.fixture
def archive(tmp_path):
    with orthanc(tmp_path / "orthanc", {}) as running:
        yield running


@pytest.fixture
def configured(environment, monkeypatch, archive):
    """Two ways to the archive."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = environment / "destinations.json"
    dicom = {"ae_title": AE_TITLE, "host": "127.0.0.1", "port": archive.port}
    file.write_text(
        json.dumps(
            {
                "pacs": {"dicom": dicom, "forms": ["seg", "sr"]},
                "web": {"stow": {"url": archive.web}, "labelmap": True, "predictions": True},
            }
        )
    )
    monkeypatch.setenv("INGEST_DESTINATIONS_FILE", str(file))


@pytest.fixture
def empty_ward(configured, site, archive, slice_of):
    return Ward(site, archive, slice_of)


@pytest.fixture
def ward(empty_ward, send):
    return empty_ward.receive(send)
