"""Cohorts pulled from a real Orthanc by C-MOVE, C-GET and DICOMweb: counted, as slowly as wanted, complete, and nothing twice."""

import io
import json
import threading
import time

import httpx
import pydicom
import pytest
import uvicorn
from pydicom.uid import ComprehensiveSRStorage, CTImageStorage
from starlette.applications import Starlette
from starlette.routing import Mount
from typer.testing import CliRunner

from ingest.adapters.metrics import INSTANCES
from ingest.adapters.tables import METADATA
from ingest.domain.pulls import MOST_ATTEMPTS, backoff_s
from radloop.errors import Conflict
from radloop.testing.databases import ONE_ENGINE
from standalone.commands.root import app as commands
from standalone.supervisor.ports import free_ports
from tests.dicom_peers import AE_TITLE, needs_orthanc, orthanc
from tests.integration.ingest.test_ingest_values import DATA, needs_data

# On PostgreSQL and S3: the repositories' suite, and test_ingest_pulls_kill.
pytestmark = [pytest.mark.integration, needs_orthanc, ONE_ENGINE]

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
    # Without a cache, a file that is gone is missed.
    with orthanc(tmp_path_factory.mktemp("orthanc"), {}, MaximumStorageCacheSize=0) as running:
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


def until(site, pull_id, done):
    """Wait until a pull is so far; return it as it is shown then."""
    last = {}

    def is_done() -> bool:
        last.update(shown(site, pull_id))
        return bool(done(last))

    try:
        site.until(is_done)
    except AssertionError as error:
        raise AssertionError(f"the pull stands at {last}") from error
    return last


def waits_for(site, pull_id, why):
    return until(site, pull_id, lambda pull: pull["waits_for"] == why)


def finished(site, pull_id):
    return until(site, pull_id, lambda pull: pull["state"] == "done")


@pytest.mark.parametrize("way", ["c-move", "c-get", "wado"])
def test_a_cohort_is_pulled_whole(site, way):
    pull = finished(site, begin(site, way=way))
    assert {"studies": 2, "done": 2, "failed": 0, "instances": 7, "instances_expected": 7}.items() <= pull[
        "counts"
    ].items()
    # Nobody waits for the quiet time, which is ten minutes here.
    site.until(lambda: site.status["cases"] == 2)
    assert sorted(site.rows("SELECT count(*) FROM instances GROUP BY study_key")) == [(3,), (4,)]
    keys = {key for (key,) in site.rows("SELECT study_key FROM studies")}
    assert {entry["study_key"] for entry in pull["entries"]} == keys
    # Whose they were is forgotten here: the studies' own rows know it.
    assert set(site.rows("SELECT identity FROM pull_studies")) == {("",)}


def test_a_dry_run_counts_and_leaves_nothing(site):
    asked = {"archive": "pacs", "way": "c-get", **QUERY, "priors": 5, "throttle": {"studies_per_hour": 60}}
    asked["queries"] = [*QUERY["queries"], {"accession_numbers": ["ACC4"]}]
    answer = site.http.post("/v1/pulls?dry_run=true", json=asked | {"window": "20:00-06:00"}).json()
    assert answer == {
        "queries": [{"studies": 2, "instances": 7}, {"studies": 1, "instances": 2}],
        "by_modality_and_year": {"CT": {"2010": 1, "2018": 1, "2020": 2}, "MR": {"2017": 1}},
        "studies": 5,
        "priors": 2,
        "known": 0,
        "partly_known": 0,
        "withdrawn": 0,
        "to_pull": 5,
        "instances_to_pull": 13,
        "uncounted": 0,
        "estimated_bytes": 13 * 530_000,
        "estimated_s": 300,
        "estimated_windows": 0.0,
    }
    assert site.http.get("/v1/pulls").json() == {"pulls": []}
    assert site.status["instances"] == 0
    # What is here is counted as known, and its size is an estimate of the rest's.
    finished(site, begin(site))
    site.settle()
    again = site.http.post("/v1/pulls?dry_run=true", json=asked).json()
    assert (again["known"], again["to_pull"], again["instances_to_pull"]) == (2, 3, 6)
    ((mean,),) = site.rows("SELECT avg(object_size) FROM instances")
    assert again["estimated_bytes"] == round(4 * float(mean) + 2 * 530_000)


