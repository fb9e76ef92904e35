"""The patients of the demo: where their images and expert masks come from, and who is in which part of the study.

A cohort is a table of patients with their volumes; the voxels are read when somebody asks for them. The order of the
sources is that of the design, section 10: the directory in ``RADLOOP_DATA``, ``../shared/data`` beside the checkout, a
download of the Medical Segmentation Decathlon, and a generated phantom cohort where none of these is to be had.
"""

import csv
import os
import random
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel
import numpy as np

from radloop.errors import Invalid
from radloop.imaging import Volume, lps_from_ras
from standalone.demo import phantom

FOLDER = "msd_hippocampus"
DECATHLON_FOLDER = "Task04_Hippocampus"
DECATHLON_ATTRIBUTION = (
    "Images: Medical Segmentation Decathlon, Task04 Hippocampus (medicaldecathlon.com; arXiv:1902.09063), CC BY-SA 4.0."
)
PHANTOM_ATTRIBUTION = "Images: generated phantoms, no patient data."

# Namespace of the identifiers the demo invents; the same volume has the same UIDs in every run, as in a real archive.
_NAMESPACE = uuid.UUID("5b1de9a5-1f0e-4d5c-8f39-6f1f7f4f2f60")


@dataclass(frozen=True)
class CohortVolume:
    """One image with its expert mask, not yet read.

    Attributes
    ----------
    name
        Name of the volume in its source, e.g. ``hippocampus_003``.
    series_instance_uid
        Series Instance UID the volume is sent under.
    load_image
        Reads the image: uint16 voxels, axes (i, j, k), affine in LPS mm.
    load_mask
        Reads the expert mask: uint8 voxels in the geometry of the image.
    """

    name: str
    series_instance_uid: str
    load_image: Callable[[], Volume]
    load_mask: Callable[[], Volume]


@dataclass(frozen=True)
class CohortPatient:
    """One invented patient: every volume of one head, sent as one study with a series for each."""

    number: int
    patient_id: str
    study_instance_uid: str
    volumes: tuple[CohortVolume, ...]


@dataclass(frozen=True)
class Source:
    """Where a cohort comes from; written into the demo's own file, so that a second start takes the same one."""

    kind: str
    folder: str
    said: str
    attribution: str


@dataclass(frozen=True)
class Cohort:
    """The patients of one demo, by what they are for."""

    source: Source
    test: tuple[CohortPatient, ...]
    validation: tuple[CohortPatient, ...]
    start: tuple[CohortPatient, ...]
    pool: tuple[CohortPatient, ...]

    @property
    def patients(self) -> tuple[CohortPatient, ...]:
        """Every patient, in the order they are sent."""
        return self.start + self.validation + self.test + self.pool

    @property
    def volumes(self) -> tuple[CohortVolume, ...]:
        """Every volume, in the order it is sent."""
        return tuple(volume for patient in self.patients for volume in patient.volumes)

    def split_list(self) -> list[dict[str, str]]:
        """Build the list that ``ingest`` imports: patient id, issuer and split of every patient."""
        rows = []
        for split, patients in (
            ("train", self.start + self.pool),
            ("validation", self.validation),
            ("test", self.test),
        ):
            rows += [{"patient_id": patient.patient_id, "issuer": "", "split": split} for patient in patients]
        return rows


