"""A label as the checks see it: cropped to what is in it, with the prediction in the same crop.

All checks work on the crop, so that a 512 x 512 x 300 volume costs what its content costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from radloop.imaging import SEGMENT_BITS, Volume, same_geometry, segment_boxes
from radloop.references import SegmentState

GEOMETRY_TOLERANCE_MM = 0.01
"""NIfTI stores affines in float32: 0.01 mm is far above its rounding and far below a voxel."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a project's label schema."""

    value: int
    always_present: bool


@dataclass(frozen=True, slots=True)
class CaseGeometry:
    """How a case is sampled: voxels along (i, j, k) and the affine to patient coordinates, row-major 4x4 (LPS, mm)."""

    shape: tuple[int, ...]
    affine_lps: tuple[float, ...]


@dataclass(frozen=True)
class Label:
    """A label's mask and, where there is one, the prediction's, both cropped to their common content.

    Attributes
    ----------
    array : numpy.ndarray
        Label map (uint8) or, in a project whose segments may overlap, segment bits (uint32); shape ``(i, j, k)`` of the crop;
        0 is background.
    prediction : numpy.ndarray or None
        Same shape; None where there is no prediction in the label's geometry. May be a label map where the label is segment
        bits (of a model that was not trained with overlap), so each is asked for a segment's voxels by itself.
    origin : tuple of int
        Index of the crop's first voxel in the whole volume.
    shape : tuple of int
        Voxels of the whole volume along (i, j, k).
    affine_lps : numpy.ndarray
        float64 ``(4, 4)``: voxel of the whole volume to patient coordinates (LPS, mm).
    boxes : Mapping[int, tuple of slice]
        Bounding box, inside the crop, of every value that occurs in ``array``.
    predicted_boxes : Mapping[int, tuple of slice]
        The same of ``prediction``; empty without one.
    states : Mapping[int, SegmentState]
        What the label says about each segment.
    """

    array: np.ndarray
    prediction: np.ndarray | None
    origin: tuple[int, int, int]
    shape: tuple[int, int, int]
    affine_lps: np.ndarray
    boxes: Mapping[int, tuple[slice, ...]]
    predicted_boxes: Mapping[int, tuple[slice, ...]]
    states: Mapping[int, SegmentState]

    @property
    def spacing_mm(self) -> np.ndarray:
        """Spacing along (i, j, k) in mm, float64 ``(3,)``."""
        return np.linalg.norm(self.affine_lps[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(abs(np.linalg.det(self.affine_lps[:3, :3]))) / 1000.0

    def patient_mm(self, index: np.ndarray) -> np.ndarray:
        """Turn voxel indices of the crop, shape ``(..., 3)``, into patient coordinates (LPS, mm)."""
        whole = np.asarray(index, dtype=np.float64) + np.asarray(self.origin)
        return whole @ self.affine_lps[:3, :3].T + self.affine_lps[:3, 3]


def crop_label(
    label: Volume, prediction: Volume | None = None, states: Mapping[int, SegmentState] | None = None
) -> Label:
    """Crop a label and a prediction to the box that holds the foreground of both.

    Parameters
    ----------
    label : Volume
        Label map (uint8) or segment bits (uint32).
    prediction : Volume, optional
        A model's mask, of either kind; left out when its geometry is another.
    states : Mapping[int, SegmentState], optional
        What the label says about each segment; annotated where nothing is said.

    Returns
    -------
    Label
        With arrays of shape ``(0, 0, 0)`` when neither holds anything.
    """
    if prediction is not None and not same_geometry(label, prediction, GEOMETRY_TOLERANCE_MM):
        prediction = None
    found = segment_boxes(label.array)
    others = segment_boxes(prediction.array) if prediction is not None else {}
    box = _union([*found.values(), *others.values()])
    origin = tuple(part.start for part in box)
    return Label(
        array=np.ascontiguousarray(label.array[box]),
        prediction=None if prediction is None else np.ascontiguousarray(prediction.array[box]),
        origin=origin,  # type: ignore[arg-type]
        shape=label.array.shape,  # type: ignore[arg-type]
        affine_lps=np.asarray(label.affine_lps, dtype=np.float64),
        boxes=_moved(found, origin),
        predicted_boxes=_moved(others, origin),
        states=dict(states or {}),
    )


def mask_type(*, overlapping: bool) -> np.dtype:
    """Return the voxel type of a project's masks: segment bits where its segments may overlap, else that of label maps."""
    return SEGMENT_BITS if overlapping else np.dtype(np.uint8)


def fits(label: Volume, case: CaseGeometry, *, overlapping: bool = False) -> bool:
    """Whether a label samples the case's own voxels: a mask of the project's kind, of equal shape and affine."""
    whole = Volume(np.broadcast_to(np.uint8(0), case.shape), np.asarray(case.affine_lps, dtype=float).reshape(4, 4))
    expected = mask_type(overlapping=overlapping)
    return label.array.dtype == expected and same_geometry(label, whole, GEOMETRY_TOLERANCE_MM)


def _moved(boxes: Mapping[int, tuple[slice, ...]], origin: tuple[int, ...]) -> dict[int, tuple[slice, ...]]:
    return {
        value: tuple(slice(s.start - o, s.stop - o) for s, o in zip(box, origin, strict=True))
        for value, box in boxes.items()
    }


def _union(boxes: list[tuple[slice, ...]]) -> tuple[slice, ...]:
    if not boxes:
        return (slice(0, 0),) * 3
    return tuple(
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) for axis in range(3)
    )
