"""How long does a whole-body label take as a DICOM object: written by `ingest`'s and `labeling`'s writer, and read again?

    python benchmarks/segmentations.py [--segments N] [--size S] [--slices K] [--rounds R]

A phantom of ellipsoids on a CT of 512 x 512 x 400. Written: from the mask in memory to the bytes of the file, on the headers of its
slices. Read: from the bytes to the mask, by `labeling`'s reader; its result is compared with the mask, voxel by voxel. The last column is
the highest memory of the process so far. The fastest round is shown, seconds of the clock and of the processor.
"""

import argparse
import datetime
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ingest.adapters.exporting_rtstruct import structure_set
from ingest.adapters.exporting_sr import report
from ingest.domain.measurements import measurements
from labeling.adapters.formats.seg_reader import read_seg
from labeling.domain.messages import CodedTerm, Segment
from labeling.domain.model import Case, Project
from radloop.dicom.files import written
from radloop.dicom.segmentations import Made, segmentation
from radloop.references import ObjectRef, Split

AFFINE = np.array([[0.8, 0, 0, -200], [0, 0.8, 0, -200], [0, 0, 1.0, 0], [0, 0, 0, 1]])
NOTHING = ObjectRef("none", "", 0)
MADE = Made("2.25.1", "2.25.2", 900, "Label", "LABEL", "ingest", at=datetime.datetime(2026, 1, 2, 3, 4, 5))


@dataclass(frozen=True)
class Took:
    """Seconds of the clock and of this process's processors."""

    wall_s: float
    cpu_s: float


def phantom(size: int, slices: int, segments: int) -> np.ndarray:
    """Return ellipsoids: uint8, (columns, rows, slices), Fortran order as NIfTI's."""
    rng = np.random.default_rng(7)
    mask = np.zeros((size, size, slices), np.uint8, order="F")
    shape, scale = np.array(mask.shape), np.array([size / 512, size / 512, slices / 400])
    for value in range(1, segments + 1):
        radius = rng.uniform(8, 32, 3) * scale + 1
        centre = rng.uniform(radius, shape - radius)
        first, last = np.floor(centre - radius).astype(int), np.ceil(centre + radius).astype(int) + 1
        box = tuple(slice(max(0, a), min(b, n)) for a, b, n in zip(first, last, shape, strict=True))
        distance = sum(((x - c) / r) ** 2 for x, c, r in zip(np.ogrid[box], centre, radius, strict=True))
        mask[box][distance <= 1] = value
    return mask


def headers(size: int, count: int) -> list[Dataset]:
    """Return the slices' headers."""
    found = []
    for number in range(count):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CTImageStorage, f"1.2.3.{number + 1}", "CT"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2", "1.2.3", "1.2.4"
        ds.Rows = ds.Columns = size
        ds.PixelSpacing, ds.SliceThickness, ds.ImageOrientationPatient = [0.8, 0.8], 1, [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-200, -200, number]
        found.append(ds)
    return found


def timed(work: Callable[[], Any], rounds: int) -> tuple[Any, Took]:
    """Return what the work gives, and the fastest round."""
    best, result = Took(float("inf"), 0.0), None
    for _ in range(rounds):
        result = None
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        took = Took(time.perf_counter() - wall, time.process_time() - cpu)
        best = min(best, took, key=lambda one: one.wall_s)
    return result, best


def peak_gb() -> float:
    """Return the highest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=104)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    mask = phantom(given.size, given.slices, given.segments)
    sources, frames = headers(given.size, given.slices), range(1, given.slices + 1)
    category = CodedTerm("123037004", "SCT", "Anatomical structure")
    segments = tuple(
        Segment(n, f"organ-{n}", "#d08060", CodedTerm(f"{n}", "99BENCH", f"Organ {n}"), category, False)
        for n in range(1, given.segments + 1)
    )
    numbers = tuple(float(number) for number in AFFINE.ravel())
    case = Case("c", "s", "p", Split.TRAIN, NOTHING, (NOTHING,), "CT", mask.shape, (0.8, 0.8, 1.0), numbers, "HU")
    project = Project("p", 1, segments, False, 60, ())
    print("| object | frames or contours | MB | written, s (CPU) | read, s (CPU) | both, s | memory so far, GB |")
    print("|---|---|---|---|---|---|---|")
    seg = None
    for name, label_map in (("SEG, LABELMAP", True), ("SEG, BINARY", False)):

        def write(label_map: bool = label_map) -> bytes:
            return written(segmentation(mask, sources, frames, segments, MADE, label_map=label_map))

        data, wrote = timed(write, given.rounds)
        found, read = timed(lambda data=data: read_seg(data, case, project), given.rounds)
        if not np.array_equal(found.array, mask):
            raise SystemExit(f"expected the mask again; got another from {name}")
        seg = segmentation(mask, sources, frames, segments, MADE, label_map=label_map)
        _row(name, int(seg.NumberOfFrames), data, wrote, read)
    data, wrote = timed(lambda: written(structure_set(mask, AFFINE, sources, frames, segments, MADE)), given.rounds)
    contours = structure_set(mask, AFFINE, sources, frames, segments, MADE).ROIContourSequence
    _row("RTSTRUCT", sum(len(roi.get("ContourSequence", ())) for roi in contours), data, wrote, None)
    for ds in sources:
        ds.PatientID = ds.PatientName = ds.PatientBirthDate = ds.PatientSex = ""
        ds.AccessionNumber = ds.StudyID = ""
        ds.StudyDate = ds.StudyTime = None
    data, wrote = timed(lambda: written(report(measurements(mask, AFFINE), seg, sources, segments, MADE)), given.rounds)
    _row("SR, volume and diameter measured", 0, data, wrote, None)


def _row(name: str, count: int, data: bytes, wrote: Took, read: Took | None) -> None:
    cells = [name, str(count or ""), f"{len(data) / 1e6:.1f}", f"{wrote.wall_s:.1f} ({wrote.cpu_s:.1f})"]
    cells += [f"{read.wall_s:.1f} ({read.cpu_s:.1f})", f"{wrote.wall_s + read.wall_s:.1f}"] if read else ["", ""]
    print(f"| {' | '.join(cells)} | {peak_gb():.1f} |", flush=True)


if __name__ == "__main__":
    main()
