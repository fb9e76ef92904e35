"""Reads DICOM SEG (binary and label map) into the geometry of a case, whoever wrote it.

A SEG places each frame by position and orientation, in any order, over any part of the volume. Nothing is resampled: each
voxel of a frame must be a voxel of the case.
"""

import io
import warnings
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from labeling.domain.labels import TOLERANCE_MM, affine_of, mask_dtype
from labeling.domain.messages import Segment
from labeling.domain.model import Case, Project
from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, Volume, segment_bit

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"


def read_seg(data: bytes, case: Case, project: Project) -> Volume:
    """Read a DICOM SEG into the case's geometry.

    Parameters
    ----------
    data : bytes
        A DICOM file: Segmentation Storage of type BINARY, or Label Map Segmentation Storage (PS3.3 A.51, C.8.20).
    case : Case
    project : Project
        Its segments are found by coded type (and name, where several share one), else by segment label.

    Returns
    -------
    Volume
        `mask_dtype` of the project, shape of the case; values are the project's.

    Raises
    ------
    Invalid
        ``label-unreadable``, ``label-values`` (fractional), ``label-geometry``, ``segment-unknown``; ``label-overlap`` where the
        project's segments may not.
    """
    ds = _parsed(data)
    values = _values_by_number(ds, project)
    frames = _frames(ds)
    array = np.zeros(case.shape, dtype=mask_dtype(project))
    if project.overlapping_segments:
        values = {number: int(segment_bit(value)) for number, value in values.items()}
    to_index = np.linalg.inv(affine_of(case))
    shared = ds.SharedFunctionalGroupsSequence[0] if ds.get("SharedFunctionalGroupsSequence") else pydicom.Dataset()
    label_map = ds.SOPClassUID == LABEL_MAP_SEGMENTATION_STORAGE
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if label_map:
            painted = _translated(frame, values, ds.get("PixelPaddingValue"), array.dtype)
        else:
            number = int(_macro(group, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            painted = np.where(frame != 0, values[_known_number(number, values)], 0).astype(array.dtype)
        _place(painted, _frame_affine(group, shared), to_index, affine_of(case), array)
    return Volume(array, affine_of(case))


def _parsed(data: bytes) -> pydicom.Dataset:
    try:
        with warnings.catch_warnings():
            # What pydicom warns of (odd values in attributes not read here) is not ours to judge.
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(io.BytesIO(data))
            sop_class, kind = str(ds.SOPClassUID), str(ds.get("SegmentationType", ""))
    except (InvalidDicomError, AttributeError, ValueError, EOFError, OSError, KeyError, TypeError) as error:
        raise Invalid("label-unreadable", expected="a DICOM SEG file", got=f"{len(data)} other bytes") from error
    if sop_class not in (SEGMENTATION_STORAGE, LABEL_MAP_SEGMENTATION_STORAGE):
        raise Invalid(
            "label-unreadable", expected="Segmentation or Label Map Segmentation Storage", got="another object"
        )
    if kind not in ("BINARY", "LABELMAP"):
        raise Invalid(
            "label-values",
            expected="Segmentation Type BINARY or LABELMAP",
            got=kind or "none",
            do="make a decision for each voxel; probabilities are no label",
        )
    return ds


def _frames(ds: pydicom.Dataset) -> np.ndarray:
    """Return the frames, shape ``(F, rows, columns)``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = ds.pixel_array
        count = len(ds.PerFrameFunctionalGroupsSequence)
        frames = pixels.reshape(count, int(ds.Rows), int(ds.Columns))
    except Exception as error:  # pydicom's decoders raise many kinds for damaged pixel data
        raise Invalid("label-unreadable", expected="frames that can be decoded", got="damaged pixel data") from error
    return frames


def _values_by_number(ds: pydicom.Dataset, project: Project) -> dict[int, int]:
    """Map segment numbers to the project's values."""
    mapped: dict[int, int] = {}
    unknown: list[str] = []
    for item in ds.get("SegmentSequence", []):
        number, label = int(item.SegmentNumber), str(item.get("SegmentLabel", ""))
        if number == 0 and ds.SOPClassUID == LABEL_MAP_SEGMENTATION_STORAGE:
            continue  # the background of a label map
        segment = _matching(item, label, project)
        if segment is None:
            unknown.append(str(number))
        elif segment.value in mapped.values():
            raise Invalid(
                "segment-ambiguous",
                expected="one SEG segment for each segment of the project",
                got=f"two that are {segment.name}",
                do="give each its own coded type or label",
            )
        else:
            mapped[number] = segment.value
    if unknown or not mapped:
        known = "; ".join(
            f"{s.value} {s.name} ({s.type.scheme} {s.type.value} {s.type.meaning})" for s in project.segments
        )
        raise Invalid(
            "segment-unknown",
            expected=f"segments of the project, by coded type or label: {known}",
            got=f"segment number {', '.join(unknown)}" if unknown else "no segments",
            do="name the segments as the project does",
        )
    return mapped


def _matching(item: pydicom.Dataset, label: str, project: Project) -> Segment | None:
    codes = [(str(c.get("CodeValue", "")), str(c.get("CodingSchemeDesignator", ""))) for c in _types(item)]
    by_code = [s for s in project.segments if (s.type.value, s.type.scheme) in codes]
    by_name = [s for s in project.segments if s.name.casefold() == label.casefold()]
    if len(by_code) == 1:
        return by_code[0]
    both = [s for s in by_code if s in by_name]
    return (both or by_name or [None])[0]


def _types(item: pydicom.Dataset) -> list[pydicom.Dataset]:
    return list(item.get("SegmentedPropertyTypeCodeSequence", []))


def _translated(frame: np.ndarray, values: dict[int, int], padding: int | None, dtype: np.dtype) -> np.ndarray:
    """Turn segment numbers into values; 0 and the padding value (voxels nobody looked at) become background."""
    table = np.zeros(int(frame.max(initial=0)) + 1, dtype=dtype)
    for number in np.unique(frame):
        if number and (number != padding or number in values):
            table[number] = values[_known_number(int(number), values)]
    return table[frame]


def _known_number(number: int, values: dict[int, int]) -> int:
    if number not in values:
        raise Invalid("segment-unknown", expected="numbers of the Segment Sequence", got=str(number))
    return number


def _macro(group: pydicom.Dataset, shared: pydicom.Dataset, keyword: str) -> pydicom.Dataset:
    """Return the item of a functional group macro: per frame, else shared (PS3.3 C.7.6.16)."""
    sequence = group.get(keyword) or shared.get(keyword)
    if not sequence:
        raise Invalid("label-unreadable", expected=f"{keyword} for every frame", got="none")
    return sequence[0]


def _frame_affine(group: pydicom.Dataset, shared: pydicom.Dataset) -> np.ndarray:
    """Return float64 ``(4, 3)``: (column, row, 1) of a frame to homogeneous LPS in mm (PS3.3 C.7.6.2.1.1)."""
    position = _numbers(_macro(group, shared, "PlanePositionSequence"), "ImagePositionPatient", 3)
    directions = _numbers(_macro(group, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    between_rows_mm, between_columns_mm = _numbers(_macro(group, shared, "PixelMeasuresSequence"), "PixelSpacing", 2)
    affine = np.zeros((4, 3))
    affine[:3, 0] = np.array(directions[:3]) * between_columns_mm
    affine[:3, 1] = np.array(directions[3:]) * between_rows_mm
    affine[:, 2] = [*position, 1]
    return affine


def _numbers(item: pydicom.Dataset, keyword: str, count: int) -> list[float]:
    found: Any = item.get(keyword)
    if found is None or len(found) != count:
        raise Invalid("label-unreadable", expected=f"{count} numbers in {keyword}", got="another count")
    return [float(number) for number in found]


def _place(
    painted: np.ndarray, frame_affine: np.ndarray, to_index: np.ndarray, affine: np.ndarray, array: np.ndarray
) -> None:
    """Write a frame's voxels into the case's array where they stand.

    ``painted`` has shape (rows, columns); ``array`` (I, J, K), of the same type, is changed. Segment bits are added to those
    that are there; a label map takes one segment for each voxel.
    """
    last_row, last_column = (n - 1 for n in painted.shape)
    corners = np.array([[c, r, 1] for c in (0, last_column) for r in (0, last_row)], dtype=np.float64).T
    indices = to_index @ frame_affine @ corners
    off_grid_mm = np.linalg.norm((affine @ (np.round(indices) - indices))[:3], axis=0).max()
    steps = np.round(to_index @ frame_affine)[:3, :2]
    if not off_grid_mm <= TOLERANCE_MM or (np.abs(steps).sum(axis=0) != 1).any():
        raise Invalid(
            "label-geometry",
            expected=f"frames whose voxels are the case's voxels, within {TOLERANCE_MM} mm",
            got="a frame between them, or of another spacing or orientation",
            do="make the SEG on the series of this case; nothing is resampled",
        )
    rows, columns = _filled(painted)
    start = np.round(to_index @ frame_affine[:, 2])[:3].astype(int)
    places = start[:, None] + steps.astype(int) @ np.vstack([columns, rows])
    if ((places < 0) | (places >= np.array(array.shape)[:, None])).any():
        raise Invalid(
            "label-geometry",
            expected="labelled voxels inside the case's volume",
            got="some outside of it",
            do="check that the SEG belongs to this case",
        )
    i, j, k = places
    new = painted[rows, columns]
    if array.dtype == SEGMENT_BITS:
        array[i, j, k] |= new
        return
    if ((array[i, j, k] != 0) & (array[i, j, k] != new)).any():
        raise Invalid(
            "label-overlap",
            expected="one segment for each voxel",
            got="voxels that are in two segments",
            do="decide which segment they are; the project has no overlapping segments",
        )
    array[i, j, k] = new


def _filled(painted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of a frame's voxels as `numpy.nonzero`; most of a frame is empty rows, which are passed over first."""
    filled = np.flatnonzero(painted.any(axis=1))
    if not filled.size:
        return filled, filled
    rows, columns = np.nonzero(painted[filled[0] : filled[-1] + 1])
    return rows + filled[0], columns
