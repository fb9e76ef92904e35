"""From slice headers to volumes, with numbers worked by hand; and every reason why slices are none."""

import math

import numpy as np
import pytest

from ingest.domain.geometry import stacks
from ingest.domain.reasons import Refused, RejectReason

COS, SIN = math.cos(math.radians(30)), math.sin(math.radians(30))


def axial(header, positions_mm, **changes):
    return [header(position_lps_mm=(-10.0, -20.0, z), **changes) for z in positions_mm]


def test_axial_stack(header):
    (stack,) = stacks(axial(header, [8.0, 5.0, 6.5]))
    # k runs along row x column = +z; columns are 3 mm apart, rows 2 mm: Pixel Spacing is (between rows, between columns).
    assert stack.order == (1, 2, 0)
    expected = [[3, 0, 0, -10], [0, 2, 0, -20], [0, 0, 1.5, 5], [0, 0, 0, 1]]
    assert np.allclose(stack.affine_lps, expected)


def test_oblique_stack(header):
    """Rows turned by 30 degrees about x: columns run along (0, cos, sin), the normal is (0, -sin, cos)."""
    orientation = (1.0, 0.0, 0.0, 0.0, COS, SIN)
    normal = np.array([0.0, -SIN, COS])
    positions = [tuple(np.array([1.0, 2.0, 3.0]) + 4.0 * k * normal) for k in range(3)]
    (stack,) = stacks([header(position_lps_mm=p, orientation=orientation) for p in reversed(positions)])
    assert stack.order == (2, 1, 0)
    voxel = stack.affine_lps @ [1, 1, 2, 1]
    assert np.allclose(voxel[:3], np.array(positions[2]) + [3, 0, 0] + 2 * np.array([0, COS, SIN]))


def test_sagittal_stack_runs_along_its_normal(header):
    """Rows along +y, columns along -z: the normal y x (-z) is -x, so k runs towards the patient's right."""
    orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    headers = [header(position_lps_mm=(x, 0.0, 0.0), orientation=orientation) for x in (1.0, 2.0, 3.0)]
    (stack,) = stacks(headers)
    assert stack.order == (2, 1, 0)
    assert np.allclose(stack.affine_lps[:3, 2], [-1, 0, 0])


def test_single_slice_takes_its_thickness(header):
    (stack,) = stacks(axial(header, [5.0]))
    assert np.allclose(stack.affine_lps[:3, 2], [0, 0, 1.5])


def test_rounded_positions_are_even(header):
    """2.0833 mm written with two digits: gaps of 2.08 and 2.09."""
    (stack,) = stacks(axial(header, [round(k * 25 / 12, 2) for k in range(13)]))
    assert stack.affine_lps[2, 2] == pytest.approx(25 / 12)


def test_phases_are_stacks_of_their_own(header):
    headers = [
        header(position_lps_mm=(0.0, 0.0, z), numbers={"trigger-time-ms": t, "instance-number": n})
        for n, (z, t) in enumerate([(0.0, 20.0), (2.0, 10.0), (0.0, 10.0), (2.0, 20.0)])
    ]
    first, second = stacks(headers)
    assert first.order == (2, 1) and second.order == (0, 3)
    assert np.allclose(first.affine_lps, second.affine_lps)