def test_priors_are_of_the_same_kind_and_not_newer(site):
    pull = finished(site, begin(site, priors=1, way="c-move"))
    # Study 2 of the first patient, and study 7 of the second; neither the head, nor MR, nor what came later.
    assert [(entry["prior"], entry["instances"]) for entry in pull["entries"]] == [
        *[(False, 4), (False, 3)],
        *[(True, 2), (True, 2)],
    ]
    assert site.rows("SELECT count(*) FROM studies") == [(4,)]


def test_a_throttle_holds_studies_back(site, clock):
    pull_id = begin(site, throttle={"studies_per_hour": 6})
    assert waits_for(site, pull_id, "throttle")["next_at"] == NOON + 600
    clock.now += 599
    site.until(lambda: site.status["instances"] == 4)
    assert shown(site, pull_id)["counts"]["waiting"] == 1
    clock.now += 1
    assert finished(site, pull_id)["counts"]["done"] == 2


@pytest.mark.parametrize("way", ["c-get", "c-move"])
def test_a_throttle_of_instances_is_kept_over_studies(site, clock, way):
    pull_id = begin(site, way=way, throttle={"instances_per_second": 20})
    assert waits_for(site, pull_id, "throttle")["next_at"] == NOON + 4 / 20
    clock.now += 1
    finished(site, pull_id)


def test_outside_of_its_window_a_pull_waits_and_says_so(site, clock):
    pull_id = begin(site, window="20:00-06:00")
    found = until(site, pull_id, lambda pull: pull["state"] == "waiting-for-window")
    assert (found["waits_for"], found["next_at"]) == ("window", NOON + 8 * 3600)
    assert not found["listed"]
    clock.now = NOON + 8 * 3600
    finished(site, pull_id)


def test_a_restart_goes_on_and_pulls_nothing_twice(site, start, clock):
    pull_id = begin(site, throttle={"studies_per_hour": 1})
    waits_for(site, pull_id, "throttle")
    doubled = INSTANCES.labels("duplicate")._value.get()
    (first,) = [entry for entry in shown(site, pull_id)["entries"] if entry["fate"] == "done"]
    site.service.drain()
    clock.now += 3600
    again = start(clock=clock)
    entries = finished(again, pull_id)["entries"]
    assert [entry["instances"] for entry in entries] == [4, 3]
    assert first in entries
    assert INSTANCES.labels("duplicate")._value.get() == doubled


def test_what_came_before_is_not_pulled(site):
    finished(site, begin(site))
    counted = INSTANCES.labels("duplicate")._value.get()
    assert finished(site, begin(site))["counts"]["known"] == 2
    assert INSTANCES.labels("duplicate")._value.get() == counted


def test_an_archive_that_is_away_is_asked_again(site, environment, pacs, clock):
    known(environment, pacs, port=free_ports(1)[0])
    pull_id = begin(site)
    found = waits_for(site, pull_id, "problem")
    assert (found["problem"], found["next_at"]) == ("archive-away", NOON + backoff_s(1))
    known(environment, pacs)
    clock.now += backoff_s(1)
    assert finished(site, pull_id)["problem"] == ""


def test_an_archive_that_does_not_know_us_refuses_each_study(site, environment, pacs):
    known(environment, pacs, move_destination="NOBODY")
    pull_id = begin(site, way="c-move")
    found = until(site, pull_id, lambda pull: [each["attempts"] for each in pull["entries"]] == [1, 1])
    # Orthanc says "unable to process" where the standard has 0xA801.
    assert {(each["reason"], each["detail"]) for each in found["entries"]} == {("archive-refused", "status 0xC000")}


