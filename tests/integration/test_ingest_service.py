"""The real service over SQLite and a folder: real associations, real data, real files."""

import io
import json
import logging
import os
import re
import socket
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, MRImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from ingest import app
from ingest.adapters.dimse import DicomDoor
from ingest.settings import IngestSettings
from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.errors import PermanentError, TemporaryError
from radloop.imaging import read_nifti
from radloop.messages import Envelope, Record
from radloop.settings import load

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no data at hand (RADLOOP_DATA)")
WAIT_S = 30.0


class Site:
    """One running service and what a test needs around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = load(IngestSettings)
        self.service = app.build(self.settings)
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
        envelope = Envelope.new("project-configured", source="/site-1/control-plane", subject=project_id)
        record = Record("project-configured", project_id, event.SerializeToString(), envelope.headers())
        self.service.event_log.append([record])
        self.until(lambda: {"project_id": project_id, "project_version": version} in self.status["projects"])

    def settle(self) -> None:
        """Say that everything is complete, and wait until it is formed and said."""
        assert self.http.post("/v1/complete").status_code == 200
        self.until(lambda: not self.status["waiting"] and not self.status["rejections_unsaid"])

    def said(self, topic: str) -> list:
        """Return the events of a topic, once the outbox is empty."""
        proto = {"study-ingested": ingest_pb2.StudyIngested, "study-rejected": ingest_pb2.StudyRejected}
        proto["study-withdrawn"] = ingest_pb2.StudyWithdrawn
        self.until(lambda: self.rows("SELECT count(*) FROM outbox") == [(0,)])
        return [proto[topic].FromString(stored.record.value) for stored in self.service.event_log.read(topic, 0, 1000)]

    def rows(self, statement: str) -> list:
        """Read the service's database."""
        with self.service.database.begin(read_only=True) as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]

    def stored(self) -> dict[str, bytes]:
        """Return the objects, by key."""
        folder = self.folder / "objects"
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def environment(tmp_path, monkeypatch):
    for name, value in {
        "RADLOOP_EVENTS_URL": f"sqlite:///{tmp_path}/events.db",
        "RADLOOP_DATABASE_URL": f"sqlite:///{tmp_path}/state",
        "RADLOOP_OBJECTS_URL": f"file:///{tmp_path}/objects",
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

    def begin() -> Site:
        running.append(Site(environment))
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
        association = ae.associate("127.0.0.1", site.port, ae_title=called)
        assert association.is_established
        answers = [association.send_c_store(ds) for ds in instances]
        association.release()
        return answers

    return run


def slice_of(number: int = 0, **changes) -> Dataset:
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


def file_of(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def statuses(answers) -> list[int]:
    return [answer.Status for answer in answers]


def test_echo(site):
    ae = AE()
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", site.port)
    assert association.send_c_echo().Status == 0x0000
    (accepted,) = list(site.service.on_start[1].__self__._ae.active_associations)
    assert accepted.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    association.release()


def test_from_association_to_event(site, send):
    site.configure()
    assert set(statuses(send([slice_of(n) for n in range(3)], called="PROSTATE"))) == {0x0000}
    site.settle()
    (said,) = site.said("study-ingested")
    (case,) = said.cases
    assert (said.revision, said.project_id, list(case.shape)) == (1, "p", [6, 4, 3])
    manifest = site.http.get(f"/v1/cases/{case.case_id}").json()
    assert manifest["case_id"] == case.case_id
    volume = read_nifti(site.http.get(f"/v1/cases/{case.case_id}/volumes/0").content)
    assert volume.array[0, 0].tolist() == [0, 1, 2]
    study = site.http.get(f"/v1/studies/{said.study_key}").json()
    assert (study["state"], study["series"][0]["instances"]) == ("ingested", 3)


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([ImplicitVRLittleEndian, ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        ([ImplicitVRLittleEndian, JPEGLSLossless], JPEGLSLossless),
        ([ImplicitVRLittleEndian], ImplicitVRLittleEndian),
    ],
)
def test_senders_need_not_rewrite(site, offered, taken):
    """pynetdicom's own order would begin with Implicit VR."""
    ae = AE()
    ae.add_requested_context(MRImageStorage, offered)
    association = ae.associate("127.0.0.1", site.port)
    assert [context.transfer_syntax for context in association.accepted_contexts] == [[taken]]
    association.release()


@needs_data
def test_all_codecs_give_the_same_pixels(site, send):
    site.configure()
    files = sorted((DATA / "dicom_codecs" / "same_pixels").glob("*.dcm"))
    assert len(files) == 9
    instances = [pydicom.dcmread(file) for file in files]
    for ds in instances:  # one association each: the same class in another transfer syntax
        assert statuses(send([ds])) == [0x0000]
    expected = instances[0].pixel_array
    stored = [data for key, data in site.stored().items() if "/instances/" in key]
    assert len(stored) == 9
    for data in stored:
        ds = pydicom.dcmread(io.BytesIO(data))
        assert np.array_equal(ds.pixel_array, expected)
        assert ds.PatientIdentityRemoved == "YES"
    site.settle()
    (rejected,) = site.said("study-rejected")  # the image is a mosaic
    assert rejected.reason == ingest_pb2.REJECT_REASON_UNSUPPORTED and rejected.instance_count == 9


@needs_data
def test_uploads_of_every_codec(site):
    """The same files by HTTP, where no association names the transfer syntax."""
    files = sorted((DATA / "dicom_codecs" / "same_pixels").glob("*.dcm"))
    answer = site.http.post("/v1/uploads", files=[("file", file.read_bytes()) for file in files]).json()
    assert (answer["received"], answer["stored"], answer["rejected"]) == (9, 9, [])


@needs_data
@pytest.mark.parametrize(("patient", "slices"), [("SCD0000101", 12), ("SCD0000201", 13)])
def test_cine_is_split_by_phase(site, patient, slices):
    """File n of a patient is slice (n-1) div 20 and phase (n-1) mod 20; the contours' file numbers say so too."""
    site.configure()
    archive = DATA / "sunnybrook_cine" / f"{patient}.zip"
    answer = site.http.post("/v1/uploads", files={"file": archive.read_bytes()}).json()
    assert answer["stored"] == 20 * slices
    site.settle()
    (said,) = site.said("study-ingested")
    assert [case.phase for case in said.cases] == list(range(20))
    pixels = {}
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            if name.endswith(".dcm"):
                ds = pydicom.dcmread(io.BytesIO(files.read(name)))
                pixels[int(Path(name).stem)] = ds.pixel_array.astype(np.int32).T
    volumes = {
        case.phase: read_nifti(site.http.get(f"/v1/cases/{case.case_id}/volumes/0").content) for case in said.cases
    }
    assert all(volume.array.shape == (256, 256, slices) for volume in volumes.values())
    found = {number: _place(volumes, image) for number, image in pixels.items()}
    assert {place[0] for place in found.values()} == set(range(20))
    for number, (phase, _) in found.items():
        assert phase == (number - 1) % 20
    # Along k the slices run in the order of the files, or exactly against it.
    order = [found[20 * index + 1][1] for index in range(slices)]
    assert order in (list(range(slices)), list(reversed(range(slices))))
    _check_contours(patient, found, slices)


def _place(volumes, image) -> tuple[int, int]:
    """Return (phase, k) of the only slice with these pixels."""
    places = [
        (phase, k)
        for phase, volume in volumes.items()
        for k in range(volume.array.shape[2])
        if volume.array[128, 128, k] == image[128, 128] and np.array_equal(volume.array[:, :, k], image)
    ]
    assert len(places) == 1
    return places[0]


def _check_contours(patient: str, found: dict[int, tuple[int, int]], slices: int) -> None:
    """The experts drew at two moments of the heart's cycle: each contour's file lies in one of two phases, one per slice."""
    folder = DATA / "sunnybrook_cine" / "contours" / patient / "i-contours"
    numbers = [int(re.match(r"IM-0001-(\d{4})-", file.name)[1]) for file in sorted(folder.glob("*.txt"))]
    places = [found[number] for number in numbers]
    assert len(numbers) == 18 and len({phase for phase, _ in places}) == 2
    for phase in {phase for phase, _ in places}:
        drawn = sorted(k for at, k in places if at == phase)
        assert drawn == list(range(drawn[0], drawn[0] + len(drawn))) and len(drawn) <= slices


@needs_data
def test_enhanced_mr_is_refused_with_the_reason(site):
    site.configure()
    answer = site.http.post("/v1/uploads", json={"folder": str(DATA / "dicom_enhanced")}).json()
    assert answer["stored"] == 13
    site.settle()
    said = site.said("study-rejected")
    assert {one.reason for one in said} == {ingest_pb2.REJECT_REASON_UNSUPPORTED}
    assert sum(one.instance_count for one in said) == 13
    details = {one["detail"] for one in site.http.get("/v1/rejections").json()["rejections"]}
    assert all("multi-frame" in detail for detail in details)


@needs_data
def test_computed_tomography_in_hounsfield_units(site):
    site.configure(modality="CT")
    folder = DATA / "dicom_seg" / "ct-3slice"
    site.http.post("/v1/uploads", json={"folder": str(folder)})
    site.settle()
    (said,) = site.said("study-ingested")
    (case,) = said.cases
    assert (case.quantity, list(case.shape)) == ("HU", [512, 512, 3])
    volume = read_nifti(site.http.get(f"/v1/cases/{case.case_id}/volumes/0").content)
    lowest = pydicom.dcmread(folder / "03.dcm")  # z = -128.69, the first along the normal (0, 0, 1)
    assert np.array_equal(volume.array[:, :, 0], lowest.pixel_array.T.astype(np.int32) - 1024)
    assert volume.affine_lps[:3, 3] == pytest.approx([-235.199997, -226.800003, -128.690002], abs=1e-4)


BAD = {
    "no pixel data": ({"PixelData": None}, 0xC002, "NO-PIXEL-DATA"),
    "fewer pixels than declared": ({"Rows": 40}, 0xC001, "TRUNCATED"),
    "no study": ({"StudyInstanceUID": None}, 0xC003, "UNDECODABLE"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_instances_get_a_status_and_the_service_stays_up(site, send, name):
    changes, status, comment = BAD[name]
    bad, good = send([slice_of(0, **changes), slice_of(1)])
    assert (bad.Status, bad.ErrorComment) == (status, comment)
    assert good.Status == 0x0000
    site.settle()
    assert len(site.said("study-rejected")) == 2  # this one, and no project


def test_other_pixels_under_a_known_uid(site, send):
    first, again, other = send([slice_of(0), slice_of(0, EchoTime=5), slice_of(0, PixelData=bytes(48 - 2) + b"\1\0")])
    assert (first.Status, again.Status, other.Status) == (0x0000, 0x0000, 0xC004)
    (held,) = site.http.get("/v1/quarantine").json()["quarantine"]
    assert held["reason"] == "pixels-differ"
    study = site.http.get(f"/v1/studies/{held['study_key']}").json()
    assert study["differences"][0]["keywords"] == ["EchoTime"]
    refused = site.http.post(f"/v1/quarantine/{held['id']}/release")
    assert (refused.status_code, refused.json()["error"]) == (409, "another-is-stored")


def test_quarantine_and_release(site, send):
    site.configure()
    answers = send([slice_of(n, BurnedInAnnotation="YES" if n == 1 else "NO") for n in range(3)])
    assert set(statuses(answers)) == {0x0000}
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


def test_full_disk(start, send_to, monkeypatch):
    """The store refuses: the sender is told to come again, and nothing is half there."""
    opened = app.open_objects

    def failing(url):
        objects = opened(url)
        put = objects.put

        def refuse(key, data):
            if full:
                raise TemporaryError("object-store-unavailable", got="No space left on device")
            return put(key, data)

        monkeypatch.setattr(objects, "put", refuse)
        return objects

    full = [True]
    monkeypatch.setattr(app, "open_objects", failing)
    site = start()
    (answer,) = send_to(site.port, [slice_of(0)])
    assert answer.Status == 0xA700
    refused = site.http.post("/v1/uploads", files={"file": file_of(slice_of(0))})
    assert (refused.status_code, refused.json()["error"]) == (503, "object-store-unavailable")
    assert site.stored() == {} and site.status["instances"] == 0 and site.status["studies"] == {}
    full.clear()
    (answer,) = send_to(site.port, [slice_of(0)])
    assert answer.Status == 0x0000 and site.status["instances"] == 1


@pytest.fixture
def send_to():
    def run(port, instances):
        ae = AE()
        ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
        association = ae.associate("127.0.0.1", port)
        answers = [association.send_c_store(ds) for ds in instances]
        association.release()
        return answers

    return run


def test_withdrawal(site, send):
    site.configure()
    send([slice_of(n) for n in range(3)])
    site.settle()
    (said,) = site.said("study-ingested")
    answer = site.http.post("/v1/withdraw", json={"study_instance_uid": "1.2.826.4242", "reason": "consent"})
    assert answer.json() == {"study_key": said.study_key}
    (withdrawn,) = site.said("study-withdrawn")
    assert (withdrawn.study_key, withdrawn.reason) == (said.study_key, ingest_pb2.WITHDRAW_REASON_CONSENT)
    site.until(lambda: not site.stored())
    (answer,) = send([slice_of(7)])
    assert (answer.Status, answer.ErrorComment) == (0x0124, "WITHDRAWN")
    assert site.http.get(f"/v1/cases/{said.cases[0].case_id}").status_code == 404
    assert site.stored() == {} and site.status["instances"] == 0


def test_withdrawal_before_the_study_comes(site, send):
    site.http.post("/v1/withdraw", json={"study_instance_uid": "1.2.826.4242", "reason": "sent-in-error"})
    assert statuses(send([slice_of(0)])) == [0x0124]


def test_pseudonyms_survive_a_restart(start, send_to):
    first = start()
    send_to(first.port, [slice_of(0)])
    keys = [one["study_key"] for one in first.http.get("/v1/studies").json()["studies"]]
    first.service.drain()
    second = start()
    send_to(second.port, [slice_of(0), slice_of(1)])
    (study,) = second.http.get("/v1/studies").json()["studies"]
    assert [study["study_key"]] == keys and study["instances"] == 2


def test_another_site_key_stops_the_start(start, environment):
    start().service.drain()
    (environment / "site-key").unlink()
    with pytest.raises(PermanentError, match="site-key-changed"):
        start()


def test_taken_port(site, environment):
    taken = DicomDoor(None, host="127.0.0.1", port=site.port, ae_title="X", max_associations=1)
    with pytest.raises(PermanentError, match="dicom-port-taken"):
        taken.open()


def test_what_a_crash_left_is_swept(start, environment, send_to):
    """An object that was written and never counted goes at the next start; what was counted stays."""
    site = start()
    send_to(site.port, [slice_of(0)])
    study_key = site.http.get("/v1/studies").json()["studies"][0]["study_key"]
    receiver = site.service.on_start[0].__self__
    receiver.open("X").begin(study_key)  # and never closed
    orphan = f"ingest/{study_key}/instances/2.25.1-00.dcm"
    receiver.objects.put(orphan, b"half a study")
    site.service.drain()
    assert orphan in site.stored()
    again = start()
    assert orphan not in again.stored() and len(again.stored()) == 1
    assert again.status["instances"] == 1


def test_nothing_identified_on_any_disk_or_in_any_log(site, send, environment, caplog):
    """Also not what was refused, held or withdrawn, nor in the database's journal."""
    temporary = set(Path(tempfile.gettempdir()).iterdir())
    site.configure()
    nested = Dataset()
    nested.PatientName = nested.InstitutionName = "CANARY^NESTED"
    private = slice_of(3)
    private.private_block(0x0029, "CANARY CREATOR", create=True).add_new(0x10, "LO", "CANARY PRIVATE")
    with caplog.at_level(logging.DEBUG):
        send(
            [
                slice_of(0),
                slice_of(1, RequestAttributesSequence=[nested], SharedFunctionalGroupsSequence=[nested]),
                slice_of(2, BurnedInAnnotation="YES"),
                private,
                slice_of(4, PixelData=None),
                slice_of(0, PixelData=bytes(48 - 2) + b"\1\0"),
            ],
            called="CANARYAE",
        )
        site.http.post("/v1/uploads", files={"file": ("CANARY.dcm", file_of(slice_of(5))[:-10])})
        site.http.post("/v1/uploads", files={"file": ("CANARY.dcm", b"CANARY" * 300_000)})
        site.settle()
        site.said("study-rejected")
    traces = [b"CANARY", b"1.2.826.4242", b"19701231", b"20200131"]
    for file in environment.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not [trace for trace in traces if trace in data], file
    assert not any(trace.decode() in record.getMessage() for record in caplog.records for trace in traces)
    assert not [file for file in set(Path(tempfile.gettempdir()).iterdir()) - temporary if "CANARY" in file.name]


def test_uploads_are_never_spooled(site, monkeypatch):
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
    "one file": (lambda: file_of(slice_of(0)), 200, {"received": 1, "stored": 1, "rejected": []}),
    "zip": (
        lambda: zipped(
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
    "not DICOM": (lambda: b"hello", 200, {"stored": 0, "rejected": [{"reason": "not-dicom", "count": 1}]}),
    "damaged zip": (lambda: b"PK\x03\x04 and nothing", 422, {"error": "zip-unreadable"}),
    "held": (
        lambda: file_of(slice_of(0, BurnedInAnnotation="YES")),
        200,
        {"held": 1, "rejected": [{"reason": "burned-in-text", "count": 1}]},
    ),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads(site, name):
    make, status, expected = UPLOADS[name]
    answer = site.http.post("/v1/uploads", files={"file": make()})
    assert answer.status_code == status
    assert answer.json() | expected == answer.json()


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


def test_folder_is_for_site_administrators_on_this_machine(site, tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(file_of(slice_of(0)))
    body = {"folder": str(folder)}
    assert site.client(Role.PROJECT_LEAD).post("/v1/uploads", json=body).json()["error"] == "forbidden"
    afar = TestClient(site.service.http, client=("192.0.2.1", 1), headers=dict(site.http.headers))
    assert afar.post("/v1/uploads", json=body).json()["error"] == "folder-from-afar"
    assert site.http.post("/v1/uploads", json=body).json()["stored"] == 1


def test_resolve_split_and_members(site, send):
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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/studies"),
        ("GET", "/v1/studies/2.25.1"),
        ("GET", "/v1/studies/2.25.1/identity"),
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
    }.get(path)
    reader = site.client(Role.READER)
    assert reader.request(method, path, json=body).status_code == 403
    reader.headers.pop("Authorization")
    assert reader.request(method, path, json=body).status_code == 401


def test_identity_is_shown_to_the_administrator_and_audited(site, send):
    send([slice_of(0)])
    (study,) = site.http.get("/v1/studies").json()["studies"]
    answer = site.http.get(f"/v1/studies/{study['study_key']}/identity").json()
    assert answer == {"study_instance_uid": "1.2.826.4242", "patient_id": "CANARY-ID", "issuer": ""}
    assert ("somebody", "re-identify", study["study_key"]) in site.rows("SELECT subject, action, target FROM audit")


@pytest.mark.parametrize("path", ["/v1/studies/2.25.1", "/v1/cases/x", "/v1/cases/x/volumes/0"])
def test_unknown(site, path):
    assert site.http.get(path).status_code == 404


def test_health(site):
    assert site.http.get("/livez").status_code == 200
    assert site.http.get("/readyz").json()["checks"] == {"dicom": True}
    assert "radloop_ingest_instances_total" in site.http.get("/metrics").text
    assert "/v1/uploads" in json.dumps(site.http.get("/openapi.json").json())
