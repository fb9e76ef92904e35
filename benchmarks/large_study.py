"""How long after its last instance is a study of 3,000 instances announced, and how much memory does that take?

    python benchmarks/large_study.py [--instances N] [--series S]

CT slices of 512 x 512 in several series, sent by dcmtk's dcmsend over one association to `ingest`, as a process of its own with
embedded engines, which waits for one quiet second. Prints a Markdown table; nothing else depends on this program.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from ingest_orthanc import SCRATCH, peak_mib, send
from ingest_store import KINDS, receiver, slices
from pydicom.uid import generate_uid

from radloop.contracts.control_plane.v1 import control_plane_pb2 as cp
from radloop.events import open_event_log
from radloop.messages import Envelope, Record

PROGRAM = """
import os, sys
os.environ["INGEST_QUIET_S"] = "1"
from ingest.app import build
from ingest.settings import IngestSettings
from radloop.settings import load
from radloop.telemetry import configure_logging
configure_logging("error")
service = build(load(IngestSettings))
service.start()
print(service.on_stop[-1].__self__.port, flush=True)
sys.stdin.read()
"""
PATIENCE_S = 300.0


def project() -> Record:
    """Return the announcement of a project that takes every CT."""
    event = cp.ProjectConfigured(
        project_id="p",
        project_version=1,
        routing=[cp.RoutingRule(modality="CT")],
        split=cp.SplitPolicy(validation_fraction=0.2, test_fraction=0.2),
        phases=cp.PHASE_RULE_SPLIT,
    )
    envelope = Envelope.new("project-configured", source="/site-1/control-plane", subject="p")
    return Record("project-configured", "p", event.SerializeToString(), envelope.headers())


def write(folder: Path, count: int, series: int) -> None:
    """Write the study as files."""
    uids = [generate_uid() for _ in range(series)]
    frame_of_reference = generate_uid()
    for number, ds in enumerate(slices(KINDS[1], count)):
        ds.Modality, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "CT", uids[number % series], frame_of_reference
        ds.ImagePositionPatient, ds.InstanceNumber = [0, 0, number // series], number // series + 1
        ds.save_as(folder / f"{number:05}.dcm", enforce_file_format=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=3000)
    parser.add_argument("--series", type=int, default=5)
    choices = parser.parse_args()
    if not shutil.which("dcmsend"):
        raise SystemExit("needs dcmtk: make dicom-peers")
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        folder, files = Path(name), Path(name) / "files"
        files.mkdir()
        write(files, choices.instances, choices.series)
        with receiver(PROGRAM, folder) as (port, pid):
            log = open_event_log(f"sqlite:///{folder}/events.db")
            log.append([project()])
            before = peak_mib(pid)
            began = time.perf_counter()
            send(port, [files])
            received_s = time.perf_counter() - began
            last = time.perf_counter()
            while not log.read("study-ingested", {}, 1):
                if time.perf_counter() - last > PATIENCE_S:
                    raise SystemExit(f"no study-ingested after {PATIENCE_S:.0f} s")
                time.sleep(0.05)
            announced_s = time.perf_counter() - last
            print(
                "| instances | series | received, /s | seconds from the last to `study-ingested` | MiB before | peak MiB |"
            )
            print("|---|---|---|---|---|---|")
            print(
                f"| {choices.instances} | {choices.series} | {choices.instances / received_s:.0f} | {announced_s:.1f} "
                f"| {before:.0f} | {peak_mib(pid):.0f} |"
            )


if __name__ == "__main__":
    main()