@pytest.mark.parametrize("way", ["c-move", "c-get", "wado"])
def test_fewer_than_the_archive_counts_is_tried_again_and_listed(site, pacs, clock, slice_of, file_of, way):
    lost = store_one_that_is_lost(pacs, slice_of, file_of, way)
    dates = {"first": "2022-01-01", "last": "2022-01-01"}
    pull_id = begin(site, way=way, queries=[{"study_date": dates, "study_description": f"*{way}*"}])
    for attempt in range(1, MOST_ATTEMPTS + 1):
        until(site, pull_id, lambda pull, attempt=attempt: [each["attempts"] for each in pull["entries"]] == [attempt])
        clock.now += backoff_s(attempt)
    (entry,) = finished(site, pull_id)["entries"]
    assert (entry["fate"], entry["instances_expected"]) == ("failed", 3)
    assert entry["reason"] in ("incomplete", "archive-refused", "broken-off")
    file, content = lost
    file.write_bytes(content)
    assert site.http.post(f"/v1/pulls/{pull_id}/resume").json()["state"] in ("planned", "running")
    (entry,) = finished(site, pull_id)["entries"]
    assert (entry["fate"], entry["instances"], entry["reason"]) == ("done", 3, "")


def store_one_that_is_lost(pacs, slice_of, file_of, way):
    """Store a study of three instances, one of whose files is gone from Orthanc's disk; return the file and its content."""
    study = f"{UID}22.{len(way)}.{ord(way[-1])}"
    for index in range(3):
        pacs.store(
            file_of(
                slice_of(
                    index,
                    StudyInstanceUID=study,
                    SeriesInstanceUID=f"{study}.1",
                    SOPInstanceUID=f"{study}.1.{index}",
                    StudyDate="20220101",
                    StudyDescription=f"CANARY {way}",
                )
            )
        )
    (instance,) = httpx.post(f"{pacs.url}/tools/lookup", content=f"{study}.1.1", trust_env=False).json()
    uuid = pacs.get(f"instances/{instance['ID']}/attachments/dicom/info")["Uuid"]
    file = pacs.folder / "files" / uuid[:2] / uuid[2:4] / uuid
    content = file.read_bytes()
    file.unlink()
    return file, content


@pytest.mark.parametrize("way", ["c-move", "c-get", "wado"])
def test_a_study_is_done_when_the_rest_was_refused_by_reason(site, pacs, slice_of, file_of, way):
    study = f"{UID}23.{len(way)}.{ord(way[-1])}"
    of_study = {"StudyInstanceUID": study, "StudyDate": "20230101", "StudyDescription": f"CANARY {way}"}
    image = slice_of(0, **of_study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=f"{study}.1.0")
    report = slice_of(
        *(0,), **of_study, SeriesInstanceUID=f"{study}.2", SOPInstanceUID=f"{study}.2.0", PixelData=None, Modality="SR"
    )
    report.SOPClassUID = ComprehensiveSRStorage
    for ds in (image, report):
        pacs.store(file_of(ds))
    dates = {"first": "2023-01-01", "last": "2023-01-01"}
    pull_id = begin(site, way=way, queries=[{"study_date": dates, "study_description": f"*{way}*"}])
    (entry,) = finished(site, pull_id)["entries"]
    assert (entry["fate"], entry["instances"], entry["refused"]) == ("done", 1, {"no-pixel-data": 1})


def test_a_withdrawn_study_is_not_pulled(site, clock):
    site.http.post("/v1/withdraw", json={"study_instance_uid": f"{UID}1", "reason": "consent"})
    pull = finished(site, begin(site))
    assert (pull["counts"]["withdrawn"], pull["counts"]["done"]) == (1, 1)
    assert site.status["instances"] == 4


def test_a_study_withdrawn_while_it_waits_is_forgotten_there(site, clock):
    pull_id = begin(site, throttle={"studies_per_hour": 1})
    waits_for(site, pull_id, "throttle")
    assert site.rows("SELECT count(*) FROM pull_studies WHERE identity <> ''") == [(1,)]
    site.http.post("/v1/withdraw", json={"study_instance_uid": f"{UID}1", "reason": "consent"})
    assert site.rows("SELECT count(*) FROM pull_studies WHERE identity <> ''") == [(0,)]
    assert finished(site, pull_id)["counts"]["withdrawn"] == 1


