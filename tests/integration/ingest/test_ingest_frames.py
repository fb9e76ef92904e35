"""WADO-RS over the running service: frames of every stored form, metadata, roles, the audit trail, withdrawal."""

import json
import os
from email.parser import BytesParser
from pathlib import Path

import numpy as np
import pydicom
import pytest

from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.testing.databases import ONE_ENGINE

pytestmark = [pytest.mark.integration, ONE_ENGINE]

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no data at hand (RADLOOP_DATA)")
MULTIPART = {"Accept": 'multipart/related; type="application/octet-stream"'}


def parts_of(answer) -> list[bytes]:
    """Take an answer in parts apart, as a browser's reader of MIME would."""
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"]
    message = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.content)
    assert message.get_content_type() == "multipart/related" and not message.defects
    assert message.get_param("type") == "application/octet-stream"
    bodies, end = [], 0
    for part in message.get_payload():
        assert part.get_content_type() == "application/octet-stream"
        assert part.get_param("transfer-syntax") == "1.2.840.10008.1.2.1"
        size = int(part["content-length"])
        start = answer.content.index(b"\r\n\r\n", end) + 4
        end = start + size
        assert answer.content[end : end + 4] == b"\r\n--"
        bodies.append(answer.content[start:end])
    return bodies


def places(site) -> list[str]:
    """Return the path of each stored instance, in order of arrival."""
    rows = site.rows("SELECT study_key, series_key, sop_key FROM instances ORDER BY generation")
    return [f"/dicom-web/studies/{study}/series/{series}/instances/{sop}" for study, series, sop in rows]


@pytest.fixture
def sent(site, send, slice_of) -> list[str]:
    """Three slices of one series in project p, whose reader is ann; the paths of their instances."""
    site.configure(members=[cp.Member(subject="ann", role=cp.ROLE_READER)])
    send([slice_of(number) for number in range(3)])
    site.settle()
    return places(site)


