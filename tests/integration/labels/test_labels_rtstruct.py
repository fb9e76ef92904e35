"""RT structure sets by ``radloop labels import``: the voxels their contours enclose, or refused by the reason."""

import os
from pathlib import Path

import matplotlib.path
import numpy as np
import pydicom
import pytest

from tests.integration.labels.platform import Site, assert_nothing_named
from tests.label_files import ct_slices, saved, structure_set

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
BRAIN, LIVER, TISSUE = "brain", "liver", "tissue"

SHAPE = (48, 40, 21)


def circle(radius: float, x: float, y: float, z: float, count: int) -> np.ndarray:
    """Return points of a circle, shape ``(count, 3)``, in mm."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles), np.full(count, z)], axis=1)


def oblique() -> np.ndarray:
    a, b = np.deg2rad(20.0), np.deg2rad(-11.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ np.diag([0.9, 0.8, 1.5])
    affine[:3, 3] = [-31.3, 17.9, -103.7]
    return affine


def in_patient(contours: list[np.ndarray]) -> list[np.ndarray]:
    """Turn contours in mm of the image's own axes into patient coordinates."""
    affine = oblique()
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return [points @ axes.T + affine[:3, 3] for points in contours]


@pytest.fixture(scope="module")
def oblique_ct(site: Site) -> list[pydicom.Dataset]:
    series = "1.2.826.99"
    slices = ct_slices(SHAPE, oblique(), series, [f"{series}.5.{k}" for k in range(SHAPE[2])])
    site.send(slices)
    site.cases(LIVER, series)
    return slices


def centres_mm() -> np.ndarray:
    """Return where each voxel's centre lies along the image's own axes, shape (i, j, k, 3), in mm."""
    return np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1) * [0.9, 0.8, 1.5]


def test_contours_become_the_voxels_whose_centres_they_enclose(site, oblique_ct, tmp_path) -> None:
    """A ball with a hollow, and two cylinders side by side in one region, on an oblique series, by names of the project's."""
    ball, rods = [], []
    for k in range(SHAPE[2]):
        z = 1.5 * k
        for radius in (11.0, 5.0):
            if (left := radius**2 - (z - 15) ** 2) > 0:
                ball.append(circle(np.sqrt(left), 20.3, 16.1, z, 180))
    for k in range(5, 9):
        rods += [circle(3.1, 4.2, 4.4, 1.5 * k, 60), circle(2.3, 37.3, 25.2, 1.5 * k, 60)]
    ds = structure_set(oblique_ct, {4: ("leber", in_patient(ball)), 7: ("CANARY ROI", in_patient(rods))})
    (tmp_path / "a.dcm").write_bytes(saved(ds))

    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert "7 CANARY ROI: no segment of this name or code" in line["why"]
    (line,) = site.run(tmp_path / "a.dcm", LIVER, "--map", "canary roi=spine", "--take")[1]
    assert line["state"] == "taken", line
    assert any("contours within others" in note for note in line["differences"])
    found = site.label(line["label_version_id"])

    # What the shape is.
    from_centre = np.linalg.norm(centres_mm() - [20.3, 16.1, 15], axis=-1)
    shell = (from_centre < 11) & ~(from_centre < 5)
    assert dice(found == 3, shell) >= 0.98
    # What another rasteriser makes of the same contours.
    assert (found == 3)[:, :, :].sum() == rasterised(ball).sum() and (found == 3).sum() > 1000
    assert ((found == 3) == rasterised(ball)).all()
    assert ((found == 9) == rasterised(rods)).all()