def invented_uid(*parts: str) -> str:
    """Derive a UID from names: the same names give the same UID (PS3.5 Annex B.2, UUID derived)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(parts)).int}"


def find_real_source(environment: Mapping[str, str], checkout: Path) -> Source | None:
    """Look for real images on this machine, in the order of the design; None where there are none."""
    named = environment.get("RADLOOP_DATA", "")
    for base in ([Path(named)] if named else []) + [checkout / ".." / "shared" / "data"]:
        folder = base / FOLDER
        if (folder / "images").is_dir() and (folder / "labels").is_dir():
            where = os.path.relpath(folder)
            return Source(
                "decathlon", str(folder.resolve()), f"real hippocampus MR from {where}", DECATHLON_ATTRIBUTION
            )
    return None


def decathlon_source(folder: Path) -> Source:
    """Describe a downloaded Decathlon task."""
    return Source("decathlon", str(folder), "real hippocampus MR, downloaded (Decathlon Task04)", DECATHLON_ATTRIBUTION)


def phantom_source() -> Source:
    """Describe the generated cohort."""
    return Source("phantom", "", "no real images at hand: a generated phantom cohort", PHANTOM_ATTRIBUTION)


def load_cohort(source: Source, *, seed: int, test: int, validation: int, start: int, pool: int) -> Cohort:
    """Draw the patients of a demo from a source.

    Parameters
    ----------
    source
        Where the images are.
    seed
        Decides which patient is in which part; the same seed gives the same parts.
    test, validation, start, pool
        Number of patients in each part.

    Raises
    ------
    Invalid
        The source has fewer patients than asked for.
    """
    wanted = test + validation + start + pool
    subjects = _phantom_subjects(wanted, seed) if source.kind == "phantom" else _decathlon_subjects(Path(source.folder))
    if len(subjects) < wanted:
        raise Invalid(
            "cohort-too-small",
            expected=f"at least {wanted} patients",
            got=f"{len(subjects)} in {source.folder or 'the phantom cohort'}",
            do="ask for fewer patients (--patients, --test, --validation)",
        )
    names = sorted(subjects)
    random.Random(f"cohort/{seed}").shuffle(names)
    patients = [
        CohortPatient(
            number=number,
            patient_id=f"DEMO-{name}",
            study_instance_uid=invented_uid(source.kind, name),
            volumes=tuple(sorted(subjects[name], key=lambda volume: volume.name)),
        )
        for number, name in enumerate(names[:wanted], start=1)
    ]
    edges = np.cumsum([0, test, validation, start, pool])
    parts = [tuple(patients[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return Cohort(source, *parts)


def _phantom_subjects(count: int, seed: int) -> dict[str, list[CohortVolume]]:
    subjects = {}
    for number in range(1, count + 1):
        # Two sides of a head for every other patient, as in the real cohort.
        sides = ("a", "b") if number % 2 else ("a",)
        subjects[f"P{number:03d}"] = [_phantom_volume(f"phantom_{number:03d}{side}", seed) for side in sides]
    return subjects


def _phantom_volume(name: str, seed: int) -> CohortVolume:
    return CohortVolume(
        name=name,
        series_instance_uid=invented_uid("phantom", str(seed), name),
        load_image=lambda: phantom.generate(name, seed)[0],
        load_mask=lambda: phantom.generate(name, seed)[1],
    )


def _decathlon_subjects(folder: Path) -> dict[str, list[CohortVolume]]:
    """Group the volumes by head: by ``subjects.csv``, else by the rule it follows (2k-1 and 2k are one head)."""
    original = folder.name == DECATHLON_FOLDER
    images, labels = (folder / name for name in (("imagesTr", "labelsTr") if original else ("images", "labels")))
    table = folder / "subjects.csv"
    subject_of = {}
    if table.is_file():
        with table.open(newline="") as file:
            subject_of = {row["volume"]: row["subject"] for row in csv.DictReader(file)}
    subjects: dict[str, list[CohortVolume]] = {}
    for image in sorted(images.glob("hippocampus_*.nii.gz")):
        label = labels / image.name
        if not label.is_file():
            continue
        name = image.name.removesuffix(".nii.gz")
        match = re.fullmatch(r"hippocampus_(\d+)", name)
        if match is None:
            continue
        subject = subject_of.get(name, f"H{(int(match[1]) + 1) // 2:03d}")
        volume = CohortVolume(
            name=name,
            series_instance_uid=invented_uid("decathlon", name),
            load_image=partial(read_image, image),
            load_mask=partial(read_mask, label),
        )
        subjects.setdefault(subject, []).append(volume)
    return subjects


def read_image(path: Path) -> Volume:
    """Read an image as what a scanner would have stored: unsigned 16-bit integers.

    Whole numbers that fit are kept. Others are scaled linearly, so that the largest value is 65535; MR values have no
    unit, and the scans of this cohort differ by orders of magnitude as they are.

    Returns
    -------
    Volume
        uint16, axes (i, j, k) = (columns, rows, slices), affine in LPS mm.

    Raises
    ------
    Invalid
        The image has values that are not finite, or below zero.
    """
    image = nibabel.Nifti1Image.from_filename(path)
    voxels = np.asarray(image.dataobj, dtype=np.float64)
    if not np.isfinite(voxels).all() or voxels.min() < 0:
        raise Invalid("image-values", expected="finite values from 0", got=path.name, do="leave the volume out")
    largest = voxels.max()
    if (voxels != np.round(voxels)).any() or largest > 65535:
        voxels = voxels * (65535 / largest)
    return Volume(np.ascontiguousarray(np.round(voxels).astype(np.uint16)), lps_from_ras(image.affine))


def read_mask(path: Path) -> Volume:
    """Read an expert mask: uint8, axes (i, j, k), affine in LPS mm."""
    mask = nibabel.Nifti1Image.from_filename(path)
    return Volume(np.ascontiguousarray(np.asarray(mask.dataobj).astype(np.uint8)), lps_from_ras(mask.affine))