def test_pause_resume_and_cancel(site, clock):
    pull_id = begin(site, throttle={"studies_per_hour": 1})
    waits_for(site, pull_id, "throttle")
    assert site.http.post(f"/v1/pulls/{pull_id}/pause").json()["state"] == "paused"
    clock.now += 3600
    other = begin(site, queries=[{"patient_ids": ["CANARY-P2"], "at_most": 1}])
    finished(site, other)
    assert shown(site, pull_id)["counts"]["waiting"] == 1
    site.http.post(f"/v1/pulls/{pull_id}/resume")
    assert finished(site, pull_id)["counts"]["done"] == 2
    assert site.http.post(f"/v1/pulls/{pull_id}/pause").status_code == 409
    third = begin(site, window="20:00-06:00")
    assert site.http.post(f"/v1/pulls/{third}/cancel").json()["state"] == "cancelled"
    assert site.http.post(f"/v1/pulls/{third}/resume").status_code == 409
    said = [(each["action"], each["target"]) for each in site.http.get("/v1/audit").json()["entries"]]
    assert [each for each in said if each[1] == pull_id] == [
        ("pull-start", pull_id),
        ("pull-pause", pull_id),
        ("pull-resume", pull_id),
    ]
    assert ("pull-cancel", third) in said


def test_nothing_kept_names_anybody(site, clock, caplog):
    asked = {"queries": [{"patient_ids": ["CANARY-P1", "CANARY-P2"], "study_description": "CANARY*"}]}
    pull_id = begin(site, **asked, throttle={"studies_per_hour": 1})
    waits_for(site, pull_id, "throttle")
    kept = "".join(str(site.rows(f"SELECT * FROM {table}")) for table in METADATA.tables)
    told = json.dumps([shown(site, pull_id), site.http.get("/v1/pulls").json()])
    logged = "".join(str(record.__dict__) for record in caplog.records if not record.name.startswith("http"))
    assert pull_id in kept and pull_id in told
    for text in (kept, told, logged):
        assert not [trace for trace in ("CANARY", UID, "ACC1") if trace in text]


def test_the_vault_of_a_pull_outlives_a_rotation_of_the_key(site, clock):
    pull_id = begin(site, throttle={"studies_per_hour": 1})
    waits_for(site, pull_id, "throttle")
    site.http.post("/v1/keys/rotate")
    rows = "SELECT vault_version FROM {} WHERE {} <> ''"
    site.until(lambda: site.rows(rows.format("pulls", "sealed")) == [(2,)])
    site.until(lambda: site.rows(rows.format("pull_studies", "identity")) == [(2,)])
    clock.now += 3600
    assert finished(site, pull_id)["counts"]["done"] == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"quries": []}, "quries"),
        ({"queries": [{"modality": "CT"}]}, "queries.0"),
        ({"queries": [{"patient_ids": ["CANARY*"]}]}, "queries.0.patient_ids.0"),
        ({"window": "night"}, "window"),
        ({"way": "ftp"}, "way"),
        ({"project": "nobody"}, None),
        ({"archive": "nobody"}, None),
    ],
)
def test_a_query_file_with_a_fault_is_refused_by_its_place(site, changes, named):
    answer = site.http.post("/v1/pulls", json={"archive": "pacs", "way": "c-get", **QUERY, **changes})
    assert answer.status_code == (404 if named is None else 422)
    assert "CANARY" not in answer.text
    assert named is None or named in answer.json()["got"]
    assert site.rows("SELECT count(*) FROM pulls") == [(0,)]


def test_a_service_that_is_told_to_end_does_not_wait_for_a_study(site, start, clock):
    pull_id = begin(site, throttle={"instances_per_second": 0.1})
    site.until(lambda: site.status["instances"] > 0)
    begun = time.monotonic()
    site.service.drain()
    assert time.monotonic() - begun < 8
    clock.now += 3600
    again = start(clock=clock)
    (entry, _) = shown(again, pull_id)["entries"]
    assert (entry["fate"], entry["attempts"]) == ("retrieving", 0)
    # It goes on, as slowly: a pull that is cancelled does not keep others waiting for its study.
    again.http.post(f"/v1/pulls/{pull_id}/cancel")
    assert finished(again, begin(again))["counts"]["instances"] == 7