def rasterised(contours: list[np.ndarray]) -> np.ndarray:
    """Fill contours in mm of the image's axes with matplotlib; one within another is a hole."""
    region = np.zeros(SHAPE, bool)
    for points in contours:
        k = round(points[0, 2] / 1.5)
        centres = centres_mm()[:, :, k, :2].reshape(-1, 2)
        region[:, :, k] ^= matplotlib.path.Path(points[:, :2], closed=False).contains_points(centres).reshape(SHAPE[:2])
    return region


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(
    ("contours", "options", "why"),
    [
        ([circle(6, 20, 16, 15.5, 30)], {}, "one 0.5 mm from the nearest, of slices 1.5 mm apart"),
        ([circle(6, 20, 16, 150, 30)], {}, "one that reaches 120 mm beyond it"),
        ([circle(30, 20, 16, 15, 30)], {}, "beyond it"),
        ([np.array([[1.0, 1, 15], [9, 9, 15], [9, 1, 18]])], {}, "from the nearest"),
        (
            [circle(6, 20, 16, 15, 30)],
            {"kind": "OPEN_PLANAR"},
            "expected closed planar contours of ROI 1; got OPEN_PLANAR",
        ),
        ([circle(6, 20, 16, 15, 30)[:2]], {}, "contours of three points or more"),
    ],
)
def test_contours_that_are_no_region_of_the_case_are_refused(
    site, oblique_ct, tmp_path, contours, options, why
) -> None:
    ds = structure_set(oblique_ct, {1: ("Leber", in_patient(contours))}, **options)
    (tmp_path / "a.dcm").write_bytes(saved(ds))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["state"] == "refused" and why in line["why"], line["why"]


def test_regions_that_overlap_are_refused_where_segments_may_not(site, oblique_ct, tmp_path) -> None:
    rois = {
        1: ("Leber", in_patient([circle(6, 20, 16, 15, 30)])),
        2: ("spine", in_patient([circle(6, 24, 16, 15, 30)])),
    }
    (tmp_path / "a.dcm").write_bytes(saved(structure_set(oblique_ct, rois)))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["why"].startswith("label-overlap")
    (line,) = site.run(tmp_path / "a.dcm", LIVER, "--map", "spine=")[1]
    assert line["state"] == "take" and "2 spine is left out, as was said" in line["differences"]


def test_phases_of_one_series_are_told_apart_by_the_images_a_seg_names(site, dicom_seg, tmp_path) -> None:
    shape, affine = (24, 38, 3), np.diag([1.0, 1, 2, 1])
    series = "1.2.826.77"
    uids = [[f"1.2.826.77.{phase}.{k}" for k in range(3)] for phase in (1, 2)]
    slices = [
        ds
        for phase in (0, 1)
        for ds in ct_slices(shape, affine, series, uids[phase], TemporalPositionIdentifier=phase + 1)
    ]
    site.send(slices)
    cases = sorted(site.cases(LIVER, series, 2), key=lambda case: case["phase"])
    disc = [circle(8, 12, 19, 2.0 * k, 40) for k in range(3)]
    for phase in (0, 1):
        of_phase = structure_set(slices[3 * phase : 3 * phase + 3], {1: ("Leber", disc)})
        (tmp_path / "a.dcm").write_bytes(saved(of_phase))
        (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
        assert (line["case_id"], line["phase"]) == (cases[phase]["case_id"], phase)
    (tmp_path / "a.dcm").write_bytes(saved(structure_set(slices, {1: ("Leber", disc)})))
    (line,) = site.run(tmp_path / "a.dcm", LIVER)[1]
    assert line["why"].startswith("2 cases are meant, of phases 0, 1")


def test_two_files_of_one_case_are_not_taken_one_over_the_other(site, oblique_ct, tmp_path) -> None:
    for name in ("a.dcm", "b.dcm"):
        ds = structure_set(oblique_ct, {1: ("Leber", in_patient([circle(6, 20, 16, 15, 30)]))})
        (tmp_path / name).write_bytes(saved(ds))
    first, second = site.run(tmp_path, LIVER)[1]
    assert first["state"] == "take" and "another file here is of the same case: a.dcm" in second["why"]


def test_no_name_and_no_original_id_is_anywhere(site, oblique_ct) -> None:
    assert_nothing_named(site, {"CANARY", oblique_ct[0].StudyInstanceUID, "1.2.826.99", "1.2.826.77"})
