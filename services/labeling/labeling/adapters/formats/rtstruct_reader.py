"""Reads the contours of an RT structure set into the geometry of a case.

A voxel belongs to a region when its centre lies within the contours of its slice, by the even-odd rule: a contour within another
is a hole. Nothing is interpolated between slices, and no contour is moved to a slice.
"""

import io
import warnings
from collections.abc import Sequence

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from labeling.adapters.formats.damage import unreadable_where_damaged
from labeling.domain.labels import affine_of, mask_dtype
from labeling.domain.model import Case, Project
from labeling.domain.polygons import filled
from labeling.domain.translation import Terms, unnamed
from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, Volume, segment_bit

RT_STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"

PLANE_TOLERANCE_MM = 0.1
"""How far a contour's points may lie from the plane of a slice: planning systems write a tenth of a millimetre."""

_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OTHERS = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
_OUTSIDE_VOXELS = 1.0
"""How far a contour may reach beyond the image: an outline of the whole body runs along its edge."""


def read_rtstruct(data: bytes, case: Case, project: Project, terms: Terms, notes: list[str]) -> Volume:
    """Read an RT structure set into the case's geometry (PS3.3 A.19, C.8.8.5, C.8.8.6).

    Parameters
    ----------
    data : bytes
        A DICOM file.
    case : Case
    project : Project
    terms : Terms
        The project's value for each ROI number, 0 for one that is left out. Names are not read here.
    notes : list of str
        What whoever decides should know is added to it.

    Returns
    -------
    Volume
        `mask_dtype` of the project, shape of the case.

    Raises
    ------
    Invalid
        ``label-unreadable``, ``segment-unknown``, ``label-values`` (contours that are no areas), ``label-geometry`` (contours
        that lie on no slice, or outside the image), ``label-overlap`` where the project's segments may not.
    """
    with unreadable_where_damaged("an RT structure set"):
        return _read(_parsed(data), case, project, terms, notes)


def _read(ds: pydicom.Dataset, case: Case, project: Project, terms: Terms, notes: list[str]) -> Volume:
    named = terms.values or {}
    numbers = {int(item.ROINumber) for item in ds.get("StructureSetROISequence", [])}
    numbers |= {int(item.ReferencedROINumber) for item in ds.get("ROIContourSequence", [])}
    if missing := sorted(numbers - set(named)):
        raise unnamed(missing)
    array = np.zeros(case.shape, dtype=mask_dtype(project))
    for item in ds.get("ROIContourSequence", []):
        number = int(item.ReferencedROINumber)
        if named[number]:
            _paint(_region(item, number, case, notes), named[number], array)
    return Volume(array, affine_of(case))


def _parsed(data: bytes) -> pydicom.Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(io.BytesIO(data))
            sop_class = str(ds.SOPClassUID)
    except (InvalidDicomError, AttributeError, ValueError, EOFError, OSError, KeyError, TypeError) as error:
        raise Invalid("label-unreadable", expected="an RT structure set", got=f"{len(data)} other bytes") from error
    if sop_class != RT_STRUCTURE_SET_STORAGE:
        raise Invalid("label-unreadable", expected="RT Structure Set Storage", got="another object")
    return ds


def _region(item: pydicom.Dataset, number: int, case: Case, notes: list[str]) -> np.ndarray:
    """Return bool, shape ``(I, J, K)``: the voxels of one region of interest."""
    region = np.zeros(case.shape, dtype=bool)
    by_slice = _by_slice(item, number, case)
    with_holes = 0
    for k, contours in by_slice.items():
        covered = np.zeros(case.shape[:2], dtype=bool)
        holes = False
        for contour in contours:
            inside = filled(contour, case.shape[:2])
            holes = holes or bool((covered & inside).any())
            covered |= inside
            region[:, :, k] ^= inside
        with_holes += holes
    _note(list(by_slice), with_holes, number, notes)
    return region


