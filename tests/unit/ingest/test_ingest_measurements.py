"""Volume and longest diameter of segments, against numbers worked by hand and against every pair of voxels."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from ingest.domain.measurements import longest_distance, measurements

OBLIQUE = np.array([[1.9, 0.3, -0.2, 10], [-0.4, 1.4, 0.6, -20], [0.1, -0.5, 2.4, 30], [0, 0, 0, 1]])


def box(*size: int) -> np.ndarray:
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[tuple(slice(2, 2 + length) for length in size)] = 3
    return mask


@pytest.mark.parametrize(
    ("size", "diameter_mm"),
    [
        ((1, 1, 1), 0.0),
        ((4, 1, 1), 6.0),
        ((1, 5, 1), 12.0),
        ((4, 5, 1), np.hypot(6, 12)),
        ((2, 3, 4), np.sqrt(4 + 36 + 144)),
    ],
    ids=["a voxel", "a row", "a column", "a plane", "a box"],
)
def test_boxes(size, diameter_mm):
    found = measurements(box(*size), np.diag([2.0, 3.0, 4.0, 1.0]))
    assert list(found) == [3]
    assert found[3].volume_mm3 == pytest.approx(24.0 * np.prod(size))
    assert found[3].longest_diameter_mm == pytest.approx(diameter_mm, abs=1e-9)


def test_blobs_in_an_oblique_volume_against_every_pair_of_voxels():
    rng = np.random.default_rng(5)
    mask = np.asfortranarray((rng.random((14, 11, 9)) > 0.9) * rng.integers(1, 4, (14, 11, 9))).astype(np.uint8)
    found = measurements(mask, OBLIQUE)
    assert list(found) == [1, 2, 3]
    for value, one in found.items():
        places = np.argwhere(mask == value) @ OBLIQUE[:3, :3].T
        assert one.longest_diameter_mm == pytest.approx(pdist(places).max())
        assert one.volume_mm3 == pytest.approx(len(places) * abs(np.linalg.det(OBLIQUE[:3, :3])))


def test_segment_bits_are_measured_each_by_itself():
    bits = (box(4, 1, 1) > 0) * np.uint32(1) | (box(1, 5, 1) > 0) * np.uint32(2)
    found = measurements(bits.astype(np.uint32), np.eye(4))
    assert (found[1].longest_diameter_mm, found[2].longest_diameter_mm) == (3.0, 4.0)
    assert (found[1].volume_mm3, found[2].volume_mm3) == (4.0, 5.0)


def test_an_empty_mask_measures_nothing():
    assert measurements(np.zeros((3, 3, 3), np.uint8), np.eye(4)) == {}


def test_thin_and_nearly_flat_sets():
    line = np.outer(np.arange(7.0), [1, 2, 2])
    assert longest_distance(line) == pytest.approx(18.0)
    sheet = np.array([[x, y, 1e-12 * x * y] for x in range(4) for y in range(3)], dtype=float)
    assert longest_distance(sheet) == pytest.approx(np.hypot(3, 2))
