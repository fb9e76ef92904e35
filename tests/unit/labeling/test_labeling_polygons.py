"""Which voxels a polygon covers: shapes worked by hand, and against another rasteriser."""

import matplotlib.path
import numpy as np
import pytest

from labeling.domain.polygons import filled


def square(low: float, high: float) -> np.ndarray:
    return np.array([[low, low], [high, low], [high, high], [low, high]], float)


def test_a_square_covers_the_centres_within() -> None:
    found = filled(square(0.5, 3.5), (6, 5))
    expected = np.zeros((6, 5), bool)
    expected[1:4, 1:4] = True
    assert (found == expected).all()


def test_neighbours_share_no_voxel_and_leave_none_out() -> None:
    """Their common edge runs through voxel centres."""
    left, right = square(1, 4), square(1, 4) + [3, 0]
    assert not (filled(left, (9, 6)) & filled(right, (9, 6))).any()
    assert (filled(left, (9, 6)) | filled(right, (9, 6))).sum() == 18


def test_axes_are_i_then_j() -> None:
    found = filled(np.array([[0.5, 0.5], [6.5, 0.5], [6.5, 1.5], [0.5, 1.5]]), (8, 4))
    assert found.shape == (8, 4)
    assert np.argwhere(found).tolist() == [[i, 1] for i in range(1, 7)]


def test_a_keyhole_leaves_the_hole_out() -> None:
    """One contour round both, which goes in and comes back on the same way (PS3.3 C.8.8.6.3)."""
    outer, inner = square(0.5, 8.5), square(2.5, 5.5)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    assert (filled(keyhole, (10, 10)) == (filled(outer, (10, 10)) ^ filled(inner, (10, 10)))).all()


@pytest.mark.parametrize("beyond", [square(-3.5, 2.5), square(-9, -4), square(20, 30), square(-50, 50)])
def test_what_lies_outside_the_image_is_cut_off(beyond) -> None:
    large = np.zeros((100, 100), bool)
    large[:] = filled(beyond + 50, (100, 100))
    assert (filled(beyond, (10, 8)) == large[50:60, 50:58]).all()


def test_nothing_and_a_line_cover_nothing() -> None:
    assert not filled(np.array([[1, 1], [5, 1], [1, 1]], float), (8, 8)).any()
    assert not filled(square(2.1, 2.9), (8, 8)).any()


@pytest.mark.parametrize("seed", range(20))
def test_any_star_is_what_matplotlib_makes_of_it(seed) -> None:
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 40))
    radii = random.uniform(3, 16, 40)
    points = np.stack([17.3 + radii * np.cos(angles), 15.2 + radii * np.sin(angles)], axis=1)
    centres = np.stack(np.meshgrid(np.arange(36), np.arange(32), indexing="ij"), -1).reshape(-1, 2)
    expected = matplotlib.path.Path(points).contains_points(centres).reshape(36, 32)
    found = filled(points, (36, 32))
    assert found.any() and (found == expected).all()
