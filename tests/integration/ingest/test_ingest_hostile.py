"""Senders that mean no good, or know no better: each is bounded, turned away and shown, and others are served meanwhile."""

import io
import socket
import struct
import time
import zipfile

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE

from ingest.adapters import uploads
from radloop.testing.databases import ONE_ENGINE
from standalone.association import associate

pytestmark = [pytest.mark.integration, ONE_ENGINE]


@pytest.fixture
def start_with(start, monkeypatch):
    """Start a site with settings, e.g. ``start_with(MAX_ASSOCIATIONS=1)``."""

    def run(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"INGEST_{name}", str(value))
        return start()

    return run


def sender(title: str = "MODALITY") -> AE:
    ae = AE(ae_title=title)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    return ae


def turned_away(site) -> dict[str, int]:
    return site.status["dicom"]["turned_away"]


def still_serves(site, ds, title: str = "MODALITY") -> None:
    association = associate(sender(title), "127.0.0.1", site.port)
    assert association.is_established and association.send_c_store(ds).Status == 0x0000
    association.release()


def test_an_unknown_sender(start_with, slice_of):
    site = start_with(CALLING_AE_TITLES="CT-1, MODALITY")
    refused = sender("STRANGER").associate("127.0.0.1", site.port)
    assert refused.is_rejected and not refused.is_established
    still_serves(site, slice_of(0))
    assert turned_away(site) == {"unknown-sender": 1}
    assert 'radloop_ingest_senders_turned_away_total{reason="unknown-sender"}' in site.http.get("/metrics").text


def test_too_many_associations(start_with, slice_of):
    site = start_with(MAX_ASSOCIATIONS=1)
    first = associate(sender(), "127.0.0.1", site.port)
    assert sender().associate("127.0.0.1", site.port).is_rejected
    assert first.send_c_store(slice_of(0)).Status == 0x0000
    first.release()
    site.until(lambda: turned_away(site) == {"too-many": 1})
    still_serves(site, slice_of(1))


def test_a_pdu_that_says_it_is_four_gigabytes(start_with, slice_of):
    site = start_with()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(1000))
        _closed(connection)
    assert turned_away(site) == {"too-large": 1}
    still_serves(site, slice_of(0))


def _closed(connection: socket.socket) -> None:
    """Wait until the other side has ended the connection."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass


def test_an_object_that_is_too_large(start_with, slice_of):
    site = start_with(LARGEST_OBJECT_BYTES=1 << 20)
    rows = 1 << 11
    large = slice_of(0, Rows=rows, Columns=rows, PixelData=bytes(rows * rows * 2))
    association = associate(sender(), "127.0.0.1", site.port)
    assert association.send_c_store(slice_of(1)).Status == 0x0000
    answer = association.send_c_store(large)
    assert "Status" not in answer
    site.until(lambda: turned_away(site) == {"too-large": 1})
    still_serves(site, slice_of(2))
    assert site.status["instances"] == 2


def test_many_instances_are_no_large_object(start_with, slice_of):
    site = start_with(LARGEST_OBJECT_BYTES=1 << 20)
    rows = 512
    association = associate(sender(), "127.0.0.1", site.port)
    for number in range(5):
        ds = slice_of(number, Rows=rows, Columns=rows, PixelData=bytes(rows * rows * 2))
        assert association.send_c_store(ds).Status == 0x0000
    association.release()
    assert turned_away(site) == {}


def test_a_sender_that_stops_in_the_middle(start_with, slice_of):
    site = start_with(SENDER_TIMEOUT_S=1)
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 10_000) + bytes(100))
        began = time.monotonic()
        _closed(connection)
        assert time.monotonic() - began < 15
    assert turned_away(site) == {"too-slow": 1}
    still_serves(site, slice_of(0))


def test_a_sender_that_drips(start_with, slice_of):
    """A byte now and then is no progress: the time is that of the whole PDU."""
    site = start_with(SENDER_TIMEOUT_S=2)
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 10_000))
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 15:
                connection.sendall(b"x")
                time.sleep(0.2)
    assert turned_away(site) == {"too-slow": 1}
    still_serves(site, slice_of(0))


def test_an_association_that_is_left_open(start_with, slice_of):
    site = start_with(SENDER_TIMEOUT_S=1, MAX_ASSOCIATIONS=1)
    ae = sender()
    ae.network_timeout = None
    idle = associate(ae, "127.0.0.1", site.port)
    assert idle.send_c_store(slice_of(0)).Status == 0x0000
    site.until(lambda: idle.is_aborted)
    site.until(lambda: sender().associate("127.0.0.1", site.port).is_established)


def zip_of(members: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return written.getvalue()


def test_a_zip_that_unpacks_to_too_much(start_with, monkeypatch):
    site = start_with()
    monkeypatch.setattr(uploads, "_LARGEST_UNPACKED", 10 << 20)
    bomb = zip_of({f"{number}.dcm": bytes(1 << 20) for number in range(12)})
    assert len(bomb) < 20_000
    answer = site.http.post("/v1/uploads", files={"file": bomb})
    assert (answer.status_code, answer.json()["error"]) == (422, "zip-too-large")


def test_paths_in_a_zip_are_no_paths(start_with, slice_of, file_of, tmp_path):
    site = start_with()
    names = ["../../escaped.dcm", "/etc/escaped.dcm", "C:\\escaped.dcm", "a/" * 200 + "escaped.dcm"]
    archive = zip_of({name: file_of(slice_of(number)) for number, name in enumerate(names)})
    assert site.http.post("/v1/uploads", files={"file": archive}).json()["stored"] == len(names)
    assert not list(tmp_path.rglob("*escaped*"))


TEXTS = ("'; DROP TABLE studies; --", "<script>alert(1)</script>", "{{7*7}}${7*7}", "../../%s%n")


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_want_to_be_more(start_with, slice_of, text):
    """They are data: in the index, in what is found, and in what the operator's page is given."""
    site = start_with()
    site.configure()
    names = ("PatientID", "PatientName", "StudyID", "BodyPartExamined", "Manufacturer", "ProtocolName", "StationName")
    ds = slice_of(0, SpecificCharacterSet="ISO_IR 192", SliceThickness=1.5, **dict.fromkeys(names, text))
    association = associate(sender(), "127.0.0.1", site.port, ae_title="RADLOOP")
    assert association.send_c_store(ds).Status == 0x0000
    association.release()
    site.settle()
    assert site.rows("SELECT count(*) FROM studies") == [(1,)]
    (study,) = site.http.get("/dicom-web/studies").json()
    key = study["0020000D"]["Value"][0]
    page = site.http.get(f"/v1/studies/{key}")
    assert page.status_code == 200 and page.headers["content-type"] == "application/json"
    assert "<script>" not in page.text
    for value in (text, f"*{text}*"):
        found = site.http.get("/dicom-web/studies", params={"PatientName": value})
        assert (found.status_code, found.json()) == (200, [])
