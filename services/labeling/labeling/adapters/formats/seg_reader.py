"""Reads DICOM SEG (binary, fractional and label map) into the geometry of a case, whoever wrote it.

A SEG places each frame by position and orientation, in any order, over any part of the volume. Nothing is resampled: each
voxel of a frame must be a voxel of the case.
"""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from labeling.adapters.formats.damage import unreadable_where_damaged
from labeling.domain.labels import TOLERANCE_MM, affine_of, mask_dtype
from labeling.domain.messages import Segment
from labeling.domain.model import Case, Project
from labeling.domain.translation import Terms, unnamed
from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, Volume, segment_bit

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"


def read_seg(
    data: bytes,
    case: Case,
    project: Project,
    terms: Terms | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    notes: list[str] | None = None,
) -> Volume:
    """Read a DICOM SEG into the case's geometry.

    Parameters
    ----------
    data : bytes
        A DICOM file: Segmentation Storage, or Label Map Segmentation Storage (PS3.3 A.51, C.8.20).
    case : Case
    project : Project
    terms : Terms, optional
        With values: of each segment number. Without, segments are found by coded type (and name, where several share one), else
        by segment label.
    tolerance_mm : float
        How far a voxel of a frame may lie from the case's.
    notes : list of str, optional
        What was different and is taken all the same is added to it.

    Returns
    -------
    Volume
        `mask_dtype` of the project, shape of the case; values are the project's.

    Raises
    ------
    Invalid
        ``label-unreadable``, ``label-values`` (fractional, and no threshold said), ``label-geometry``, ``segment-unknown``;
        ``label-overlap`` where the project's segments may not.
    """
    with unreadable_where_damaged("a DICOM SEG file"):
        return _read(_parsed(data), case, project, terms or Terms(), tolerance_mm, [] if notes is None else notes)


