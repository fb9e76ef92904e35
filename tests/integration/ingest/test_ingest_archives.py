"""Archives that answer otherwise than Orthanc does, as real peers of one association each; and the file that lists a site's."""

import json

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from ingest.adapters.archives import Archive, ArchivesFile
from ingest.adapters.dimse_retrieve import MoveArchive
from ingest.adapters.parsing import configure_libraries
from ingest.domain.cohorts import Found
from ingest.domain.pulls import Failure, Query, StudyFailed, Way
from radloop.errors import Invalid, NotFound, PermanentError, TemporaryError
from standalone.supervisor.ports import free_ports

pytestmark = pytest.mark.integration

STUDY = Found("1.2.826.55")


def answer(**values) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.fixture
def peer():
    """Start an archive that answers C-FIND by level as a test says, and C-MOVE not at all; return the connection to it."""
    configure_libraries()
    servers = []

    def run(found=None, *, breaks_off=False, calling=()):
        def on_find(event):
            for each in (found or {}).get(event.identifier.QueryRetrieveLevel, ()):
                yield (each, None) if isinstance(each, int) else (0xFF00, each)

        def on_move(event):
            if breaks_off:
                event.assoc.abort()
            yield None, None

        entity = AE(ae_title="PACS")
        entity.require_calling_aet = list(calling)
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
        handlers = [(evt.EVT_C_FIND, on_find), (evt.EVT_C_MOVE, on_move)]
        (port,) = free_ports(1)
        servers.append(entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers))
        return MoveArchive(Archive("pacs", "PACS", "127.0.0.1", port, "RADLOOP", "RADLOOP", "", None, None, 5.0))

    yield run
    for server in servers:
        server.shutdown()


def test_a_study_is_counted_by_its_series_where_the_archive_does_not_count_it(peer):
    series = [
        answer(StudyInstanceUID=STUDY.study_instance_uid, SeriesInstanceUID=f"1.2.826.55.{number}", **counted)
        for number, counted in ((1, {"NumberOfSeriesRelatedInstances": 12}), (2, {}))
    ]
    images = [answer(SOPInstanceUID=f"1.2.826.55.2.{number}") for number in range(3)]
    study = answer(StudyInstanceUID=STUDY.study_instance_uid, PatientID="P")
    archive = peer({"STUDY": [study], "SERIES": series, "IMAGE": images})
    found = archive.look(STUDY.study_instance_uid)
    assert (found.instances, found.patient_id) == (12 + 3, "P")
    assert archive.look("1.2.826.56") is None


def test_a_study_says_its_parts(peer):
    series = [answer(SeriesInstanceUID=f"1.2.{n}", BodyPartExamined=part) for n, part in enumerate(("Chest", "", None))]
    assert peer({"SERIES": series}).body_parts(STUDY.study_instance_uid) == {"CHEST"}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(0xA700, TemporaryError, "archive-busy"), (0xA900, PermanentError, "archive-refuses-find")],
)
def test_a_find_that_fails(peer, status, kind, code):
    with pytest.raises(kind, match=code):
        peer({"STUDY": [status]}).find(Query(patient_ids=("P",)))


def test_an_archive_that_does_not_know_where_to_send_to(peer):
    archive = peer()  # pynetdicom answers 0xA801 where its handler has no address
    with pytest.raises(PermanentError, match="move-destination-unknown"):
        archive.retrieve(STUDY, lambda: None)


def test_an_archive_that_does_not_know_us(peer):
    with pytest.raises(TemporaryError, match="archive-rejects"):
        peer(calling=["SOMEBODY"]).find(Query(patient_ids=("P",)))


def test_an_archive_that_is_not_there():
    (port,) = free_ports(1)
    archive = MoveArchive(Archive("pacs", "PACS", "127.0.0.1", port, "RADLOOP", "RADLOOP", "", None, None, 5.0))
    with pytest.raises(TemporaryError, match="archive-away"):
        archive.retrieve(STUDY, lambda: None)
    archive.abort()
    with pytest.raises(TemporaryError, match="archive-stopped"):
        archive.find(Query(patient_ids=("P",)))


def test_a_connection_that_ends_in_the_middle_is_a_study_that_did_not_come(peer):
    with pytest.raises(StudyFailed) as caught:
        peer(breaks_off=True).retrieve(STUDY, lambda: None)
    assert caught.value.failure is Failure.BROKEN_OFF


DIMSE = {"ae_title": "PACS", "host": "10.9.0.5"}


def test_the_file_of_archives(tmp_path):
    file = tmp_path / "archives.json"
    file.write_text(json.dumps({"pacs": DIMSE, "web": {"web_url": "https://pacs/dicom-web/"}}))
    archives = ArchivesFile(file, "RADLOOP")
    found = archives.get("pacs", Way.C_MOVE)
    assert (found.calling_ae_title, found.move_destination, found.port) == ("RADLOOP", "RADLOOP", 104)
    assert archives.get("web", Way.WADO).web_url == "https://pacs/dicom-web"
    with pytest.raises(Invalid, match="archive-way"):
        archives.get("web", Way.C_GET)
    with pytest.raises(NotFound, match="archive-unknown"):
        archives.get("other", Way.C_GET)
    # It is read again.
    (tmp_path / "token").write_text("abc\n")
    changed = {"web_url": "http://pacs/dicom-web", "bearer_token_file": str(tmp_path / "token")}
    file.write_text(json.dumps({"other": changed}))
    assert archives.get("other", Way.WADO).token() == "abc"
    (tmp_path / "token").unlink()
    with pytest.raises(PermanentError, match="archive-token"):
        archives.get("other", Way.WADO).token()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"pacs": {}}',
        '{"pacs": {"ae_title": "PACS"}}',
        json.dumps({"pacs": {**DIMSE, "password": "x"}}),
        json.dumps({"pacs": {**DIMSE, "ae_title": "A TITLE THAT IS TOO LONG"}}),
        json.dumps({"pacs": {"web_url": "ftp://pacs"}}),
    ],
)
def test_a_file_of_archives_with_a_fault_stops_the_start(tmp_path, text):
    (tmp_path / "archives.json").write_text(text)
    with pytest.raises(PermanentError, match="archives-file"):
        ArchivesFile(tmp_path / "archives.json", "RADLOOP")


def test_without_a_file_there_are_no_archives():
    assert ArchivesFile(None, "RADLOOP").all() == {}
