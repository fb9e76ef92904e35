"""How long each process takes to be ready, what it holds in memory, and how long a study waits for its prediction.

Starts the whole platform in a folder of its own, brings a small bundle that serves, and sends phantom studies of two series one
after the other: by C-STORE, then told complete, then watched until ``prediction-made`` stands in the event log.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from radloop.events import open_event_log
from standalone.client import Client, operator_token
from standalone.demo.cohort import load_cohort, phantom_source
from standalone.demo.project import project_of
from standalone.demo.sending import Destination, send_patients
from standalone.demo.state import PROJECT_ID, Choices
from standalone.layout import Layout, read_platform

STUDIES = 6
PATIENCE_S = 180.0


def main() -> None:
    """Measure and print the tables."""
    with tempfile.TemporaryDirectory() as name:
        layout = Layout(Path(name))
        up = subprocess.Popen(
            [sys.executable, "-m", "standalone", "up", "--data", name, "--port", "0", "--dicom-port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        try:
            ready = _ready_times(up)
            print(_processes(layout, ready))
            print()
            print(_study_times(layout))
        finally:
            up.terminate()
            up.communicate(timeout=60)


def _ready_times(up: subprocess.Popen[str]) -> dict[str, float]:
    times: dict[str, float] = {}
    assert up.stdout is not None
    for line in up.stdout:
        if found := re.match(r"\s+(\S+)\s+ready after ([\d.]+) s", line):
            times[found[1]] = float(found[2])
        if line.startswith("radloop is up"):
            return times
    sys.exit("platform-ended: expected a platform; got its end before it was ready")


def _processes(layout: Layout, ready: dict[str, float]) -> str:
    """Make the table of start-up and memory; the ids stand in the folder, in the order the processes are started."""
    rows = ["| process | ready after, s (all started at once) | memory, MiB |", "|---|---|---|"]
    for identity in json.loads(layout.processes_file.read_text()):
        memory = _memory_mib(psutil.Process(int(identity["pid"])))
        rows.append(f"| {identity['name']} | {ready.get(identity['name'], float('nan')):.1f} | {memory:.0f} |")
    everything = _memory_mib(psutil.Process(read_platform(layout).pid))
    rows.append(
        f"| together, with the launcher and what is forked from | {max(ready.values()):.1f} | {everything:.0f} |"
    )
    return "\n".join([*rows, "", "A page of memory that n processes share counts as 1/n of a page in each (PSS)."])


def _memory_mib(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(member.memory_full_info().pss for member in family) / 2**20


def _study_times(layout: Layout) -> str:
    from bundle_runner.sample import write_sample_bundle

    platform = read_platform(layout)
    client = Client(platform.url, operator_token(layout))
    choices = Choices(
        seed=1, rounds=1, batch=4, start=2, pool=STUDIES, test=2, validation=2, initial_steps=1, update_steps=1,
        error_share=0.0, cohort="phantom",
    )  # fmt: skip
    cohort = load_cohort(phantom_source(), seed=1, test=2, validation=2, start=2, pool=STUDIES)
    client.put(f"/control-plane/v1/projects/{PROJECT_ID}", project_of(choices, validation_cases=2, pool_cases=STUDIES))
    with tempfile.TemporaryDirectory() as name:
        bundle = write_sample_bundle(Path(name) / "sample.zip", window=(48, 64, 48), features=(16, 32, 64))
        form = {"project_id": PROJECT_ID, "model_name": PROJECT_ID, "serve": "true"}
        _again(lambda: client.post("/inference/v1/models", form, files={"file": ("b.zip", bundle.read_bytes())}))
    _wait(lambda: client.get("/inference/v1/status")["serving"].get(PROJECT_ID))
    destination = Destination(platform.dicom_host, platform.dicom_port, platform.dicom_ae_title)
    log = open_event_log(layout.events_url)
    sending, waiting = [], []
    for patient in cohort.pool:
        before = _count(log)
        began = time.monotonic()
        send_patients([patient], destination, associations=1)
        stored = time.monotonic()
        client.post("/ingest/v1/complete")
        wanted = before + len(patient.volumes)
        _wait(lambda wanted=wanted: _count(log) >= wanted)
        sending.append(stored - began)
        waiting.append(time.monotonic() - stored)
    log.close()
    client.close()
    rows = ["| phantom study of two series | median, s | least | most |", "|---|---|---|---|"]
    for said, values in (("C-STORE", sending), ("last C-STORE to `prediction-made` of both cases", waiting)):
        rows.append(f"| {said} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    note = f"{STUDIES} studies, one after the other; complete when told, so without the quiet time. U-Net (16, 32, 64), one pass."
    return "\n".join([*rows, "", note])


def _count(log) -> int:  # type: ignore[no-untyped-def]
    return sum(1 for _ in log.read("prediction-made", {}, 10_000))


def _again(call) -> None:  # type: ignore[no-untyped-def]
    """Call until a service has heard what it needs."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            call()
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _wait(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("platform-slow: waited too long; read the logs")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
