"""How fast do the frames of a CT come to a browser, one by one, through the gateway, against the bare object read?

    python benchmarks/frames.py [--slices N] [--rounds R] [--connections C]

A series of 512 x 512, 16 bit, is uploaded to a running `ingest` (SQLite, folder) behind a running gateway. Then its frames are
fetched in order over as many connections as a browser opens to one host: by one reader who is a member of the project, with
the cookie that the sign-in sets, decoded, nothing cached. Bare is `Objects.get` in this process: read and digest verified. The
last row is taken while two other processes keep both cores busy. CPU is that of each process.
"""

import argparse
import http.client
import io
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pydicom
from ingest_store import Kind, cpu_s, slices
from pydicom.uid import CTImageStorage
from real_engines import scratch

from radloop.auth import Role, open_authenticator
from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.events import open_event_log
from radloop.http import COOKIE
from radloop.messages import Envelope, Record
from radloop.objects import open_objects
from radloop.references import ObjectRef
from standalone.supervisor.ports import free_ports

PATIENCE_S = 60.0
KIND = Kind("CT 512 x 512", CTImageStorage, 512, 512)
PATH = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/1"
ACCEPT = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'

GATEWAY = """
import sys, uvicorn
from radloop.auth import open_authenticator
from standalone.gateway.app import build
secret, ingest, port = sys.argv[1:]
app = build({"ingest": ingest}, open_authenticator(secret), "code", data_folder="")
uvicorn.run(app, host="127.0.0.1", port=int(port), log_config=None, access_log=False)
"""


class Site:
    """An `ingest` and a gateway that run, with one series in them."""

    def __init__(self, folder: Path, environment: dict[str, str], count: int) -> None:
        self.folder, ports = folder, free_ports(2)
        self.direct, self.gateway = (f"127.0.0.1:{port}" for port in ports)
        auth = environment["RADLOOP_AUTH_URL"]
        self.ingest = subprocess.Popen(
            [sys.executable, "-m", "ingest"], env=environment | {"RADLOOP_HTTP_PORT": str(ports[0])}
        )
        arguments = [auth, f"http://{self.direct}", str(ports[1])]
        self.door = subprocess.Popen([sys.executable, "-c", GATEWAY, *arguments], env=environment)
        self._tokens = open_authenticator(auth)
        admin = self._tokens.issue("admin", {"*": [Role.SITE_ADMIN]}, lifetime_s=3600)
        self._http = httpx.Client(
            base_url=f"http://{self.direct}", headers={"Authorization": f"Bearer {admin}"}, timeout=120, trust_env=False
        )
        self.cookie = f"{COOKIE}={self._tokens.issue('reader', {}, lifetime_s=3600)}"
        self.paths = self._fill(environment["RADLOOP_EVENTS_URL"], count)

    def close(self) -> None:
        """End both."""
        self._http.close()
        for process in (self.door, self.ingest):
            process.terminate()
            process.wait()

    def _fill(self, events_url: str, count: int) -> list[str]:
        """Upload the series, have its case formed, and return the path of each frame in the manifest's order."""
        _until(lambda: self._answers())
        event = cp.ProjectConfigured(
            project_id="bench",
            project_version=1,
            routing=[cp.RoutingRule(modality="MR")],
            split=cp.SplitPolicy(),
            phases=cp.PHASE_RULE_SPLIT,
            members=[cp.Member(subject="reader", role=cp.ROLE_READER)],
        )
        envelope = Envelope.new("project-configured", source="/bench/control-plane", subject="bench")
        log = open_event_log(events_url)
        log.append([Record("project-configured", "bench", event.SerializeToString(), envelope.headers())])
        log.close()
        _until(lambda: self._http.get("/v1/status").json()["projects"])
        files = []
        for number, ds in enumerate(slices(KIND, count)):
            ds.SeriesInstanceUID, ds.ImagePositionPatient = "1.2.3", [0, 0, number]
            buffer = io.BytesIO()
            pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
            files.append(("file", buffer.getvalue()))
        (study,) = self._http.post("/v1/uploads", files=files).raise_for_status().json()["studies"]
        self._http.post("/v1/complete").raise_for_status()
        _until(lambda: not self._http.get("/v1/status").json()["waiting"])
        (case,) = self._http.get(f"/v1/studies/{study}").json()["cases"]
        channel = self._http.get(f"/v1/cases/{case['case_id']}").json()["channels"][0]
        self.objects = [ObjectRef(**one["object"]) for one in channel["slices"]]
        return [
            PATH.format(study=study, series=channel["series_key"], instance=one["sop_instance_uid"])
            for one in channel["slices"]
        ]

    def _answers(self) -> bool:
        try:
            return all(
                httpx.get(f"http://{each}/livez", trust_env=False).is_success for each in (self.direct, self.gateway)
            )
        except httpx.TransportError:
            return False


