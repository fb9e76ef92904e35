"""How many instances per second does `ingest` take, against Orthanc as Debian has it?

    python benchmarks/ingest_orthanc.py [--instances N] [--rounds R] [--associations A...]

CT slices of 512 x 512, 16 bit, explicit little endian, sent by dcmtk's dcmsend with TCP_NODELAY at both ends, over one association
and over four (as many processes). Both receivers are processes of their own with empty storage, one after the other in every
round. Both answer Success when the file is synced; `ingest` has also de-identified it and synced its index row. CPU is that of
the receiving process. Prints a Markdown table; nothing else depends on this program.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ingest_store import INGEST, KINDS, cpu_s, receiver, slices

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.dicom_peers import ENVIRONMENT, orthanc

SCRATCH = Path.cwd() / ".radloop"  # on a disk; the system's folder for such may be memory


@contextmanager
def orthanc_receiver(folder: Path) -> Iterator[tuple[int, int]]:
    """Run Orthanc with the settings it comes with; yield port and process id."""
    with orthanc(folder, {}) as running:
        yield running.port, running.pid


RECEIVERS = {"Orthanc": orthanc_receiver, "ingest": partial(receiver, INGEST)}


def peak_mib(pid: int) -> float:
    """Return the largest resident size a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def send(port: int, folders: list[Path]) -> None:
    """Send each folder over an association of its own, all at a time."""
    command = [
        "dcmsend",
        "--aetitle",
        "BENCHMARK",
        "--call",
        "ANY-SCP",
        "+sd",
        "--no-uid-checks",
        "127.0.0.1",
        str(port),
    ]
    senders = [subprocess.Popen([*command, str(folder)], env=ENVIRONMENT) for folder in folders]
    if sum(sender.wait() != 0 for sender in senders):
        raise SystemExit("a sender failed: the numbers would mean nothing")


def measure(name: str, storage: Path, folders: list[Path], count: int) -> tuple[float, float, float]:
    """Return instances per second, CPU seconds per 1,000 and peak MiB of one receiver.

    ``storage`` is new, and stays until all is measured: for minutes ext4 makes new files slowly where many were deleted.
    """
    storage.mkdir()
    with RECEIVERS[name](storage) as (port, pid):
        os.sync()
        cpu, began = cpu_s(pid), time.perf_counter()
        send(port, folders)
        elapsed_s = time.perf_counter() - began
        return count / elapsed_s, (cpu_s(pid) - cpu) * 1000 / count, peak_mib(pid)


def written(folder: Path, count: int, parts: int) -> list[Path]:
    """Write the instances as files, dealt out to as many folders as there are associations."""
    folders = [folder / str(part) for part in range(parts)]
    for each in folders:
        each.mkdir(parents=True)
    for number, ds in enumerate(slices(KINDS[1], count)):
        ds.Modality = "CT"
        ds.save_as(folders[number % parts] / f"{number:05}.dcm", enforce_file_format=True)
    return folders


def main() -> None:
    """Measure both side by side and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 4])
    choices = parser.parse_args()
    if not shutil.which("Orthanc") or not shutil.which("dcmsend"):
        raise SystemExit("needs Orthanc and dcmtk: make dicom-peers")
    SCRATCH.mkdir(exist_ok=True)
    print(
        "| associations | Orthanc, /s | `ingest`, /s | ratio | Orthanc, CPU-s per 1,000 | `ingest`, CPU-s per 1,000 | peak MiB |"
    )
    print("|---|---|---|---|---|---|---|")
    for associations in choices.associations:
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            folders = written(Path(folder), choices.instances, associations)
            rounds = [
                {
                    name: measure(name, Path(folder) / f"{name}-{number}", folders, choices.instances)
                    for name in RECEIVERS
                }
                for number in range(choices.rounds)
            ]
        # The fastest round of each: what disturbs only ever slows down.
        theirs, ours = (max(one[name][0] for one in rounds) for name in RECEIVERS)
        theirs_s, ours_s = (min(one[name][1] for one in rounds) for name in RECEIVERS)
        theirs_mib, ours_mib = (max(one[name][2] for one in rounds) for name in RECEIVERS)
        cells = (
            associations,
            f"{theirs:.0f}",
            f"{ours:.0f}",
            f"{ours / theirs:.2f}",
            f"{theirs_s:.2f}",
            f"{ours_s:.2f}",
            f"{theirs_mib:.0f}, {ours_mib:.0f}",
        )
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
