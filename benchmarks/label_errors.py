"""How many gross label errors does QA return, and how many clean labels?

    python benchmarks/label_errors.py [--cases N] [--seed S]

Every expert label of the hippocampus data (`RADLOOP_DATA`, default `../shared/data`) is checked clean and with each of four
seeded errors: one segment missing, everything shifted by 3 to 6 voxels in a random direction, a stray component, two
segments exchanged; each with a simulated prediction and without one, with and without approved labels to compare with.
The prediction is the expert mask deformed until its mean Dice is 0.75 to 0.85; for every tenth case until it is 0.40 to
0.60. Patients are split in halves: labels of one half are compared with approved labels of the other.
Prints a Markdown table; nothing else depends on this program.
"""

import argparse
import csv
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from qa.domain.examination import examine
from qa.domain.findings import Severity
from qa.domain.label import CaseGeometry, Segment, crop_label
from qa.domain.measurement import Measurement, Population, measure
from radloop.imaging import Volume, dice, read_nifti
from radloop.references import SegmentState, SegmentStatus

SEGMENTS = (Segment(1, always_present=True), Segment(2, always_present=True))
GOOD_DICE, POOR_DICE, POOR_EVERY = (0.75, 0.85), (0.40, 0.60), 10
APPROVED = 40
"""Approved labels in the population."""
KINDS = ("clean", "missing class", "shift", "stray component", "swapped classes")


@dataclass(frozen=True)
class Case:
    """One expert label (uint8, values 0..2) and the patient it is of."""

    patient: str
    label: Volume


def load_cases(folder: Path, count: int | None = None) -> list[Case]:
    """Read the expert labels that have an image, in order of name."""
    with (folder / "subjects.csv").open() as file:
        patients = {row["volume"]: row["subject"] for row in csv.DictReader(file)}
    names = sorted(name for name in patients if (folder / "images" / f"{name}.nii.gz").is_file())
    names = [name for name in names if (folder / "labels" / f"{name}.nii.gz").is_file()][:count]
    cases = []
    for name in names:
        volume = read_nifti((folder / "labels" / f"{name}.nii.gz").read_bytes())
        cases.append(Case(patients[name], Volume(volume.array.astype(np.uint8), volume.affine_lps)))
    return cases


def imagined_prediction(label: np.ndarray, rng: np.random.Generator, *, poor: bool) -> np.ndarray:
    """Deform an expert mask into what an imperfect model might say, its mean Dice inside the wanted range."""
    low, high = POOR_DICE if poor else GOOD_DICE
    while True:
        strength = rng.uniform(2, 6) if poor else rng.uniform(0.6, 2.2)
        mask = _warped(label, rng, strength)
        fault = rng.integers(6)
        if fault == 0:
            mask = _border_moved(mask, rng.uniform(-7, 7) if poor else rng.uniform(-3, 3))
        elif fault == 1:
            mask = _with_ball(mask, rng, rng.uniform(2, 4))
        elif fault == 2 and poor:
            mask = _end_lost(mask, rng, rng.uniform(0.2, 0.5))
        elif fault == 3 and poor:
            mask = np.where(ndimage.binary_erosion(mask > 0), mask, 0).astype(np.uint8)
        if low <= np.mean([dice(mask, label, value) for value in (1, 2)]) <= high:
            return mask