def _by_slice(item: pydicom.Dataset, number: int, case: Case) -> dict[int, list[np.ndarray]]:
    """Return the contours of each slice (k), as (i, j) of shape ``(n, 2)``, in voxels."""
    to_index = np.linalg.inv(affine_of(case))
    found: dict[int, list[np.ndarray]] = {}
    for contour in item.get("ContourSequence", []):
        kind = str(contour.get("ContourGeometricType", ""))
        if kind not in _AREAS:
            raise Invalid(
                "label-values",
                expected=f"closed planar contours of ROI {number}",
                got=kind if kind in _OTHERS else "none that there is",
                do="leave this region out: lines and points are no area",
            )
        places = to_index[:3, :3] @ _points(contour, number).T + to_index[:3, 3:]
        k = _slice_of(places, number, case)
        found.setdefault(k, []).append(places[:2].T)
    return dict(sorted(found.items()))


def _points(contour: pydicom.Dataset, number: int) -> np.ndarray:
    """Return float64 ``(n, 3)``: LPS, mm."""
    try:
        numbers = np.array([float(value) for value in contour.get("ContourData") or ()])
        points = numbers.reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise Invalid("label-unreadable", expected="x, y, z of each point", got=f"others in ROI {number}") from error
    if len(points) < 3 or not np.isfinite(points).all():
        raise Invalid(
            "label-unreadable", expected="contours of three points or more", got=f"{len(points)} in one of ROI {number}"
        )
    return points


def _slice_of(places: np.ndarray, number: int, case: Case) -> int:
    """Return the slice (k) that a contour lies on; ``places`` are (i, j, k) of its points, shape ``(3, n)``."""
    # The distance to a slice is along the normal: the case's axes are at right angles, but for what positions are rounded.
    spacing_mm = case.spacing_mm
    k = int(np.round(places[2].mean()))
    off_mm = float(np.abs(places[2] - k).max()) * spacing_mm[2]
    if off_mm > PLANE_TOLERANCE_MM:
        raise Invalid(
            "label-geometry",
            expected=f"contours of ROI {number} in the planes of slices, within {PLANE_TOLERANCE_MM} mm",
            got=f"one {off_mm:.3g} mm from the nearest, of slices {spacing_mm[2]:.4g} mm apart",
            do="export the structure set on the series of this case; contours are not moved",
        )
    last = np.array(case.shape) - 1
    beyond = np.maximum(-places.min(axis=1), places.max(axis=1) - last)[:2]
    if not 0 <= k <= last[2] or (beyond > _OUTSIDE_VOXELS).any():
        mm = float(max((beyond * np.array(spacing_mm[:2])).max(), max(-k, k - last[2]) * spacing_mm[2]))
        raise Invalid(
            "label-geometry",
            expected=f"contours of ROI {number} inside the image",
            got=f"one that reaches {mm:.3g} mm beyond it",
            do="check that the structure set belongs to this case",
        )
    return k


def _note(slices: Sequence[int], with_holes: int, number: int, notes: list[str]) -> None:
    if not slices:
        notes.append(f"ROI {number} has no contours: an empty segment")
        return
    if gaps := slices[-1] - slices[0] + 1 - len(slices):
        notes.append(
            f"ROI {number} has no contour on {gaps} slices between its first and its last: nothing is put there"
        )
    if with_holes:
        notes.append(
            f"ROI {number} has contours within others on {with_holes} slices: what two of them cover is a hole"
        )


def _paint(region: np.ndarray, value: int, array: np.ndarray) -> None:
    if array.dtype == SEGMENT_BITS:
        array[region] |= segment_bit(value)
        return
    there = array[region]
    if shared := int(((there != 0) & (there != value)).sum()):
        raise Invalid(
            "label-overlap",
            expected="one segment for each voxel",
            got=f"{shared} voxels that are in two regions",
            do="decide which segment they are; the project has no overlapping segments",
        )
    array[region] = value