SHEAR = math.tan(math.radians(15))
REFUSED = {
    "missing": ({"positions_mm": [0, 1.5, 4.5, 6]}, RejectReason.MISSING_SLICES, "1 positions are empty"),
    "most missing": ({"positions_mm": [0, 1.5, 6, 10.5]}, RejectReason.MISSING_SLICES, "4 positions are empty"),
    "uneven": ({"positions_mm": [0, 1.5, 3.7, 5.2]}, RejectReason.UNEVEN_SPACING, "1.500 to 2.200 mm"),
    "duplicate": ({"positions_mm": [0, 1.5, 1.5, 3]}, RejectReason.DUPLICATE_SLICES, "1 of 3 positions"),
    "every slice twice": ({"positions_mm": [0, 0, 1.5, 1.5]}, RejectReason.DUPLICATE_SLICES, "no time differs"),
    "multi-frame": ({"positions_mm": [0, 1], "frames": 5}, RejectReason.UNSUPPORTED, "MR Image Storage: a multi-frame"),
    "ultrasound": (
        {"positions_mm": [0, 1], "frames": 5, "sop_class_uid": "1.2.840.10008.5.1.4.1.1.3.1"},
        RejectReason.UNSUPPORTED,
        "Ultrasound Multi-frame Image Storage: ultrasound",
    ),
    "radiography": (
        {"positions_mm": [0, 1], "frames": 2, "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1"},
        RejectReason.UNSUPPORTED,
        "Digital X-Ray Image Storage - For Presentation: a projection",
    ),
    "of a vendor": (
        {"positions_mm": [0], "sop_class_uid": "1.3.46.670589.11.0.0.12.1", "orientation": None},
        RejectReason.UNSUPPORTED,
        "a SOP class that is not listed: no Image Position",
    ),
    "colour": ({"positions_mm": [0, 1], "samples_per_pixel": 3}, RejectReason.UNSUPPORTED, "colour"),
    "mosaic": ({"positions_mm": [0, 1], "image_type": ("ORIGINAL", "MOSAIC")}, RejectReason.UNSUPPORTED, "mosaic"),
    "no orientation": ({"positions_mm": [0, 1], "orientation": None}, RejectReason.UNSUPPORTED, "Image Orientation"),
    "no spacing": ({"positions_mm": [0, 1], "pixel_spacing_mm": None}, RejectReason.UNSUPPORTED, "Pixel Spacing"),
    "spacing of 0": (
        {"positions_mm": [0, 1], "pixel_spacing_mm": (0.0, 1.0)},
        RejectReason.UNSUPPORTED,
        "spacing of 0",
    ),
    "skewed cosines": (
        {"positions_mm": [0, 1], "orientation": (1.0, 0.0, 0.0, 0.5, 0.9, 0.0)},
        RejectReason.UNSUPPORTED,
        "orthonormal",
    ),
    "odd bits": ({"positions_mm": [0, 1], "high_bit": 15}, RejectReason.UNSUPPORTED, "high bit 15"),
    "no thickness": ({"positions_mm": [0], "slice_step_mm": None}, RejectReason.UNSUPPORTED, "without thickness"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(header, name):
    arguments, reason, detail = REFUSED[name]
    with pytest.raises(Refused) as refused:
        stacks(axial(header, **arguments))
    assert refused.value.reason is reason
    assert detail in refused.value.detail


def test_tilted_gantry(header):
    """15 degrees: each slice of 2 mm moves 0.54 mm along y."""
    headers = [header(position_lps_mm=(0.0, 2 * k * SHEAR, 2.0 * k)) for k in range(5)]
    with pytest.raises(Refused) as refused:
        stacks(headers)
    assert refused.value.reason is RejectReason.TILTED
    assert "2.14 mm sideways over 8.0 mm" in refused.value.detail


@pytest.mark.parametrize(
    "other",
    [
        {"rows": 8},
        {"columns": 8},
        {"orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)},
        {"pixel_spacing_mm": (2.5, 3.0)},
    ],
)
def test_mixed_slices(header, other):
    with pytest.raises(Refused) as refused:
        stacks([*axial(header, [0, 1]), *axial(header, [2], **other)])
    assert refused.value.reason is RejectReason.MIXED_SIZES


def test_slices_side_by_side_are_no_phases(header):
    """Two stacks next to each other, alike but for their place in the plane."""
    left = [header(position_lps_mm=(0.0, 0.0, z), numbers={"trigger-time-ms": 1.0}) for z in (0.0, 1.0)]
    right = [header(position_lps_mm=(90.0, 0.0, z), numbers={"trigger-time-ms": 2.0}) for z in (0.0, 1.0)]
    with pytest.raises(Refused) as refused:
        stacks(left + right)
    assert refused.value.reason is RejectReason.MIXED_SIZES
