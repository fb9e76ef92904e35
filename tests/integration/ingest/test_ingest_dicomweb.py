"""STOW-RS, QIDO-RS and WADO-RS over the running service, as dicomweb-client asks: what goes in is found and comes out, cleaned."""

import io
import threading
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest
import uvicorn
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from requests import HTTPError, Session

from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.testing.databases import ONE_ENGINE
from standalone.supervisor.ports import free_ports

pytestmark = pytest.mark.integration

STUDIES, SLICES = 3, 2


@pytest.fixture
def door(site) -> Iterator[str]:
    """The service behind a real port; returns the address of DICOMweb."""
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(site.service.http, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    site.until(lambda: server.started)
    yield f"http://127.0.0.1:{port}/dicom-web"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client_of(site, door):
    """Makes clients: roles at the site or in a project, and the person."""

    def make(*roles: Role, **who: str) -> DICOMwebClient:
        session = Session()
        session.headers.update(site.client(*roles, **who).headers)
        return DICOMwebClient(door, session=session)

    return make


@pytest.fixture
def client(client_of) -> DICOMwebClient:
    return client_of(Role.SITE_ADMIN)


@pytest.fixture
def read_slice(slice_of, file_of):
    """As `slice_of`, read from a file: what dicomweb-client is given it writes as it is."""
    return lambda *arguments, **changes: pydicom.dcmread(io.BytesIO(file_of(slice_of(*arguments, **changes))))


@pytest.fixture
def instances(read_slice) -> list[pydicom.Dataset]:
    """Three studies of two slices each, the second one CT, the days of the three ten days apart."""
    return [
        read_slice(
            number,
            StudyInstanceUID=f"1.2.826.{study}",
            SeriesInstanceUID=f"1.2.826.{study}.1",
            SOPInstanceUID=f"1.2.826.{study}.1.{number}",
            PatientID="CANARY-ID",
            StudyDate=f"202001{11 + 10 * study}",
            StudyTime="101500",
            SeriesNumber=study + 1,
            InstanceNumber=number + 1,
            Modality="CT" if study == 1 else "MR",
            BodyPartExamined="BRAIN",
        )
        for study in range(STUDIES)
        for number in range(SLICES)
    ]


@pytest.fixture
def stored(client, instances) -> list[dict]:
    """All of them, stored; the studies that a search finds, the oldest first."""
    answer = client.store_instances(instances)
    assert len(answer.ReferencedSOPSequence) == len(instances) and "FailedSOPSequence" not in answer
    assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
        ds.SOPInstanceUID for ds in instances
    }
    found = client.search_for_studies()
    assert len(found) == STUDIES
    return found[::-1]


def value(found: dict, tag: str):
    return found[tag]["Value"][0]


def path_of(found: dict) -> tuple[str, ...]:
    return tuple(value(found, tag) for tag in ("0020000D", "0020000E", "00080018") if tag in found)


def test_studies_are_found_by_their_attributes(client, stored):
    keys = [value(study, "0020000D") for study in stored]
    assert [value(study, "00080061") for study in stored] == ["MR", "CT", "MR"]
    assert {value(study, "00201206") for study in stored} == {1}
    assert {value(study, "00201208") for study in stored} == {SLICES}
    assert {value(study, "00100020") for study in stored} == {
        value(study, "00100010")["Alphabetic"] for study in stored
    }
    assert "CANARY" not in str(stored) and "1.2.826" not in str(stored)
    days = [value(study, "00080020") for study in stored]
    patient = value(stored[0], "00100020")

    def found(**filters) -> list[str]:
        return [value(study, "0020000D") for study in client.search_for_studies(search_filters=filters)][::-1]

    assert found(StudyInstanceUID=keys[1]) == [keys[1]]
    assert sorted(found(StudyInstanceUID=f"{keys[0]},{keys[2]}")) == sorted([keys[0], keys[2]])
    assert found(ModalitiesInStudy="CT") == [keys[1]] and found(ModalitiesInStudy="PT") == []
    assert found(StudyDate=days[1]) == [keys[1]]
    assert found(StudyDate=f"{days[1]}-") == keys[1:] and found(StudyDate=f"-{days[1]}") == keys[:2]
    assert found(StudyDate=f"{days[0]}-{days[1]}") == keys[:2]
    assert found(StudyTime="10-11") == keys and found(StudyTime="11-") == []
    assert found(PatientID=patient) == found(PatientName=f"{patient[:6]}*") == found(PatientID="P-??????*") == keys
    assert found(PatientID="P-%") == found(PatientID=patient[:6]) == []
    assert found(**{"00100020": patient, "00080061": "CT"}) == [keys[1]]
    # What de-identification took away is not there to be found.
    assert found(AccessionNumber="CANARY-ACC") == found(StudyDescription="*CANARY*") == []
    assert found(AccessionNumber="*") == keys


