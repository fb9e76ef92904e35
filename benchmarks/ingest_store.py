"""How many instances per second does `ingest` take, against a bare pynetdicom SCP that only writes files?

    python benchmarks/ingest_store.py [--instances N] [--rounds R] [--associations A]

Both run as processes of their own, one after the other in every round, and are sent the same instances over real
associations: small slices as of the demo's cohort (36 x 48, 16 bit) and slices of a CT (512 x 512). The bare SCP writes what
it received, without sync, index or de-identification; `ingest` answers Success when the de-identified instance and its index
row are synced to the disk. CPU is that of the receiving process.
Prints a Markdown table; nothing else depends on this program.
"""

import argparse
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE, evt

from standalone.association import associate

BARE = """
import os, socket, sys, uuid
from pathlib import Path
from pynetdicom import AE, AllStoragePresentationContexts, evt
folder = Path(sys.argv[1])
def opened(event):
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def store(event):
    (folder / f"{uuid.uuid4().hex}.dcm").write_bytes(event.encoded_dataset())
    return 0x0000
ae = AE()
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax, "1.2.840.10008.1.2.1")
server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_CONN_OPEN, opened), (evt.EVT_C_STORE, store)])
print(server.server_address[1], flush=True)
sys.stdin.read()
"""

INGEST = """
import sys
from ingest.app import build
from ingest.settings import IngestSettings
from radloop.settings import load
from radloop.telemetry import configure_logging
configure_logging("error")
service = build(load(IngestSettings))
for call in service.on_start:
    call()
door = service.on_stop[-1].__self__
print(door.port, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Kind:
    """A kind of slice that is sent."""

    name: str
    sop_class_uid: str
    rows: int
    columns: int


KINDS = (Kind("MR 36 x 48", MRImageStorage, 36, 48), Kind("CT 512 x 512", CTImageStorage, 512, 512))


def slices(kind: Kind, count: int) -> list[Dataset]:
    """Return ``count`` instances of one study, 60 to a series, with a header of usual length."""
    study, series = generate_uid(), ""
    result = []
    values = np.random.default_rng(1).integers(0, 2000, (kind.rows, kind.columns), dtype="<u2")
    for number in range(count):
        if number % 60 == 0:
            series = generate_uid()
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = kind.sop_class_uid, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, generate_uid()
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "PAT-1", "Doe^Jane", "19700101", "F"
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200131"
        ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
        ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", "ACME", "Scanner"
        ds.InstitutionName, ds.StationName, ds.AccessionNumber = "Hospital", "MR1", "42"
        ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = "Head", "T1", "T1"
        ds.ReferringPhysicianName = ds.OperatorsName = "Roe^Richard"
        ds.ImageType, ds.PatientPosition, ds.BodyPartExamined = ["ORIGINAL", "PRIMARY"], "HFS", "HEAD"
        ds.EchoTime, ds.RepetitionTime, ds.FlipAngle, ds.MagneticFieldStrength = 2.96, 2300, 9, 3
        ds.InstanceNumber, ds.SeriesNumber, ds.SliceThickness = number + 1, 1, 1
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, number % 60], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SamplesPerPixel, ds.PhotometricInterpretation = [1, 1], 1, "MONOCHROME2"
        ds.Rows, ds.Columns = kind.rows, kind.columns
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = kind.sop_class_uid, generate_uid()
        ds.ReferencedImageSequence = [reference]
        ds.PixelData = np.roll(values, number, axis=1).tobytes()
        result.append(ds)
    return result


@contextmanager
def receiver(program: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Run a receiving program; yield its port and process id."""
    environment = os.environ | {
        "RADLOOP_EVENTS_URL": f"sqlite:///{folder}/events.db",
        "RADLOOP_DATABASE_URL": f"sqlite:///{folder}/state",
        "RADLOOP_OBJECTS_URL": f"file:///{folder}/objects",
        "RADLOOP_AUTH_URL": f"token:{folder}/secret",
        "INGEST_SITE_KEY_FILE": f"{folder}/site-key",
        "INGEST_DICOM_PORT": "0",
    }
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def without_delay(event: evt.Event) -> None:
    """Turn Nagle's algorithm off; with it, the benchmark would measure delayed acknowledgements (40 ms each)."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def send(port: int, kind: Kind, count: int, first: int, step: int, begin: Barrier | None) -> None:
    """Send every ``step``-th of ``count`` instances from the ``first`` on, over one association, once all senders are ready."""
    instances = slices(kind, count)[first::step]
    ae = AE(ae_title="BENCHMARK")
    ae.add_requested_context(kind.sop_class_uid, ExplicitVRLittleEndian)
    ae.dimse_timeout = 5
    association = associate(ae, "127.0.0.1", port, evt_handlers=[(evt.EVT_CONN_OPEN, without_delay)])
    if not association.is_established:
        raise SystemExit("association refused")
    if begin is not None:
        begin.wait()
    for ds in instances:
        status = association.send_c_store(ds)
        if "Status" not in status:
            raise SystemExit("no answer")
        if status.Status != 0x0000:
            raise SystemExit(f"not stored: 0x{status.Status:04X}")
    association.release()


def measure(program: str, kind: Kind, count: int, associations: int) -> tuple[float, float]:
    """Return seconds and receiver's CPU seconds for all instances; each association is a process of its own."""
    scratch = Path.cwd() / ".radloop"  # on a disk; the system's folder for such may be memory
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder, receiver(program, Path(folder)) as (port, pid):
        send(port, kind, 5, 0, 1, None)
        context = multiprocessing.get_context("spawn")
        begin = context.Barrier(associations + 1)
        senders = [
            context.Process(target=send, args=(port, kind, count, number, associations, begin))
            for number in range(associations)
        ]
        for sender in senders:
            sender.start()
        begin.wait(timeout=60)
        cpu, began = cpu_s(pid), time.perf_counter()
        for sender in senders:
            sender.join()
        elapsed_s, used_s = time.perf_counter() - began, cpu_s(pid) - cpu
        if any(sender.exitcode for sender in senders):
            raise SystemExit("a sender failed: the numbers would mean nothing")
        return elapsed_s, used_s


def main() -> None:
    """Measure both receivers side by side and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 2])
    choices = parser.parse_args()
    print("| slices | associations | bare SCP, /s | `ingest`, /s | ratio | bare, CPU ms each | `ingest`, CPU ms each |")
    print("|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for associations in choices.associations:
            rounds = [
                (
                    measure(BARE, kind, choices.instances, associations),
                    measure(INGEST, kind, choices.instances, associations),
                )
                for _ in range(choices.rounds)
            ]
            # The fastest round of each: what disturbs only ever slows down.
            bare_s, ingest_s = (min(one[index][0] for one in rounds) for index in (0, 1))
            bare_ms, ingest_ms = (min(one[index][1] for one in rounds) * 1000 / choices.instances for index in (0, 1))
            row = (
                kind.name,
                associations,
                f"{choices.instances / bare_s:.0f}",
                f"{choices.instances / ingest_s:.0f}",
                f"{bare_s / ingest_s:.2f}",
                f"{bare_ms:.1f}",
                f"{ingest_ms:.1f}",
            )
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
