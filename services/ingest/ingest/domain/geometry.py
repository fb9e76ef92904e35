"""From slice headers to volumes: order, affine, and every reason why slices are no volume. Nothing is resampled or repaired.

Frame of reference: patient coordinates, LPS, mm (PS3.3 C.7.6.2.1.1). Voxel axes (i, j, k) = columns, rows, slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ingest.domain.model import SliceHeader
from ingest.domain.phases import split_phases
from ingest.domain.reasons import Refused, RejectReason
from ingest.domain.sop_classes import name_of, no_slice_because

SAME_POSITION_MM = 0.01
SPACING_TOLERANCE_MM = 0.02
SPACING_TOLERANCE = 0.01
"""Gaps may differ by this share of the spacing: scanners write positions with 3 to 6 digits."""
TILT_TOLERANCE_MM = 0.1
TILT_TOLERANCE = 0.002
"""A stack may drift sideways by this share of its length (0.11 degrees); gantry tilt is a degree and more."""
ORIENTATION_TOLERANCE = 1e-3
"""Largest difference between direction cosines of slices of one volume."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The slices of one volume.

    Attributes
    ----------
    order : tuple of int
        Indices of the slices into the headers given, along k.
    affine_lps : numpy.ndarray
        float64, shape ``(4, 4)``: voxel index (i, j, k), zero-based, voxel centre, to patient coordinates (LPS, mm).
    """

    order: tuple[int, ...]
    affine_lps: np.ndarray


def stacks(headers: Sequence[SliceHeader]) -> list[Stack]:
    """Form the volumes of a series, one for each phase, in order of phase.

    Parameters
    ----------
    headers : sequence of SliceHeader
        All instances of one series, in any order; at least one.

    Returns
    -------
    list of Stack
        k runs along the normal, row direction x column direction.

    Raises
    ------
    Refused
        UNSUPPORTED, MIXED_SIZES, DUPLICATE_SLICES, UNEQUAL_PHASES, TILTED, MISSING_SLICES or UNEVEN_SPACING.
    """
    for header in headers:
        _check_supported(header)
    _check_alike(headers)
    first = headers[0]
    row_direction, column_direction = np.array(first.orientation).reshape(2, 3)
    normal = np.cross(row_direction, column_direction)
    positions = np.array([header.position_lps_mm for header in headers], dtype=np.float64)
    distances = positions @ normal
    groups = _by_position(distances)
    _check_in_line(positions, groups)
    phases = split_phases(headers, groups)
    step = _step(positions[[group[0] for group in groups]], normal, first)
    spacing_rows_mm, spacing_columns_mm = first.pixel_spacing_mm or (0.0, 0.0)
    result = []
    for order in phases:
        affine = np.eye(4)
        affine[:3, 0] = row_direction * spacing_columns_mm
        affine[:3, 1] = column_direction * spacing_rows_mm
        affine[:3, 2] = step
        affine[:3, 3] = positions[order[0]]
        result.append(Stack(tuple(order), affine))
    return result


def _check_supported(header: SliceHeader) -> None:
    name, why = name_of(header.sop_class_uid), no_slice_because(header.sop_class_uid)
    if why and (header.frames != 1 or header.position_lps_mm is None):
        raise Refused(RejectReason.UNSUPPORTED, f"{name}: {why}; expected slices of a volume")
    if header.frames != 1:
        raise Refused(
            RejectReason.UNSUPPORTED,
            f"{name}: a multi-frame instance ({header.frames} frames) whose frames do not say where they lie",
        )
    if header.samples_per_pixel != 1:
        raise Refused(
            RejectReason.UNSUPPORTED, f"{name}: {header.samples_per_pixel} samples per pixel (colour); expected 1"
        )
    if header.bits_allocated not in (8, 16, 32) or header.high_bit != header.bits_stored - 1:
        raise Refused(
            RejectReason.UNSUPPORTED,
            f"{header.bits_stored} of {header.bits_allocated} bits with high bit {header.high_bit}",
        )
    if "MOSAIC" in header.image_type:
        raise Refused(RejectReason.UNSUPPORTED, "a mosaic: many slices tiled in one image")
    if header.position_lps_mm is None or header.orientation is None or header.pixel_spacing_mm is None:
        raise Refused(
            RejectReason.UNSUPPORTED,
            f"{name}: no Image Position, Image Orientation or Pixel Spacing; expected slices of a volume",
        )
    cosines = np.array(header.orientation).reshape(2, 3)
    if np.abs(cosines @ cosines.T - np.eye(2)).max() > 0.01 or min(header.pixel_spacing_mm) <= 0:
        raise Refused(RejectReason.UNSUPPORTED, "direction cosines that are not orthonormal, or a pixel spacing of 0")


def _check_alike(headers: Sequence[SliceHeader]) -> None:
    first = headers[0]
    for header in headers[1:]:
        if (header.rows, header.columns) != (first.rows, first.columns):
            raise Refused(
                RejectReason.MIXED_SIZES,
                f"slices of {first.rows}x{first.columns} and of {header.rows}x{header.columns} in one series",
            )
        same_direction = np.allclose(header.orientation, first.orientation, rtol=0, atol=ORIENTATION_TOLERANCE)
        if not same_direction or not np.allclose(header.pixel_spacing_mm, first.pixel_spacing_mm, rtol=1e-3):
            raise Refused(RejectReason.MIXED_SIZES, "slices of different orientation or pixel spacing in one series")


def _by_position(distances: np.ndarray) -> list[list[int]]:
    """Group slice indices by distance along the normal (mm, shape ``(n,)``), in its order."""
    order = np.argsort(distances, kind="stable")
    breaks = np.flatnonzero(np.diff(distances[order]) > SAME_POSITION_MM) + 1
    return [group.tolist() for group in np.split(order, breaks)]


def _check_in_line(positions: np.ndarray, groups: list[list[int]]) -> None:
    """Slices at one distance (positions in mm, shape ``(n, 3)``) must be at one place, or they belong to several volumes."""
    for group in groups:
        apart_mm = float(np.ptp(positions[group], axis=0).max())
        if apart_mm > TILT_TOLERANCE_MM:
            raise Refused(RejectReason.MIXED_SIZES, f"slices side by side in one plane, {apart_mm:.1f} mm apart")


def _step(positions: np.ndarray, normal: np.ndarray, header: SliceHeader) -> np.ndarray:
    """Return the vector (LPS, mm) from one slice to the next, for positions of shape ``(k, 3)`` in order."""
    if len(positions) == 1:
        if not header.slice_step_mm or header.slice_step_mm <= 0:
            raise Refused(RejectReason.UNSUPPORTED, "a single slice without thickness")
        return normal * header.slice_step_mm
    from_first = positions - positions[0]
    along = from_first @ normal
    sideways_mm = np.linalg.norm(from_first - np.outer(along, normal), axis=1)
    if sideways_mm.max() > max(TILT_TOLERANCE_MM, TILT_TOLERANCE * along[-1]):
        raise Refused(RejectReason.TILTED, f"slices drift {sideways_mm.max():.2f} mm sideways over {along[-1]:.1f} mm")
    _check_gaps(np.diff(along))
    return from_first[-1] / (len(positions) - 1)


def _check_gaps(gaps_mm: np.ndarray) -> None:
    smallest = float(gaps_mm.min())
    # The unit is the mean of what is about the smallest gap, so that rounding of one position does not decide.
    unit = float(gaps_mm[gaps_mm < 1.5 * smallest].mean())
    tolerance_mm = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * unit)
    multiples = np.round(gaps_mm / unit)
    if np.abs(gaps_mm - multiples * unit).max() > tolerance_mm * max(1.0, float(multiples.max())):
        raise Refused(RejectReason.UNEVEN_SPACING, f"gaps between slices of {smallest:.3f} to {gaps_mm.max():.3f} mm")
    if missing := int(multiples.sum() - len(multiples)):
        raise Refused(RejectReason.MISSING_SLICES, f"{missing} positions are empty at a spacing of {unit:.3f} mm")