def _until(done) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"still waiting after {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def fetch(address: str, paths: Sequence[str], cookie: str, connections: int) -> tuple[float, float]:
    """Fetch all frames in order over so many connections; return seconds to the first and to the last."""
    waiting, lock = list(reversed(paths)), threading.Lock()
    arrived: list[float] = []
    failures: list[str] = []

    def run() -> None:
        connection = http.client.HTTPConnection(address)
        while True:
            with lock:
                path = waiting.pop() if waiting else None
            if path is None:
                connection.close()
                return
            connection.request("GET", path, headers={"Accept": ACCEPT, "Cookie": cookie})
            answer = connection.getresponse()
            size = len(answer.read())
            if answer.status != 200 or size < KIND.rows * KIND.columns * 2:
                failures.append(f"{answer.status}, {size} bytes")
            arrived.append(time.perf_counter())

    threads = [threading.Thread(target=run) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"expected frames; got {failures[0]}")
    return min(arrived) - began, max(arrived) - began


def bare(folder: Path, refs: Sequence[ObjectRef]) -> tuple[float, float]:
    """Read all objects, one after the other."""
    objects = open_objects(f"file://{folder}/objects")
    began = time.perf_counter()
    first = 0.0
    for ref in refs:
        objects.get(ref)
        first = first or time.perf_counter() - began
    return first, time.perf_counter() - began


def _spin() -> None:
    values = np.zeros(1 << 16)
    while True:
        values += 1.0


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep so many cores busy until the end of the block."""
    spinners = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(cores)]
    for spinner in spinners:
        spinner.start()
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.join()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=6)
    choices = parser.parse_args()
    print(
        "| way | first frame, ms | all frames, s | frames/s | CPU of `ingest`, ms each | CPU of the gateway, ms each |"
    )
    print("|---|---|---|---|---|---|")
    with scratch() as folder:
        environment = os.environ | {
            "RADLOOP_EVENTS_URL": f"sqlite:///{folder}/events.db",
            "RADLOOP_DATABASE_URL": f"sqlite:///{folder}/state",
            "RADLOOP_OBJECTS_URL": f"file:///{folder}/objects",
            "RADLOOP_AUTH_URL": f"token:{folder}/secret",
            "RADLOOP_WORK_DIR": f"{folder}/work",
            "RADLOOP_LOG_LEVEL": "error",
            "INGEST_SITE_KEY_FILE": f"{folder}/site-key",
            "INGEST_DICOM_PORT": "0",
        }
        site = Site(folder, environment, choices.slices)
        through = [f"/ingest{path}" for path in site.paths]
        try:
            ways = {
                "bare object read": lambda: bare(folder, site.objects),
                "`ingest` direct": lambda: fetch(site.direct, site.paths, site.cookie, choices.connections),
                "through the gateway": lambda: fetch(site.gateway, through, site.cookie, choices.connections),
            }
            for name, way in ways.items():
                _row(name, way, site, choices)
            with busy(2):
                _row("through the gateway, both cores busy", ways["through the gateway"], site, choices)
        finally:
            site.close()


def _row(name: str, way, site: Site, choices: argparse.Namespace) -> None:  # type: ignore[no-untyped-def]
    """Print the fastest round: what disturbs only ever slows down; the first round, which warms up, does not count."""
    way()
    before = cpu_s(site.ingest.pid), cpu_s(site.door.pid)
    rounds = [way() for _ in range(choices.rounds)]
    fetched = choices.slices * choices.rounds
    used = [(cpu_s(p.pid) - b) * 1000 / fetched for p, b in zip((site.ingest, site.door), before, strict=True)]
    first, last = min(one[0] for one in rounds), min(one[1] for one in rounds)
    cpu = " | ".join(f"{each:.1f}" for each in used)
    print(f"| {name} | {first * 1000:.0f} | {last:.2f} | {choices.slices / last:.0f} | {cpu} |", flush=True)


if __name__ == "__main__":
    main()
