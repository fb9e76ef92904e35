"""A label made elsewhere on the voxels of its case: exactly, or not at all."""

import itertools

import numpy as np
import pytest

from labeling.domain.grids import on_grid, tolerance_mm
from labeling.domain.messages import CodedTerm, Segment
from labeling.domain.model import Case, Project
from labeling.domain.translation import Terms, check_terms, translated
from radloop.errors import Invalid
from radloop.imaging import Volume
from radloop.references import ObjectRef, Split

REF = ObjectRef("k", "sha256:0", 1)
SHAPE = (7, 6, 5)


def oblique() -> np.ndarray:
    a, b = np.deg2rad(25.0), np.deg2rad(-17.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ np.diag([0.7, 0.9, 3.3])
    affine[:3, 3] = [-41.3, 17.9, -103.7]
    return affine


def a_case() -> Case:
    numbers = tuple(float(x) for x in oblique().ravel())
    return Case("c", "s", "p", Split.TRAIN, REF, (REF,), "CT", SHAPE, (0.7, 0.9, 3.3), numbers, "HU")


@pytest.fixture
def label() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, SHAPE, dtype=np.uint8)


def test_the_same_grid_is_nothing_to_speak_of(label) -> None:
    volume, notes = on_grid(Volume(label, oblique()), a_case())
    assert (volume.array == label).all() and notes == []


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_every_order_and_direction_of_axes_is_exact(label, axes, flips) -> None:
    """All 48. Each voxel is found again by where in the patient it lies."""
    affine = np.eye(4)
    affine[:3, :3] = oblique()[:3, axes]
    affine[:3, 3] = oblique()[:3, 3]
    array = label.transpose(axes)
    for axis in range(3):
        if flips[axis]:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
            array = np.flip(array, axis)
    volume, notes = on_grid(Volume(array, affine), a_case())
    assert (volume.array == label).all()
    assert (volume.affine_lps == oblique()).all()
    assert bool(notes) == (axes != (0, 1, 2) or any(flips))


def part(label: np.ndarray, low, high) -> Volume:
    affine = oblique()
    affine[:3, 3] = (affine @ [*low, 1])[:3]
    return Volume(label[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], affine)


def test_a_part_of_the_image_is_put_in_its_place(label) -> None:
    volume, notes = on_grid(part(label, (2, 1, 0), (6, 6, 4)), a_case())
    expected = np.zeros_like(label)
    expected[2:6, 1:6, 0:4] = label[2:6, 1:6, 0:4]
    assert (volume.array == expected).all()
    assert notes == ["it covers 4x5x4 of 7x6x5 voxels: the rest is taken as background"]


def test_more_than_the_image_is_cut_where_nothing_is_labelled(label) -> None:
    larger = np.pad(label, ((2, 1), (0, 3), (1, 0)))
    affine = oblique()
    affine[:3, 3] = (affine @ [-2, 0, -1, 1])[:3]
    volume, notes = on_grid(Volume(larger, affine), a_case())
    assert (volume.array == label).all()
    assert notes == ["it reaches beyond the image, where nothing is labelled: cut to 7x6x5 voxels"]
    larger[0, 0, 0] = 1
    with pytest.raises(Invalid, match="got 1 of .* outside of it"):
        on_grid(Volume(larger, affine), a_case())


def test_a_label_of_another_place_is_refused(label) -> None:
    affine = oblique()
    affine[:3, 3] = (affine @ [100, 0, 0, 1])[:3]
    with pytest.raises(Invalid, match=r"got (\d+) of \1 outside of it"):
        on_grid(Volume(label, affine), a_case())


def changed(**how: float) -> np.ndarray:
    affine = oblique()
    affine[:3, 3] += affine[:3, 0] / 0.7 * how.get("mm", 0)
    affine[:3, :3] *= how.get("scale", 1)
    affine[:3, 0] += affine[:3, 1] * how.get("shear", 0)
    return affine


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"mm": 0.2}, r"a voxel lies 0\.2 mm from the nearest"),
        ({"mm": -0.34}, r"a voxel lies 0\.34 mm from the nearest"),
        ({"scale": 1.02}, "a voxel lies .* mm from the nearest"),
        ({"scale": 2}, "7x6x5 voxels of 1.4x1.8x6.6 mm.*the directions or the spacing differ"),
        ({"shear": 0.1}, "a voxel lies"),
    ],
)
def test_what_lies_between_the_voxels_is_refused_with_how_far(label, how, why) -> None:
    with pytest.raises(Invalid, match=why):
        on_grid(Volume(label, changed(**how)), a_case())


def test_what_decimals_cost_is_taken_and_said(label) -> None:
    assert tolerance_mm(a_case()) == pytest.approx(0.035)
    volume, notes = on_grid(Volume(label, changed(mm=0.03)), a_case())
    assert (volume.array == label).all()
    assert notes == ["voxels lie up to 0.03 mm from the image's: taken as the same"]


@pytest.mark.parametrize("broken", [np.full((4, 4), np.nan), np.diag([0.0, 1, 1, 1])])
def test_an_affine_that_is_none_is_refused(label, broken) -> None:
    with pytest.raises(Invalid, match="label-geometry"):
        on_grid(Volume(label, broken), a_case())


# --- values -----------------------------------------------------------------------------------------------------------------


def test_values_are_translated_and_every_unknown_one_is_named() -> None:
    theirs = np.array([[0, 1017], [40, 40]], np.float32)
    found = translated(theirs, Terms({1017: 2, 40: 0}))
    assert found.dtype == np.uint8 and found.tolist() == [[0, 2], [0, 0]]
    with pytest.raises(Invalid, match="none for 40, 1017"):
        translated(theirs, Terms({}))
    with pytest.raises(Invalid, match="label-values"):
        translated(theirs + 0.5, Terms({}))
    assert translated(theirs, Terms()) is theirs


def test_terms_must_be_the_projects() -> None:
    code = CodedTerm("1", "SCT", "x")
    project = Project("p", 1, (Segment(3, "liver", "#cc0000", code, code, False),), False, 60, ())
    check_terms(Terms({1: 3, 2: 0}, 0.5), project)
    with pytest.raises(Invalid, match="3 liver; got value 4"):
        check_terms(Terms({1: 4}), project)
    for threshold in (0.0, 1.1, float("nan")):
        with pytest.raises(Invalid, match="threshold-invalid"):
            check_terms(Terms(None, threshold), project)
