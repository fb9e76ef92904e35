"""``make benchmark [ARGS=name]``: run every benchmark, or one, and write its table under docs/benchmarks/.

Each is a program of its own that prints a Markdown table; this only runs them and keeps what they print.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TABLES = HERE.parent / "docs" / "benchmarks"
BENCHMARKS = {
    "ingest_store": "Instances per second into `ingest`, against a bare pynetdicom SCP that only writes files",
    "ingest_orthanc": "CT instances per second from dcmtk's dcmsend into `ingest`, against Orthanc",
    "large_study": "Seconds from the last instance of a study of 3,000 to `study-ingested`, and memory",
    "frames": "Frames per second to a browser: one by one by WADO-RS, direct and through the gateway, against the bare object read",
    "segmentations": "Seconds to write and read a whole-body label of 104 segments as SEG, RTSTRUCT and SR",
    "triton_client": "Triton through our client, against bare torch",
    "gpu": "A training step and a prediction of a whole CT, on a GPU and on its machine's processor",
    "whole_platform": "Start-up, memory of each process, and seconds from the last C-STORE of a study to `prediction-made`",
    "objects": "MB per second into S3 and out of it, through our adapter and through bare boto3",
    "relay": "Events of 1 KB per second from PostgreSQL to Kafka through the relay, against a bare producer",
    "handlers": "Transactions per second of one service, and events per second from log to tables",
    "latency": "Milliseconds from a commit to the next service's handler at 50 events a second",
    "scale": "Worklist, next task and label save with a thousand and with a million cases",
    "worklist": "Milliseconds of the reading room's table with ten thousand tasks, by HTTP",
    "reading_room": "Seconds to a large CT in the browser, and how it keeps up with the hand",
    "selection": "How well and how fast cases are ranked",
    "label_errors": "Share of seeded label errors that quality control returns",
}


def main() -> None:
    """Run what was asked for."""
    meanings = "\n".join(f"  {name:14} {meaning}" for name, meaning in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"benchmarks:\n{meanings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="benchmark", nargs="*", help="which to run; all when none is named")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"benchmark-unknown: expected {', '.join(BENCHMARKS)}; got {', '.join(unknown)}")
    TABLES.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name}: {BENCHMARKS[name]}", flush=True)
        if name == "gpu" and shutil.which("nvidia-smi") is None:
            print("gpu: no GPU here; its table is left as it is", flush=True)
            continue
        if name in ("ingest_orthanc", "large_study") and not (shutil.which("Orthanc") and shutil.which("dcmsend")):
            print(f"{name}: no Orthanc or dcmtk here (make dicom-peers); its table is left as it is", flush=True)
            continue
        began = time.monotonic()
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py")], stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, flush=True)
        machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
        note = f"Measured in {time.monotonic() - began:.0f} s on {machine}; other machines differ, ratios less so."
        (TABLES / f"{name}.md").write_text(f"# {BENCHMARKS[name]}\n\n{done.stdout.strip()}\n\n{note}\n")


if __name__ == "__main__":
    main()