def _warped(label: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    width = rng.uniform(3, 7)
    field = np.stack([ndimage.gaussian_filter(rng.normal(size=label.shape), width) for _ in range(3)])
    places = np.indices(label.shape) + field * strength / np.sqrt((field**2).mean())
    shares = np.stack([ndimage.map_coordinates((label == v).astype(np.float32), places, order=1) for v in (1, 2)])
    inside = shares.sum(axis=0) > 0.5 + rng.uniform(-0.25, 0.25)
    return np.where(inside, shares.argmax(axis=0) + 1, 0).astype(np.uint8)


def _border_moved(mask: np.ndarray, voxels: float) -> np.ndarray:
    places = np.argwhere(mask > 0)
    if not (mask == 1).any() or not (mask == 2).any():
        return mask
    axis = np.argwhere(mask == 2).mean(axis=0) - np.argwhere(mask == 1).mean(axis=0)
    along = places @ axis / np.linalg.norm(axis)
    border = np.sort(along)[np.count_nonzero(mask == 1) - 1] + voxels
    moved = mask.copy()
    moved[tuple(places.T)] = np.where(along <= border, 1, 2)
    return moved


def _end_lost(mask: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    places = np.argwhere(mask > 0)
    along = places @ (np.array([0.0, rng.choice([-1.0, 1.0]), 0.0]) + rng.normal(scale=0.3, size=3))
    kept = mask.copy()
    kept[tuple(places[along < np.quantile(along, share)].T)] = 0
    return kept


def _with_ball(mask: np.ndarray, rng: np.random.Generator, radius: float) -> np.ndarray:
    centre = rng.integers(2, np.array(mask.shape) - 2)
    ball = ((np.indices(mask.shape) - centre.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= radius**2
    return np.where(ball & (mask == 0), rng.integers(1, 3), mask).astype(np.uint8)


def with_error(label: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return a copy of a label with one gross error; ``"clean"`` returns it as it is."""
    if kind == "clean":
        return label
    if kind == "missing class":
        return np.where(label == rng.integers(1, 3), 0, label).astype(np.uint8)
    if kind == "swapped classes":
        return np.array([0, 2, 1], dtype=np.uint8)[label]
    if kind == "shift":
        return shifted(label, random_shift(rng))
    clear = ndimage.distance_transform_edt(label == 0)
    while True:  # a ball of radius 1 to 3 voxels with at least 3 voxels between it and the label
        radius = rng.uniform(1, 3)
        centre = rng.integers(0, label.shape)
        if clear[tuple(centre)] >= radius + 3:
            ball = ((np.indices(label.shape) - centre.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= radius**2
            return np.where(ball, rng.integers(1, 3), label).astype(np.uint8)


def random_shift(rng: np.random.Generator) -> np.ndarray:
    """Draw a translation of 3 to 6 voxels in a random direction, int ``(3,)``."""
    while True:
        direction = rng.normal(size=3)
        shift = np.rint(direction / np.linalg.norm(direction) * rng.uniform(3, 6)).astype(int)
        if 3 <= np.linalg.norm(shift) <= 6:
            return shift


def shifted(label: np.ndarray, shift: Sequence[int]) -> np.ndarray:
    """Translate a label by whole voxels; what leaves the frame is lost."""
    moved = np.zeros_like(label)
    source = tuple(slice(max(0, -s), min(n, n - s)) for n, s in zip(label.shape, shift, strict=True))
    target = tuple(slice(max(0, s), min(n, n + s)) for n, s in zip(label.shape, shift, strict=True))
    moved[target] = label[source]
    return moved


def statuses_of(label: np.ndarray) -> tuple[SegmentStatus, ...]:
    """Say what `labeling` says by default: annotated where there are voxels, absent elsewhere."""
    states = {True: SegmentState.ANNOTATED, False: SegmentState.ABSENT}
    return tuple(SegmentStatus(segment.value, states[bool((label == segment.value).any())]) for segment in SEGMENTS)


def populations(cases: Sequence[Case], rng: np.random.Generator) -> Iterator[tuple[Population, list[int]]]:
    """Split by patient into halves; yield each half's approved labels with the indices of the other half's cases."""
    patients = rng.permutation(sorted({case.patient for case in cases}))
    halves = [set(patients[0::2]), set(patients[1::2])]
    for own, other in (halves, halves[::-1]):
        approved: list[Measurement] = [measure(crop_label(case.label)) for case in cases if case.patient in own]
        yield Population(approved[:APPROVED]), [at for at, case in enumerate(cases) if case.patient in other]


@dataclass(frozen=True)
class Result:
    """One examined label."""

    kind: str
    poor: bool
    predicted: bool
    compared: bool
    reasons: tuple[str, ...]
    returned: bool
    took_ms: float


def run(cases: Sequence[Case], seed: int) -> list[Result]:
    """Examine every case with every error, with and without a prediction, with and without approved labels."""
    rng = np.random.default_rng(seed)
    results = []
    for population, members in populations(cases, rng):
        for at in members:
            label = cases[at].label
            poor = at % POOR_EVERY == POOR_EVERY - 1
            prediction = Volume(imagined_prediction(label.array, rng, poor=poor), label.affine_lps)
            geometry = CaseGeometry(label.array.shape, tuple(label.affine_lps.ravel()))
            for kind in KINDS:
                array = with_error(label.array, kind, rng)
                for predicted in (True, False):
                    for compared in (True, False):
                        started = time.perf_counter()
                        said = examine(
                            Volume(array, label.affine_lps),
                            statuses_of(array),
                            prediction if predicted else None,
                            geometry,
                            SEGMENTS,
                            population if compared else Population(),
                        )
                        took_ms = 1000 * (time.perf_counter() - started)
                        back = [item.reason for item in said.findings if item.severity == Severity.RETURN]
                        results.append(Result(kind, poor, predicted, compared, tuple(back), bool(back), took_ms))
    return results


def table(results: Sequence[Result]) -> str:
    """Return the shares as a Markdown table."""
    groups: dict[tuple[str, bool, bool], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.kind, result.predicted, result.compared].append(result)
    columns = [(True, True), (True, False), (False, True), (False, False)]
    names = [f"{'prediction' if p else 'no prediction'}, {APPROVED if c else 0} approved" for p, c in columns]
    lines = [f"| returned | {' | '.join(names)} |", "|---|" + "---|" * len(columns)]
    for kind in KINDS:
        lines.append(f"| {kind} | {' | '.join(_share(groups[kind, p, c]) for p, c in columns)} |")
    wrong = [[r for kind in KINDS[1:] for r in groups[kind, p, c]] for p, c in columns]
    lines.append(f"| all errors | {' | '.join(_share(group) for group in wrong)} |")
    poor = [[r for r in groups["clean", p, c] if r.poor] for p, c in columns]
    lines.append(f"| clean, prediction poor | {' | '.join(_share(group) for group in poor)} |")
    poor = [[r for r in group if r.poor] for group in wrong]
    lines.append(f"| all errors, prediction poor | {' | '.join(_share(group) for group in poor)} |")
    times = [[r.took_ms for kind in KINDS for r in groups[kind, p, c]] for p, c in columns]
    lines.append(f"| ms per label, median (p99) | {' | '.join(_times(group) for group in times)} |")
    return "\n".join(lines)


def _share(group: Sequence[Result]) -> str:
    return f"{np.mean([r.returned for r in group]):.1%} of {len(group)}" if group else "-"


def _times(group: Sequence[float]) -> str:
    return f"{np.median(group):.0f} ({np.percentile(group, 99):.0f})" if group else "-"


def main() -> None:
    """Run on the real data and print the table."""
    parser = argparse.ArgumentParser(description="Share of seeded label errors and of clean labels that QA returns.")
    parser.add_argument("--cases", type=int, help="only the first so many labels")
    parser.add_argument("--seed", type=int, default=0, help="seed of errors and predictions")
    options = parser.parse_args()
    root = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[1] / "../shared/data"))
    cases = load_cases(root / "msd_hippocampus", options.cases)
    print(table(run(cases, options.seed)))


if __name__ == "__main__":
    main()
