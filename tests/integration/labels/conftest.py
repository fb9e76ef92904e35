"""One platform for a file of tests, with a project of brains, one of livers and one of tissues that overlap; and images sent to it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from standalone.demo import cohort, dicom_series
from standalone.demo.cohort import CohortVolume
from tests.integration.labels.platform import Site, platform, project, segment

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
BRAIN, LIVER, TISSUE = "brain", "liver", "tissue"
OVERLAPS = ("GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with platform(tmp_path_factory.mktemp("site")) as site:
        brain = [segment(1, "anterior", "5366008"), segment(2, "posterior", "5366008")]
        site.configure(BRAIN, project("MR", brain))
        # Values of the project are other ones than the files'.
        liver = [segment(3, "leber", "10200004"), segment(5, "organ", "113343008"), segment(9, "spine", "421060004")]
        site.configure(LIVER, project("CT", liver))
        tissue = [segment(n, name.lower().replace("_", "-"), str(n)) for n, name in enumerate(OVERLAPS, start=11)]
        site.configure(TISSUE, project("CT", tissue, overlapping=True))
        yield site


@pytest.fixture(scope="module")
def brains(site: Site) -> dict[str, CohortVolume]:
    """Volumes that were sent, by name; real ones where they are at hand. The first patient has two."""
    source = cohort.find_real_source(os.environ, Path(__file__).parents[3]) or cohort.phantom_source()
    drawn = cohort.load_cohort(source, seed=3, test=2, validation=2, start=3, pool=2)
    two_first = sorted(drawn.patients, key=lambda patient: -len(patient.volumes))
    for patient in two_first:
        site.send([ds for n, v in enumerate(patient.volumes, 1) for ds in dicom_series.series(patient, v, n)])
    for volume in drawn.volumes:
        site.cases(BRAIN, volume.series_instance_uid)
    return {volume.name: volume for patient in two_first for volume in patient.volumes}


@pytest.fixture(scope="module")
def free(brains: dict[str, CohortVolume]) -> Iterator[CohortVolume]:
    """Gives a volume nobody has brought a label for."""
    return iter(brains.values())


@pytest.fixture
def brain(free: Iterator[CohortVolume]) -> CohortVolume:
    return next(free)


@pytest.fixture(scope="module")
def dicom_seg() -> Path:
    if not DATA.is_dir():
        pytest.skip("no ../shared/data: the SEG of dcmqi's tests are not here")
    return DATA / "dicom_seg"


@pytest.fixture(scope="module")
def ct(site: Site, dicom_seg: Path) -> list[pydicom.Dataset]:
    """The CT that liver.dcm and partial_overlaps.dcm were made on."""
    slices = [pydicom.dcmread(file) for file in sorted((dicom_seg / "ct-3slice").glob("*.dcm"))]
    site.send(slices)
    site.cases(LIVER, slices[0].SeriesInstanceUID)
    site.cases(TISSUE, slices[0].SeriesInstanceUID)
    return slices