def test_pages(client, door, stored):
    keys = [value(study, "0020000D") for study in stored][::-1]
    pages = [client.search_for_studies(limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [[value(study, "0020000D") for study in page] for page in pages] == [keys[:2], keys[2:], []]
    first, last = (client._session.get(f"{door}/studies?limit=2&offset={offset}") for offset in (0, 2))
    assert "more results" in first.headers["warning"] and "warning" not in last.headers


def test_series_and_instances_are_found(client, stored):
    (study,) = path_of(stored[1])
    (series,) = client.search_for_series(study)
    assert (value(series, "00080060"), value(series, "00200011"), value(series, "00201209")) == ("CT", 2, SLICES)
    assert "00100020" not in series  # of its study, which was named
    everywhere = client.search_for_series(search_filters={"Modality": "MR"})
    assert len(everywhere) == 2 and {value(one, "00100020") for one in everywhere} == {value(stored[0], "00100020")}
    assert [value(one, "0020000E") for one in client.search_for_series(search_filters={"SeriesNumber": "2"})] == [
        value(series, "0020000E")
    ]
    found = client.search_for_instances(*path_of(series))
    assert [value(one, "00200013") for one in found] == [1, 2]
    assert {(value(one, "00280010"), value(one, "00280011")) for one in found} == {(4, 6)}
    (second,) = client.search_for_instances(study, search_filters={"InstanceNumber": "2"})
    assert path_of(second) == path_of(found[1])


@ONE_ENGINE
def test_what_was_stored_comes_back_cleaned(client, door, stored, instances):
    (study,) = path_of(stored[0])
    back = client.retrieve_study(study)
    assert [ds.pixel_array.tolist() for ds in back] == [ds.pixel_array.tolist() for ds in instances[:SLICES]]
    assert "CANARY" not in str(back)
    assert {ds.PatientIdentityRemoved for ds in back} == {"YES"}
    (series,) = client.search_for_series(study)
    assert len(client.retrieve_series(*path_of(series))) == SLICES
    first, second = client.search_for_instances(*path_of(series))
    assert client.retrieve_instance(*path_of(second)).SOPInstanceUID == path_of(second)[2]
    (frame,) = client.retrieve_instance_frames(*path_of(second), [1])
    assert frame == instances[1].PixelData
    for metadata in (
        client.retrieve_study_metadata(study),
        client.retrieve_series_metadata(*path_of(series)),
        [client.retrieve_instance_metadata(*path_of(first))],
    ):
        assert value(metadata[0], "00080018") == path_of(first)[2]
    uri = client.retrieve_instance_metadata(*path_of(second))["7FE00010"]["BulkDataURI"]
    path = uri.partition("/dicom-web/")[2]  # dicomweb-client says the host without its port
    assert client.retrieve_bulkdata(f"{door}/{path}") == [instances[1].PixelData]


@ONE_ENGINE
def test_the_address_is_the_one_the_client_knows(client, door, stored):
    headers = {"X-Forwarded-Prefix": "/ingest"}
    (found, *_) = client._session.get(f"{door}/studies", headers=headers).json()
    assert value(found, "00081190") == door.replace("/dicom-web", "/ingest/dicom-web") + "/studies/" + path_of(found)[0]
    (found, *_) = client._session.get(f"{door}/studies", headers={"X-Forwarded-Prefix": '/x"><script>'}).json()
    assert value(found, "00081190").startswith(f"{door}/studies/")


@ONE_ENGINE
def test_compressed_instances_come_as_they_are_or_plain(client, read_slice):
    ds = read_slice(5)
    expected = ds.pixel_array
    ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    client.store_instances([ds])
    (found,) = client.search_for_instances(path_of(client.search_for_studies()[0])[0])
    native = (("application/dicom", str(pydicom.uid.ExplicitVRLittleEndian)),)
    plain = client.retrieve_instance(*path_of(found), media_types=native)
    assert plain.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    as_stored = client.retrieve_instance(*path_of(found), media_types=(("application/dicom", "*"),))
    assert as_stored.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    assert np.array_equal(plain.pixel_array, expected) and np.array_equal(as_stored.pixel_array, expected)


@ONE_ENGINE
def test_pictures(client, door, read_slice):
    values = np.arange(24, dtype="<u2") * 100
    client.store_instances([read_slice(PixelData=values.tobytes(), RescaleSlope=2, RescaleIntercept=-1000)])
    (found,) = client.search_for_instances(path_of(client.search_for_studies()[0])[0])
    study, series, instance = path_of(found)
    url = f"{door}/studies/{study}/series/{series}/instances/{instance}"

    def picture(path: str, accept: str = "image/png"):
        answer = client._session.get(f"{url}/{path}", headers={"Accept": accept})
        assert answer.status_code == 200, answer.text
        return Image.open(io.BytesIO(answer.content))

    rescaled = values.reshape(4, 6) * 2.0 - 1000
    # PS3.3 C.11.2.1.2.1, for a window of 1000 around 500.
    expected = np.round(np.clip((rescaled - 499.5) / 999 + 0.5, 0, 1) * 255)
    shown = picture("rendered?window=500,1000,linear")
    assert (shown.format, shown.mode, shown.size) == ("PNG", "L", (6, 4))
    assert np.array_equal(np.asarray(shown), expected)
    assert np.array_equal(np.asarray(picture("frames/1/rendered?window=500,1000,linear")), expected)
    whole = np.asarray(picture("rendered"))
    assert (whole.min(), whole.max()) == (0, 255)
    assert picture("rendered?viewport=3,3").size == (3, 2)
    assert picture("rendered", "image/jpeg").format == "JPEG"
    assert picture("thumbnail", "image/*").size == (6, 4)
    for query in ("window=1,0,linear", "window=a", "window=1,2,cubic", "viewport=0,1", "quality=101"):
        answer = client._session.get(f"{url}/rendered?{query}", headers={"Accept": "image/png"})
        assert (answer.status_code, answer.json()["error"]) == (400, "rendering-unreadable")
    assert client._session.get(f"{url}/rendered", headers={"Accept": "image/gif"}).status_code == 406
    assert client._session.get(f"{url}/frames/2/rendered").status_code == 404


@ONE_ENGINE
@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("studies?Pet=CAT", {}, 400, "query-attribute"),
        ("studies?SeriesInstanceUID=1.2", {}, 400, "query-attribute"),
        ("studies?PatientID=a&00100020=b", {}, 400, "query-attribute"),
        ("studies?limit=-1", {}, 400, "query-unreadable"),
        ("studies?fuzzymatching=maybe", {}, 400, "query-unreadable"),
        ("studies?includefield=Nothing", {}, 400, "query-attribute"),
        ("studies", {"Accept": "text/html"}, 406, "not-acceptable"),
        ("studies/2.25.1", {}, 404, "instance-unknown"),
        ("studies/2.25.1/metadata", {}, 404, "instance-unknown"),
        ("studies/2.25.1", {"Accept": "image/png"}, 406, "not-acceptable"),
    ],
)
def test_what_cannot_be_answered(client, door, query, headers, status, code):
    answer = client._session.get(f"{door}/{query}", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


@ONE_ENGINE
def test_fuzzy_matching_is_off_and_says_so(client, door, stored):
    answer = client._session.get(f"{door}/studies?PatientName=P-*&fuzzymatching=true&includefield=all")
    assert len(answer.json()) == STUDIES and "fuzzymatching" in answer.headers["warning"]


def related(*parts: bytes, kind: str = "application/dicom") -> tuple[bytes, dict]:
    body = b"".join(b"--xyz\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + part + b"\r\n" for part in parts)
    return body + b"--xyz--", {"Content-Type": 'multipart/related; type="application/dicom"; boundary=xyz'}


@ONE_ENGINE
def test_what_cannot_be_stored_is_named_and_the_rest_is(client, door, instances, file_of):
    body, headers = related(file_of(instances[0]), b"no DICOM", file_of(instances[0])[:-10])
    answer = client._session.post(f"{door}/studies", data=body, headers=headers)
    told = answer.json()
    assert answer.status_code == 202
    assert [value(item, "00081155") for item in told["00081199"]["Value"]] == [instances[0].SOPInstanceUID]
    nothing, cut = told["00081198"]["Value"]
    assert (value(nothing, "00081197"), "00081155" in nothing) == (0xC000, False)
    assert (value(cut, "00081197"), value(cut, "00081155")) == (0xC001, instances[0].SOPInstanceUID)

    body, headers = related(file_of(instances[0]))
    answer = client._session.post(f"{door}/studies/1.2.826.1", data=body, headers=headers)
    assert (answer.status_code, value(answer.json()["00081198"]["Value"][0], "00081197")) == (409, 0xA900)
    answer = client._session.post(f"{door}/studies/1.2.826.0", data=body, headers=headers)
    assert answer.status_code == 200


@ONE_ENGINE
def test_bodies_that_are_none(client, door, instances, file_of):
    body, headers = related(file_of(instances[0]))
    post = client._session.post
    assert post(f"{door}/studies", data=body, headers={"Content-Type": "application/dicom"}).status_code == 415
    json_parts, _ = related(b"{}", kind="application/dicom+json")
    assert post(f"{door}/studies", data=json_parts, headers=headers).status_code == 415
    for cut in (b"", body[:100], body[:-4]):
        answer = post(f"{door}/studies", data=cut, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "body-unreadable")
    assert not client.search_for_studies()


def test_who_may(site, client, client_of, instances):
    site.configure(modality="CT", members=[cp.Member(subject="ann", role=cp.ROLE_READER)])
    client.store_instances(instances)
    site.settle()
    (of_ct,) = client.search_for_studies(search_filters={"ModalitiesInStudy": "CT"})
    of_mr = client.search_for_studies(search_filters={"ModalitiesInStudy": "MR"})[0]
    ann, bob = client_of(subject="ann"), client_of(subject="bob")
    assert [path_of(one) for one in ann.search_for_studies()] == [path_of(of_ct)]
    assert len(ann.search_for_series()) == 1 and len(ann.search_for_instances(*path_of(of_ct))) == SLICES
    assert ann.search_for_instances(*path_of(of_mr)) == []
    assert len(ann.retrieve_study(*path_of(of_ct))) == SLICES
    assert bob.search_for_studies() == [] and bob.search_for_series() == []
    for other in (ann, bob):
        with pytest.raises(HTTPError, match="403"):
            other.retrieve_study(*path_of(of_mr))
        with pytest.raises(HTTPError, match="403"):
            other.store_instances(instances[:1])
    seen = set(site.rows("SELECT subject, action FROM audit WHERE subject <> 'somebody'"))
    assert seen == {("ann", "view")}


def test_a_withdrawn_study_is_not_found(site, client, stored):
    (study,) = path_of(stored[0])
    assert site.http.post("/v1/withdraw", json={"study_key": study, "reason": "consent"}).status_code == 200
    assert len(client.search_for_studies()) == STUDIES - 1
    for path in ("", "/metadata"):
        assert client._session.get(f"{client.base_url}/studies/{study}{path}").status_code == 410