def _read(
    ds: pydicom.Dataset, case: Case, project: Project, terms: Terms, tolerance_mm: float, notes: list[str]
) -> Volume:
    least = _least(ds, terms, notes)
    values = _values_by_number(ds, project) if terms.values is None else _named_values(ds, terms.values)
    frames = _frames(ds)
    array = np.zeros(case.shape, dtype=mask_dtype(project))
    if project.overlapping_segments:
        values = {number: int(segment_bit(value)) if value else 0 for number, value in values.items()}
    grid = _Grid(affine_of(case), tolerance_mm, array)
    shared = ds.SharedFunctionalGroupsSequence[0] if ds.get("SharedFunctionalGroupsSequence") else pydicom.Dataset()
    label_map = ds.SOPClassUID == LABEL_MAP_SEGMENTATION_STORAGE
    padding, padded = ds.get("PixelPaddingValue"), 0
    if padding in values:
        padding = None
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if label_map:
            painted = _translated(frame, values, padding, array.dtype)
            padded += int((frame == padding).sum()) if padding else 0
        else:
            number = int(_macro(group, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            painted = np.where(frame >= least, values[_known_number(number, values)], 0).astype(array.dtype)
        grid.place(painted, _frame_affine(group, shared))
    notes += grid.notes
    if padded:
        notes.append(f"{padded} voxels are padding ({padding}), which nobody looked at: taken as background")
    return Volume(array, affine_of(case))


def _least(ds: pydicom.Dataset, terms: Terms, notes: list[str]) -> float:
    """Return the stored value from which a voxel is in its segment."""
    if ds.SegmentationType != "FRACTIONAL":
        return 1
    if terms.threshold is None:
        raise Invalid(
            "label-values",
            expected="Segmentation Type BINARY or LABELMAP, or a threshold for a fractional one",
            got="FRACTIONAL, and no threshold",
            do="say from which share of the maximum a voxel counts; probabilities are no label",
        )
    largest = int(ds.get("MaximumFractionalValue") or 255)
    least = terms.threshold * largest
    notes.append(f"fractional: a voxel counts from {least:g} of {largest} ({terms.threshold:g}), as was said")
    return least


def _named_values(ds: pydicom.Dataset, named: Mapping[int, int]) -> dict[int, int]:
    """Return the project's value of each segment, 0 for one that is left out."""
    numbers = {int(item.SegmentNumber) for item in ds.get("SegmentSequence", [])}
    if ds.SOPClassUID == LABEL_MAP_SEGMENTATION_STORAGE:
        numbers -= {0}
    if missing := sorted(numbers - set(named)):
        raise unnamed(missing)
    return {number: named[number] for number in numbers}


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
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise Invalid("label-unreadable", expected="a Segmentation Type", got="none that there is")
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
        if number and number != padding:
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


class _Grid:
    """The case's voxels, while frames are written into them.

    Segment bits are added to those that are there; a label map takes one segment for each voxel.

    Parameters
    ----------
    affine : numpy.ndarray
        Of the case, shape ``(4, 4)``, LPS, mm.
    tolerance_mm : float
    array : numpy.ndarray
        Shape ``(I, J, K)``, is changed.
    """

    def __init__(self, affine: np.ndarray, tolerance_mm: float, array: np.ndarray) -> None:
        self._affine, self._to_index, self._tolerance_mm = affine, np.linalg.inv(affine), tolerance_mm
        self._array = array
        self._off_mm, self._turned = 0.0, False

    @property
    def notes(self) -> list[str]:
        """What was different about the frames."""
        notes = []
        if self._off_mm > TOLERANCE_MM:
            notes.append(f"voxels lie up to {self._off_mm:.2g} mm from the image's: taken as the same")
        if self._turned:
            notes.append("frames are stored in other directions than the image's slices: turned, exactly")
        return notes

    def place(self, painted: np.ndarray, frame_affine: np.ndarray) -> None:
        """Write a frame of shape (rows, columns), of the array's type; ``frame_affine`` of shape ``(4, 3)`` says where it lies."""
        start, steps = self._place_of(frame_affine, painted.shape)
        rows, columns = _filled(painted)
        places = start[:, None] + steps @ np.vstack([columns, rows])
        outside = ((places < 0) | (places >= np.array(self._array.shape)[:, None])).any(axis=0)
        if outside.any():
            raise Invalid(
                "label-geometry",
                expected="labelled voxels inside the case's volume",
                got=f"{int(outside.sum())} of a frame's {outside.size} outside of it",
                do="check that the SEG belongs to this case",
            )
        self._write(painted[rows, columns], places)

    def _place_of(self, frame_affine: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the case's voxel of the frame's first, shape ``(3,)``, and the steps along columns and rows, ``(3, 2)``."""
        last_row, last_column = (n - 1 for n in shape)
        corners = np.array([[c, r, 1] for c in (0, last_column) for r in (0, last_row)], dtype=np.float64).T
        exact = self._to_index @ frame_affine
        indices = exact @ corners
        off_mm = float(np.linalg.norm((self._affine @ (np.round(indices) - indices))[:3], axis=0).max())
        steps = np.round(exact)[:3, :2]
        if (np.abs(steps).sum(axis=0) != 1).any() or not off_mm <= self._tolerance_mm:
            spacing = "x".join(f"{length:.4g}" for length in np.linalg.norm(frame_affine[:3, :2], axis=0))
            raise Invalid(
                "label-geometry",
                expected=f"frames whose voxels are the case's voxels, within {self._tolerance_mm:.3g} mm",
                got=f"a frame of {spacing} mm, whose corners lie up to {off_mm:.3g} mm from them",
                do="make the SEG on the series of this case; nothing is resampled",
            )
        self._off_mm = max(self._off_mm, off_mm)
        self._turned = self._turned or bool((steps != np.eye(3)[:, :2]).any())
        return np.round(exact[:, 2])[:3].astype(int), steps.astype(int)

    def _write(self, new: np.ndarray, places: np.ndarray) -> None:
        array, (i, j, k) = self._array, places
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