def test_frames_and_their_headers(site, sent) -> None:
    for number, path in enumerate(sent):
        (frame,) = parts_of(site.http.get(f"{path}/frames/1", headers=MULTIPART))
        assert frame == np.full(24, number, dtype="<u2").tobytes()
    alone = site.http.get(f"{sent[2]}/frames/1", headers={"Accept": "application/octet-stream"})
    assert alone.headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert alone.content == np.full(24, 2, dtype="<u2").tobytes()
    assert alone.headers["cache-control"] == "private, max-age=60"
    again = site.http.get(
        f"{sent[2]}/frames/1", headers={"Accept": "application/octet-stream", "If-None-Match": alone.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    other = site.http.get(f"{sent[1]}/frames/1", headers={"If-None-Match": alone.headers["etag"]})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("frames", "accept", "status", "code"),
    [
        ("2", "*/*", 404, "frame-unknown"),
        ("0", "*/*", 404, "frame-unknown"),
        ("1,x", "*/*", 422, "frames-unreadable"),
        ("-1", "*/*", 422, "frames-unreadable"),
        ("1", "image/jpeg", 406, "not-acceptable"),
        ("1,1", "application/octet-stream", 406, "not-acceptable"),
    ],
)
def test_what_cannot_be_answered(site, sent, frames, accept, status, code) -> None:
    answer = site.http.get(f"{sent[0]}/frames/{frames}", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_an_instance_belongs_to_its_series_and_study(site, sent) -> None:
    study, series, sop = sent[0].split("/")[3::2]
    for path in (
        f"/dicom-web/studies/{study}/series/{series}/instances/2.25.1/frames/1",
        f"/dicom-web/studies/{study}/series/2.25.1/instances/{sop}/frames/1",
        f"/dicom-web/studies/2.25.1/series/{series}/instances/{sop}/frames/1",
        f"/dicom-web/studies/{study}/series/2.25.1/metadata",
    ):
        answer = site.http.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, "instance-unknown")


def test_metadata_of_a_series(site, sent) -> None:
    path = sent[0].rpartition("/instances/")[0] + "/metadata"
    answer = site.http.get(path, headers={"Accept": "application/dicom+json"})
    assert answer.headers["content-type"] == "application/dicom+json"
    found = answer.json()
    assert [one["00080018"]["Value"][0] for one in found] == [path.rpartition("/")[2] for path in sent]
    assert found[2]["00200032"]["Value"] == [0, 0, 3] and not any("Value" in one["7FE00010"] for one in found)
    assert "CANARY" not in json.dumps(found)
    assert site.http.get(path, headers={"Accept": "application/pdf"}).status_code == 406


def test_who_may_see_frames(site, sent) -> None:
    path, metadata = f"{sent[0]}/frames/1", sent[0].rpartition("/instances/")[0] + "/metadata"
    allowed = [site.client(role) for role in Role]
    allowed += [site.client(role, project_id="p") for role in Role]
    allowed += [site.client(project_id="p", subject="ann")]  # by the project's own list
    refused = [site.client(role, project_id="q") for role in Role] + [site.client(subject="bob")]
    for client, status in [(one, 200) for one in allowed] + [(one, 403) for one in refused]:
        assert client.get(path).status_code == status
        assert client.get(metadata).status_code == status
    nobody = site.client()
    del nobody.headers["authorization"]
    assert (nobody.get(path).status_code, nobody.get(metadata).status_code) == (401, 401)


def test_members_of_a_new_version_of_the_project(site, sent) -> None:
    ann, bob = site.client(subject="ann"), site.client(subject="bob")
    path = f"{sent[0]}/frames/1"
    assert (ann.get(path).status_code, bob.get(path).status_code) == (200, 403)
    site.configure(version=2, members=[cp.Member(subject="bob", role=cp.ROLE_REVIEWER)])
    assert (ann.get(path).status_code, bob.get(path).status_code) == (403, 200)


def test_a_look_at_a_series_is_one_entry_of_the_audit_trail(site, sent) -> None:
    ann, series = site.client(subject="ann"), sent[0].split("/")[5]
    site.client(subject="bob").get(f"{sent[0]}/frames/1")  # refused: has seen nothing
    for path in sent * 3:
        assert ann.get(f"{path}/frames/1").status_code == 200
    ann.get(f"{sent[0].rpartition('/instances/')[0]}/metadata")
    assert site.rows("SELECT subject, action, target FROM audit") == [("ann", "view", series)]


def test_a_withdrawn_study_is_gone_at_once(site, sent) -> None:
    path, metadata = f"{sent[0]}/frames/1", sent[0].rpartition("/instances/")[0] + "/metadata"
    tag = site.http.get(path).headers["etag"]
    body = {"study_key": sent[0].split("/")[3], "reason": "consent"}
    assert site.http.post("/v1/withdraw", json=body).status_code == 200
    for answer in (site.http.get(path), site.http.get(path, headers={"If-None-Match": tag}), site.http.get(metadata)):
        assert (answer.status_code, answer.json()["error"]) == (410, "study-withdrawn")


@needs_data
def test_frames_of_every_codec_are_the_same(site, send) -> None:
    files = sorted((DATA / "dicom_codecs" / "same_pixels").glob("*.dcm"))
    instances = [pydicom.dcmread(file) for file in files]
    for ds in instances:
        send([ds])
    expected = instances[0].pixel_array.astype("<u2").tobytes()
    found = places(site)
    assert len(found) == 9
    for path in found:
        assert parts_of(site.http.get(f"{path}/frames/1", headers=MULTIPART)) == [expected]


@needs_data
def test_frames_of_a_multiframe_instance(site) -> None:
    file = DATA / "dicom_enhanced" / "Philips" / "IM_0027_fMAP.dcm"
    pixels = pydicom.dcmread(file).pixel_array.astype("<u2")
    site.http.post("/v1/uploads", files={"file": file.read_bytes()})
    (path,) = places(site)
    frames = parts_of(site.http.get(f"{path}/frames/3,1,64", headers=MULTIPART))
    assert frames == [pixels[number - 1].tobytes() for number in (3, 1, 64)]
    assert site.http.get(f"{path}/frames/65").status_code == 404
