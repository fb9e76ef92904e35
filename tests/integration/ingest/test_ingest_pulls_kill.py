"""Killed in the middle of a study that is pulled: the next start goes on there, and pulls nothing again that was whole."""

import json
import os
import threading
from pathlib import Path

import httpx
import pytest

from ingest.adapters.tables import METADATA
from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.events import open_event_log
from radloop.messages import Envelope, Record
from radloop.sql import Database
from standalone.supervisor.forked import Forked
from standalone.supervisor.ports import free_ports
from tests.dicom_peers import AE_TITLE, needs_orthanc, orthanc

pytestmark = [pytest.mark.integration, needs_orthanc]

WAIT_S = 60.0
STUDIES, SLICES = 3, 4
UID = "1.2.826.77."


class Site:
    """The service as a process of its own, killed and started again."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.database_url = folder, database_url
        self.dicom_port, self.http_port = free_ports(2)
        self.environment = {
            **os.environ,
            "RADLOOP_EVENTS_URL": f"sqlite:///{folder}/events.db",
            "RADLOOP_DATABASE_URL": database_url,
            "RADLOOP_OBJECTS_URL": f"file:///{folder}/objects",
            "RADLOOP_AUTH_URL": f"token:{folder}/secret",
            "RADLOOP_HTTP_PORT": str(self.http_port),
            "RADLOOP_LOG_LEVEL": "debug",
            "INGEST_SITE_KEY_FILE": f"{folder}/site-key",
            "INGEST_DICOM_PORT": str(self.dicom_port),
            "INGEST_ARCHIVES_FILE": f"{folder}/archives.json",
            "INGEST_QUIET_S": "600",
        }
        authenticator = open_authenticator(self.environment["RADLOOP_AUTH_URL"])
        token = authenticator.issue("admin", {"*": [Role.SITE_ADMIN]}, lifetime_s=600)
        url = f"http://127.0.0.1:{self.http_port}"
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        self.process: Forked | None = None

    def start(self, kill_at: str = "") -> None:
        environment = self.environment | ({"RADLOOP_KILL_AT": kill_at} if kill_at else {})
        self.process = Forked("ingest", [], environment, self.folder / "log.txt")
        self.until(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def has_died(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.http.close()

    def until(self, done) -> None:
        wake = threading.Event()
        for _ in range(int(WAIT_S / 0.05)):
            if done():
                return
            wake.wait(0.05)
        raise AssertionError(f"still waiting after {WAIT_S} s:\n{self.log[-2000:]}")

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def configure(self) -> None:
        event = cp.ProjectConfigured(
            project_id="p",
            project_version=1,
            # No case is formed of what comes: only instances are written, which the point of the kill is counted by.
            routing=[cp.RoutingRule(modality="CT")],
            split=cp.SplitPolicy(validation_fraction=0.2, test_fraction=0.2),
            phases=cp.PHASE_RULE_SPLIT,
        )
        envelope = Envelope.new("project-configured", source="/site-1/control-plane", subject="p")
        log = open_event_log(self.environment["RADLOOP_EVENTS_URL"])
        log.append([Record("project-configured", "p", event.SerializeToString(), envelope.headers())])
        log.close()
        self.until(lambda: self.http.get("/v1/status").json()["projects"])

    def pulls(self) -> list[dict]:
        return self.http.get("/v1/pulls").json()["pulls"]

    def counted(self, fate: str) -> float:
        """Return how many instances this process answered so."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(
            float(line.split()[-1]) for line in lines if f'="{fate}"' in line and "ingest_instances_total" in line
        )


@pytest.fixture
def pacs(tmp_path, slice_of, file_of):
    with orthanc(tmp_path / "orthanc", {}) as running:
        for study in range(STUDIES):
            uid = f"{UID}{study}"
            for number in range(SLICES):
                ds = slice_of(
                    number,
                    StudyInstanceUID=uid,
                    SeriesInstanceUID=f"{uid}.1",
                    SOPInstanceUID=f"{uid}.1.{number}",
                    PatientID=f"CANARY-{study}",
                )
                running.store(file_of(ds))
        yield running


@pytest.fixture
def site(tmp_path, database_url, pacs):
    one = Site(tmp_path, database_url)
    there = {"AET": "RADLOOP", "Host": "127.0.0.1", "Port": one.dicom_port}
    httpx.put(f"{pacs.url}/modalities/radloop", json=there, trust_env=False).raise_for_status()
    entry = {"ae_title": AE_TITLE, "host": "127.0.0.1", "port": pacs.port, "web_url": pacs.web, "timeout_s": 10}
    (tmp_path / "archives.json").write_text(json.dumps({"pacs": entry}))
    yield one
    one.stop()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", ["c-move", "c-get", "wado"])
def test_killed_in_the_middle_of_a_study(site, way):
    # In the second study: what was written and not counted is swept, and the study is asked for again.
    site.start(f"after-object-write:{SLICES + 2}")
    site.configure()
    query = {"archive": "pacs", "project": "p", "purpose": "cohort", "way": way}
    query["queries"] = [{"study_date": {"first": "2020-01-01", "last": "2020-12-31"}, "study_description": "CANARY*"}]
    try:
        site.http.post("/v1/pulls", json=query)
    except httpx.TransportError:
        pass  # it dies while it answers
    site.until(site.has_died)
    site.process.wait()
    site.start()
    site.until(lambda: site.pulls()[0]["state"] == "done")
    (pull,) = site.pulls()
    assert (pull["counts"]["done"], pull["counts"]["instances"]) == (STUDIES, STUDIES * SLICES)
    # Of the study at hand one instance counted before; nothing of the first came again.
    assert site.counted("duplicate") == 1
    assert site.counted("stored") == STUDIES * SLICES - SLICES - 1
    database = Database(site.database_url, "ingest")
    with database.begin(read_only=True) as connection:
        tables = [str(connection.exec_driver_sql(f"SELECT * FROM {table}").all()) for table in METADATA.tables]
    database.close()
    assert pull["pull_id"] in "".join(tables)
    for text in (site.log, *tables):
        assert not [trace for trace in ("CANARY", UID) if trace in text]
