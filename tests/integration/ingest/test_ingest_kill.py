"""Killed at each named point while studies come in: what was answered with success is there, once, and nothing else."""

import io
import os
import socket
import threading
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE

from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.events import open_event_log
from radloop.messages import Envelope, Record
from standalone.association import associate
from standalone.supervisor.forked import Forked

pytestmark = pytest.mark.integration

WAIT_S = 60.0
STUDIES, SLICES = 3, 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def slice_of(study: int, number: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, f"1.2.826.{study}.1.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.826.{study}", f"1.2.826.{study}.1"
    ds.PatientID, ds.Modality, ds.Rows, ds.Columns = f"PAT-{study}", "MR", 4, 6
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelSpacing, ds.ImageOrientationPatient = [2, 3], [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [0, 0, 1.5 * number]
    ds.PixelData = np.full(24, 10 * study + number, dtype="<u2").tobytes()
    return ds


class Site:
    """The service as a process of its own, killed and started again."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.dicom_port, self.http_port = folder, free_port(), free_port()
        self.environment = {
            **os.environ,
            "RADLOOP_EVENTS_URL": f"sqlite:///{folder}/events.db",
            "RADLOOP_DATABASE_URL": database_url,
            "RADLOOP_OBJECTS_URL": f"file:///{folder}/objects",
            "RADLOOP_AUTH_URL": f"token:{folder}/secret",
            "RADLOOP_HTTP_PORT": str(self.http_port),
            "INGEST_SITE_KEY_FILE": f"{folder}/site-key",
            "INGEST_DICOM_PORT": str(self.dicom_port),
            "INGEST_QUIET_S": "600",
        }
        self.log = open_event_log(self.environment["RADLOOP_EVENTS_URL"])
        token = open_authenticator(self.environment["RADLOOP_AUTH_URL"]).issue(
            "admin", {"*": [Role.SITE_ADMIN]}, lifetime_s=600
        )
        url = f"http://127.0.0.1:{self.http_port}"
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})
        self.process: Forked | None = None

    def start(self, kill_at: str = "") -> None:
        environment = self.environment | ({"RADLOOP_KILL_AT": kill_at} if kill_at else {})
        self.process = Forked("ingest", [], environment, self.folder / "log.txt")
        self.until(self._is_ready)

    def _is_ready(self) -> bool:
        if self.died:
            return True
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def died(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def until(self, done) -> None:
        wake = threading.Event()
        for _ in range(int(WAIT_S / 0.05)):
            if done():
                return
            wake.wait(0.05)
        raise AssertionError(f"still waiting after {WAIT_S} s:\n" + (self.folder / "log.txt").read_text()[-2000:])

    def configure(self) -> None:
        event = cp.ProjectConfigured(
            project_id="p",
            project_version=1,
            routing=[cp.RoutingRule(modality="MR")],
            split=cp.SplitPolicy(validation_fraction=0.2, test_fraction=0.2),
            phases=cp.PHASE_RULE_SPLIT,
        )
        envelope = Envelope.new("project-configured", source="/site-1/control-plane", subject="p")
        self.log.append([Record("project-configured", "p", event.SerializeToString(), envelope.headers())])

    def send(self) -> set[str]:
        """Send everything as far as the service lives; return the instances answered with success."""
        stored: set[str] = set()
        ae = AE(ae_title="MODALITY")
        ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = 3
        association = associate(ae, "127.0.0.1", self.dicom_port)
        for study in range(STUDIES):
            for number in range(SLICES):
                if not association.is_established:
                    return stored
                ds = slice_of(study, number)
                answer = association.send_c_store(ds)
                if "Status" in answer and answer.Status == 0x0000:
                    stored.add(ds.SOPInstanceUID)
        association.release()
        return stored

    def said(self) -> list:
        return [
            ingest_pb2.StudyIngested.FromString(one.record.value) for one in self.log.read("study-ingested", {}, 1000)
        ]


@pytest.fixture
def site(tmp_path, database_url):
    one = Site(tmp_path, database_url)
    yield one
    one.stop()
    one.http.close()
    one.log.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "kill_at",
    [
        # The last instance, the first volume.
        *(f"after-object-write:{n}" for n in (STUDIES * SLICES, STUDIES * SLICES + 1)),
        "before-commit:2",
        "after-commit:2",
        "after-publish:1",
        "after-handler:1",
    ],
)
def test_killed_at_a_named_point(site, kill_at):
    site.configure()
    site.start(kill_at)
    promised: set[str] = set()
    if not site.died:
        promised = site.send()
    if not site.died:
        try:
            site.http.post("/v1/complete")
        except httpx.TransportError:
            pass  # it dies while it answers
    site.until(lambda: site.died)
    site.process.wait()
    site.start()
    status = site.http.get("/v1/status").json()
    assert status["instances"] >= len(promised)
    assert site.send() == {f"1.2.826.{study}.1.{number}" for study in range(STUDIES) for number in range(SLICES)}
    site.http.post("/v1/complete")
    site.until(
        lambda: (
            site.http.get("/v1/status").json()["cases"] == STUDIES
            and len({one.study_key for one in site.said()}) == STUDIES
        )
    )
    _check_events(site)
    _check_objects(site)
    _check_log(site)


def _check_events(site: Site) -> None:
    """A record may be published twice with the same id (at least once); no effect is there twice."""
    records = [one.record for one in site.log.read("study-ingested", {}, 1000)]
    by_id = {record.headers["ce_id"]: record for record in records}
    events = [ingest_pb2.StudyIngested.FromString(record.value) for record in by_id.values()]
    case_ids = [case.case_id for event in events for case in event.cases]
    assert len(case_ids) == len(set(case_ids)) == STUDIES
    assert all(list(case.shape) == [6, 4, SLICES] for event in events for case in event.cases)


def _check_log(site: Site) -> None:
    """The process's own log, as an operator gets it, names nobody: no UID, patient id or AE title."""
    text = (site.folder / "log.txt").read_text()
    assert text and not [trace for trace in ("1.2.826", "PAT-", "MODALITY") if trace in text]


def _check_objects(site: Site) -> None:
    """Every object is one that counts: instances, and one volume and manifest for each case."""
    folder = site.folder / "objects"
    files = [file for file in folder.rglob("*") if file.is_file() and ".unfinished" not in file.parts]
    kinds = {suffix: sum(file.suffix == suffix for file in files) for suffix in (".dcm", ".nii", ".json")}
    assert kinds == {".dcm": STUDIES * SLICES, ".nii": STUDIES, ".json": STUDIES}
    for file in files:
        if file.suffix == ".dcm":
            assert pydicom.dcmread(io.BytesIO(file.read_bytes())).PatientIdentityRemoved == "YES"
