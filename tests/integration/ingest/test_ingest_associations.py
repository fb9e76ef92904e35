"""Real associations: statuses, repeats, withdrawal, restarts, a full disk, and nothing identified anywhere."""

import logging
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, MRImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from ingest import app
from ingest.adapters.dimse import DicomDoor
from ingest.adapters.reception import Reception
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.errors import PermanentError, TemporaryError
from radloop.imaging import read_nifti
from standalone.association import associate

pytestmark = pytest.mark.integration


def statuses(answers) -> list[int]:
    return [answer.Status for answer in answers]


def test_echo(site):
    ae = AE()
    ae.add_requested_context(Verification)
    association = associate(ae, "127.0.0.1", site.port)
    assert association.send_c_echo().Status == 0x0000
    (accepted,) = list(site.service.on_start[2].__self__._ae.active_associations)
    assert accepted.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    association.release()


def test_from_association_to_event(site, send, slice_of):
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
    association = associate(ae, "127.0.0.1", site.port)
    assert [context.transfer_syntax for context in association.accepted_contexts] == [[taken]]
    association.release()


BAD = {
    "no pixel data": ({"PixelData": None}, 0xC002, "NO-PIXEL-DATA"),
    "fewer pixels than declared": ({"Rows": 40}, 0xC001, "TRUNCATED"),
    "no study": ({"StudyInstanceUID": None}, 0xC003, "UNDECODABLE"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_instances_get_a_status_and_the_service_stays_up(site, send, name, slice_of):
    changes, status, comment = BAD[name]
    bad, good = send([slice_of(0, **changes), slice_of(1)])
    assert (bad.Status, bad.ErrorComment) == (status, comment)
    assert good.Status == 0x0000
    site.settle()
    assert len(site.said("study-rejected")) == 2  # this one, and no project


def test_other_pixels_under_a_known_uid(site, send, slice_of):
    first, again, other = send([slice_of(0), slice_of(0, EchoTime=5), slice_of(0, PixelData=bytes(48 - 2) + b"\1\0")])
    assert (first.Status, again.Status, other.Status) == (0x0000, 0x0000, 0xC004)
    (held,) = site.http.get("/v1/quarantine").json()["quarantine"]
    assert held["reason"] == "pixels-differ"
    study = site.http.get(f"/v1/studies/{held['study_key']}").json()
    assert study["differences"][0]["keywords"] == ["EchoTime"]
    refused = site.http.post(f"/v1/quarantine/{held['id']}/release")
    assert (refused.status_code, refused.json()["error"]) == (409, "another-is-stored")


def test_full_disk(start, send_to, monkeypatch, slice_of, file_of):
    """The store refuses: the sender is told to come again, and nothing is half there."""
    opened = app.open_objects

    def failing(url):
        objects = opened(url)
        put = objects.put

        def refuse(key, data, digest=""):
            if full:
                raise TemporaryError("object-store-unavailable", got="No space left on device")
            return put(key, data, digest)

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


def test_withdrawal(site, send, slice_of):
    site.configure()
    send([slice_of(n) for n in range(3)])
    site.settle()
    (said,) = site.said("study-ingested")
    for before in ("received", "withdrawn"):
        answer = site.http.post("/v1/withdraw", json={"study_instance_uid": "1.2.826.4242", "reason": "consent"})
        assert answer.json() == {"study_key": said.study_key, "before": before}
    (withdrawn,) = site.said("study-withdrawn")
    assert (withdrawn.study_key, withdrawn.reason) == (said.study_key, ingest_pb2.WITHDRAW_REASON_CONSENT)
    site.until(lambda: not site.stored())
    (answer,) = send([slice_of(7)])
    assert (answer.Status, answer.ErrorComment) == (0x0124, "WITHDRAWN")
    assert site.http.get(f"/v1/cases/{said.cases[0].case_id}").status_code == 404
    assert site.stored() == {} and site.status["instances"] == 0


def test_withdrawal_before_the_study_comes(site, send, slice_of):
    answer = site.http.post("/v1/withdraw", json={"study_instance_uid": "1.2.826.4242", "reason": "sent-in-error"})
    assert answer.json()["before"] == "unknown"
    assert statuses(send([slice_of(0)])) == [0x0124]


def test_pseudonyms_survive_a_restart(start, send_to, slice_of):
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


def test_what_a_crash_left_is_swept(start, environment, send_to, slice_of):
    """An object that was written and never counted goes at the next start; what was counted stays."""
    site = start()
    send_to(site.port, [slice_of(0)])
    study_key = site.http.get("/v1/studies").json()["studies"][0]["study_key"]
    receiver = site.service.on_start[1].__self__
    receiver.open("X").begin(study_key)  # and never closed
    orphan = f"ingest/{study_key}/instances/2.25.1-00.dcm"
    receiver.objects.put(orphan, b"half a study")
    site.service.drain()
    assert orphan in site.stored()
    again = start()
    assert orphan not in again.stored() and len(again.stored()) == 1
    assert again.status["instances"] == 1


def test_nothing_identified_on_any_disk_or_in_any_log(site, send, environment, caplog, slice_of, file_of):
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


def _association(port):
    entity = AE(ae_title="MODALITY")
    entity.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = associate(entity, "127.0.0.1", port, ae_title="RADLOOP")
    assert association.is_established
    return association


def test_a_slow_sender_is_waited_for(start, environment, monkeypatch, slice_of):
    monkeypatch.setenv("INGEST_QUIET_S", "0.2")
    site = start()
    site.configure()
    slow = _association(site.port)
    assert slow.send_c_store(slice_of(0)).Status == 0x0000
    began = time.monotonic()
    site.until(lambda: time.monotonic() > began + 1.5)
    assert slow.send_c_store(slice_of(1)).Status == 0x0000
    slow.release()
    site.until(lambda: site.said("study-ingested"))
    (said,) = site.said("study-ingested")
    assert list(said.cases[0].shape) == [6, 4, 2]


def test_a_study_that_broke_off_waits_for_the_rest(start, environment, monkeypatch, slice_of):
    monkeypatch.setenv("INGEST_QUIET_S", "0.5")
    site = start()
    site.configure()
    broken = _association(site.port)
    for number in range(2):
        assert broken.send_c_store(slice_of(number)).Status == 0x0000
    broken.abort()
    site.until(lambda: [row[0] for row in site.rows("SELECT broken FROM studies")] == [1])
    ended = time.monotonic()
    site.until(lambda: time.monotonic() > ended + 2)  # four quiet times
    assert site.said("study-ingested") == []
    again = _association(site.port)
    for number in range(4):
        assert again.send_c_store(slice_of(number)).Status == 0x0000
    again.release()
    site.until(lambda: site.said("study-ingested"))
    (said,) = site.said("study-ingested")
    assert list(said.cases[0].shape) == [6, 4, 4]


def test_a_sender_that_breaks_off_while_an_instance_is_taken_has_broken_off(start, monkeypatch, slice_of):
    monkeypatch.setenv("INGEST_QUIET_S", "0.5")
    site = start()
    site.configure()
    association = _association(site.port)
    assert association.send_c_store(slice_of(0)).Status == 0x0000
    taken, may_go_on, store = threading.Event(), threading.Event(), Reception._store

    def slowly(reception, cleaned):
        taken.set()
        may_go_on.wait(10)
        return store(reception, cleaned)

    monkeypatch.setattr(Reception, "_store", slowly)
    sender = threading.Thread(target=association.send_c_store, args=(slice_of(1),))
    sender.start()
    assert taken.wait(10)
    association.abort()
    sender.join(10)
    time.sleep(0.5)  # the association is known to be gone
    may_go_on.set()
    site.until(lambda: site.rows("SELECT count(*) FROM instances") == [(2,)])
    site.until(lambda: [row[0] for row in site.rows("SELECT broken FROM studies")] == [1])
    ended = time.monotonic()
    site.until(lambda: time.monotonic() > ended + 2)  # four quiet times
    assert site.said("study-ingested") == []
    assert site.rows("SELECT count(*) FROM receptions") == [(0,)]
