"""A service whose disk takes no further byte: it stays up, says so, loses nothing, and goes on when there is room again."""

import copy
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.events import open_event_log
from standalone.supervisor.ports import free_ports

LIMIT_S = 60.0
PROJECT = "/v1/projects/hippocampus"
EXAMPLE = Path(__file__).resolve().parents[3] / "docs/examples/project.json"


class ControlPlane:
    """The service as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.events_url = f"sqlite:///{folder}/events.db"
        (port,) = free_ports(1)
        settings = {
            "EVENTS_URL": self.events_url,
            "DATABASE_URL": f"sqlite:///{folder}/state",
            "OBJECTS_URL": f"file:///{folder}/objects",
            "AUTH_URL": f"token:{folder}/secret",
            "WORK_DIR": f"{folder}/work",
            "HTTP_PORT": str(port),
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RADLOOP_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "control_plane"],
            env=environment | {f"RADLOOP_{name}": value for name, value in settings.items()},
            stderr=subprocess.DEVNULL,
        )
        token = open_authenticator(settings["AUTH_URL"]).issue("root", {"*": [Role.SITE_ADMIN]}, lifetime_s=3600)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=LIMIT_S
        )
        self.body = json.loads(EXAMPLE.read_text())

    def configure(self, batch_size: int) -> httpx.Response:
        body = copy.deepcopy(self.body)
        body["selection"]["batch_size"] = batch_size
        return self.http.put(PROJECT, json=body)

    def ready(self) -> httpx.Response | None:
        assert self.process.poll() is None, "the service ended"
        try:
            return self.http.get("/readyz")
        except httpx.ConnectError:
            return None

    def let_files_grow(self, to_bytes: int) -> None:
        """Bound the size of any file the process writes; the kernel refuses what is beyond it."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (to_bytes, hard))

    def said(self) -> list[int]:
        """Return the batch size of each event that was published, in order."""
        log = open_event_log(self.events_url)
        stored = list(log.read("project-configured", {}, 100))
        assert not [topic for topic in log.topics() if topic.endswith(".dlq")]
        log.close()
        assert max(Counter(one.record.headers["ce_id"] for one in stored).values(), default=1) == 1
        read = control_plane_pb2.ProjectConfigured.FromString
        return [read(one.record.value).selection.batch_size for one in stored]

    def close(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait(LIMIT_S)


@pytest.fixture
def control_plane(tmp_path):
    service = ControlPlane(tmp_path)
    yield service
    service.close()


def until(condition, what):
    deadline, pause = time.monotonic() + LIMIT_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, what
        pause.wait(0.1)


def test_a_service_outlasts_a_full_disk(control_plane):
    until(lambda: (answer := control_plane.ready()) and answer.status_code == 200, "the service is ready")
    assert control_plane.configure(10).status_code == 200
    until(lambda: control_plane.said() == [10], "the first event is published")

    control_plane.let_files_grow(1)
    for _ in range(3):
        refused = control_plane.configure(11)
        assert (refused.status_code, refused.json()["error"]) == (503, "database-unavailable")
    not_ready = control_plane.ready()
    assert not_ready.status_code == 503 and "database-unavailable" in not_ready.json()["checks"]["database"]
    read = control_plane.http.get(PROJECT)
    assert read.status_code == 200 and read.json()["selection"]["batch_size"] == 10

    control_plane.let_files_grow(resource.RLIM_INFINITY)
    until(lambda: control_plane.ready().status_code == 200, "it is ready again, without a restart")
    assert control_plane.configure(12).json()["project_version"] == 2
    until(lambda: control_plane.said() == [10, 12], "what is said now is published, and nothing of what was refused")