@pytest.fixture
def command(site, monkeypatch):
    """The radloop command, against the service under the path that the platform's one door has for it."""
    (port,) = free_ports(1)
    whole = Starlette(routes=[Mount("/ingest", app=site.service.http)])
    server = uvicorn.Server(uvicorn.Config(whole, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    site.until(lambda: server.started)
    monkeypatch.setenv("RADLOOP_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("RADLOOP_TOKEN", site.http.headers["authorization"].removeprefix("Bearer "))
    yield lambda *words: CliRunner().invoke(commands, ["pull", *words])
    server.should_exit = True
    thread.join(10)


def test_the_command_pulls_by_a_file(command, environment, clock):
    (environment / "cohort.csv").write_text("Name,PatientID\nsomebody,CANARY-P2\n")
    query = environment / "query.yaml"
    query.write_text(
        "archive: pacs\nproject: p\npurpose: cohort\nway: c-get\nwindow: '20:00-06:00'\npriors: 1\n"
        "throttle: {studies_per_hour: 1}\nqueries:\n"
        "  - {patient_ids: {file: cohort.csv, column: PatientID}, study_date: {first: 2020-01-01}, modality: CT}\n"
    )
    planned = command("start", str(query), "--dry-run").output
    assert "2 studies, 1 of them priors." in planned
    assert "To pull: 2 studies, 6 instances, about 0.00 GB; 2.0 hours at the throttle, 0.2 times the window." in planned
    started = command("start", str(query), "--no-follow")
    assert started.exit_code == 0
    assert "waiting-for-window" in started.output and "Waits for: window" in started.output
    pull_id = started.output.split()[1].rstrip(":")
    assert pull_id in command("list").output
    clock.now = NOON + 8 * 3600
    query.write_text(query.read_text().replace("studies_per_hour: 1}", "studies_per_hour: 100000}"))
    again = command("start", str(query))
    assert "done. c-get from pacs for p." in again.output and "2/2 studies" in again.output
    clock.now += 3600
    assert "done" in command("show", pull_id, "--follow").output
    assert json.loads(command("show", pull_id, "--json").stdout)["counts"]["studies"] == 2
    assert isinstance(command("cancel", pull_id).exception, Conflict)


@pytest.mark.parametrize("way", ["c-get", "wado"])
def test_words_of_any_language_are_matched(site, pacs, slice_of, file_of, way):
    study = f"{UID}25.{len(way)}"
    ds = slice_of(0, SpecificCharacterSet="ISO_IR 192", StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1")
    ds.SOPInstanceUID, ds.StudyDate, ds.StudyDescription = f"{study}.1.1", "20250101", f"Schädel {way}"
    pacs.store(file_of(ds))
    dates = {"first": "2025-01-01", "last": "2025-01-01"}
    pull = finished(site, begin(site, way=way, queries=[{"study_date": dates, "study_description": f"*schädel {way}"}]))
    assert pull["counts"]["done"] == 1


@needs_data
@pytest.mark.parametrize("way", ["c-move", "c-get", "wado"])
def test_compressed_instances_come_as_they_are_stored(site, pacs, way, file_of):
    folder = DATA / "dicom_codecs" / "same_pixels"
    study, kept = f"{UID}24.{len(way)}.{ord(way[-1])}", set()
    for name in ("1", "4", "7", "9"):  # native, RLE, JPEG-LS, JPEG 2000
        ds = pydicom.dcmread(folder / f"{name}.dcm")
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, f"{study}.1", f"{study}.1.{name}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PatientID, ds.StudyDescription = f"CODECS-{way}", ""
        pacs.store(file_of(ds))
        kept.add(ds.file_meta.TransferSyntaxUID)
    (entry,) = finished(site, begin(site, way=way, queries=[{"patient_ids": [f"CODECS-{way}"]}]))["entries"]
    assert (entry["fate"], entry["instances"]) == ("done", 4)
    stored = [pydicom.dcmread(io.BytesIO(data)) for key, data in site.stored().items() if key.endswith(".dcm")]
    assert {ds.file_meta.TransferSyntaxUID for ds in stored} == kept
