"""Contours of a structure set, filled again: they give back the mask they were drawn from."""

import datetime

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from ingest.adapters.exporting_rtstruct import rings, structure_set
from ingest.domain.messages import CodedTerm, Segment
from radloop.dicom.segmentations import Made
from radloop.imaging import dice

OBLIQUE = np.array([[0.9, 0.1, -0.3, 10], [-0.2, 1.1, 0.4, -20], [0.1, -0.3, 2.4, 30], [0, 0, 0, 1]])
LIVER = CodedTerm("10200004", "SCT", "Liver")


def filled(ring: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixel centres inside a polygon by the even-odd rule: bool, shape (rows, columns); ring of (column, row)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    inside = np.zeros(shape, bool)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = (y1 > rows) != (y2 > rows)
            inside ^= crosses & (columns < (x2 - x1) * (rows - y1) / (y2 - y1) + x1)
    return inside


def blobs(seed: int) -> np.ndarray:
    """Return parts with holes and parts in them: uint8, (columns, rows, slices)."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(48, 40, 6)), 1.5)
    return np.asfortranarray(np.digitize(noise, np.quantile(noise, [0.55, 0.8])).astype(np.uint8))


@pytest.mark.parametrize(
    "drawn",
    ["#", "##\n##", "#.\n.#", "#####\n#...#\n#.#.#\n#...#\n#####", "######\n#.##.#\n######\n#.##.#\n######"],
    ids=["a pixel", "a square", "a diagonal", "an island in a hole", "four holes"],
)
def test_small_planes_are_given_back(drawn):
    plane = np.array([[pixel == "#" for pixel in row] for row in drawn.split("\n")])
    found = rings(plane)
    together = np.zeros(plane.shape, bool)
    for ring in found:
        assert not (together & filled(ring, plane.shape)).any()
        together |= filled(ring, plane.shape)
    assert np.array_equal(together, plane)


def test_no_contour_without_a_voxel():
    assert rings(np.zeros((4, 4), bool)) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_structure_set_filled_again_is_the_mask(seed):
    mask = blobs(seed)
    ds = structure_set(mask, OBLIQUE, sources(mask.shape), range(1, 7), [segment(1), segment(2), segment(3)], made())
    again = np.zeros_like(mask)
    back = np.linalg.inv(OBLIQUE)
    for number, roi in enumerate(ds.ROIContourSequence[:2], start=1):
        assert roi.ReferencedROINumber == number
        for contour in roi.ContourSequence:
            points = np.array([float(x) for x in contour.ContourData]).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            places = np.column_stack([points, np.ones(len(points))]) @ back.T
            k = round(places[0, 2])
            assert np.abs(places[:, 2] - k).max() < 1e-3
            assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == f"1.2.{k}"
            again[:, :, k][filled(places[:, :2], mask.shape[1::-1]).T] = number
    for value in (1, 2):
        assert dice(again, mask, value) >= 0.98
    assert np.array_equal(again, mask)
    assert "ContourSequence" not in ds.ROIContourSequence[2]  # without a voxel
    assert [roi.ROIName for roi in ds.StructureSetROISequence] == ["part-1", "part-2", "part-3"]


def segment(value: int) -> Segment:
    return Segment(value, f"part-{value}", "#102030", LIVER, LIVER)


def made() -> Made:
    return Made("1.2.3", "1.2.3.4", 900, "Label", "LABEL", "test", at=datetime.datetime(2026, 1, 2, 3, 4, 5))


def sources(shape) -> list[pydicom.Dataset]:
    found = []
    for number in range(shape[2]):
        ds = pydicom.Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"1.2.{number}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.3", "1.4", "1.5"
        found.append(ds)
    return found
