"""When an array is a label of a case: geometry, values, and what each segment's state is. Nothing is repaired."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.domain.model import Case, Project
from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, Volume, bits_of, segment_values, voxel_counts
from radloop.references import SegmentState, SegmentStatus

TOLERANCE_MM = 1e-3
"""How far a corner voxel of a label may lie from the same voxel of its image."""


def affine_of(case: Case) -> np.ndarray:
    """Return the case's affine, float64, shape ``(4, 4)``: voxel index (i, j, k) to LPS in mm."""
    return np.asarray(case.affine_lps, dtype=np.float64).reshape(4, 4)


def check_geometry(volume: Volume, case: Case) -> None:
    """Check that a label samples the points its image samples.

    Raises
    ------
    Invalid
        ``label-geometry``: another shape, or a corner more than `TOLERANCE_MM` away.
    """
    do = "resample the label (nearest neighbour) onto the case's image: GET /v1/tasks/{task_id}/image"
    if tuple(volume.array.shape) != tuple(case.shape):
        raise Invalid(
            "label-geometry",
            expected=f"shape {_joined(case.shape)} (columns x rows x slices)",
            got=f"shape {_joined(volume.array.shape)}",
            do=do,
        )
    last = np.asarray(case.shape) - 1
    corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])], dtype=float)
    distance_mm = float(np.linalg.norm((corners @ (volume.affine_lps - affine_of(case)).T)[:, :3], axis=1).max())
    if not distance_mm <= TOLERANCE_MM:  # also when it is not a number
        raise Invalid(
            "label-geometry",
            expected=f"every corner within {TOLERANCE_MM} mm of the image's",
            got=f"a corner {distance_mm:.3g} mm away",
            do=do,
        )


def mask_dtype(project: Project) -> np.dtype:
    """Return the type of the project's masks: segment bits (uint32) where its segments may overlap, else uint8 label maps."""
    return SEGMENT_BITS if project.overlapping_segments else np.dtype(np.uint8)


def as_mask(array: np.ndarray, project: Project) -> np.ndarray:
    """Return a label map as the project's masks are, and a mask as it is.

    Parameters
    ----------
    array : numpy.ndarray
        Segment bits where the project's segments may overlap, or whole numbers 0..255; any shape.

    Returns
    -------
    numpy.ndarray
        `mask_dtype` of the project, the same shape.

    Raises
    ------
    Invalid
        ``segment-value-no-bit``: a label map with a value that has no bit.
    """
    if array.dtype == mask_dtype(project):
        return array
    label_map = array.astype(np.uint8, copy=False)
    return bits_of(label_map) if project.overlapping_segments else label_map


def label_values(array: np.ndarray, project: Project) -> np.ndarray:
    """Return the array as a mask of the project.

    Parameters
    ----------
    array : numpy.ndarray
        A label map: integers, or floats with integral values. Or, where the project's segments may overlap, segment bits.
        Shape ``(I, J, K)``.

    Returns
    -------
    numpy.ndarray
        `mask_dtype` of the project, same shape: its segments only. An empty label is one too: what that means is QA's to say.

    Raises
    ------
    Invalid
        ``label-values`` (not whole numbers in 0..255), ``label-value-unknown`` (a value no segment of the project has).
    """
    if array.dtype != mask_dtype(project):
        _check_label_map(array)
        array = array.astype(np.uint8, copy=False)
    unknown = sorted(set(segment_values(array)) - set(project.values))
    if unknown:
        known = ", ".join(f"{s.value} {s.name}" for s in sorted(project.segments, key=lambda s: s.value))
        raise Invalid(
            "label-value-unknown",
            expected=f"0 and the project's segments: {known}",
            got=f"value{'s' * (len(unknown) > 1)} {', '.join(map(str, unknown))}",
            do="relabel with the project's values: GET /v1/projects/{project_id}/segments lists them",
        )
    return as_mask(array, project)


def _check_label_map(array: np.ndarray) -> None:
    if array.dtype == np.bool_ or array.dtype.kind not in "iuf":
        raise Invalid("label-values", expected="whole numbers 0..255", got=f"values of type {array.dtype}")
    if array.dtype == np.uint8:
        return
    found = np.unique(array)
    if not (np.isfinite(found).all() and (found == np.round(found)).all() and found.min() >= 0 and found.max() <= 255):
        raise Invalid(
            "label-values",
            expected="whole numbers 0..255",
            got="values that are fractions, negative, above 255 or not finite",
            do="send the label map itself, not probabilities",
        )


@dataclass(frozen=True, slots=True)
class Change:
    """How many voxels a segment gained and lost from one label to the next."""

    added: int
    removed: int


def voxel_changes(before: np.ndarray, after: np.ndarray) -> dict[int, Change]:
    """Compare two masks of one kind and shape; segments of which nothing changed are left out."""
    differ = before != after
    lost, gained = before[differ], after[differ]
    if before.dtype == SEGMENT_BITS:
        # Other segments of the same voxel may have stayed.
        lost, gained = lost & ~gained, gained & ~lost
    removed, added = voxel_counts(lost), voxel_counts(gained)
    return {value: Change(added.get(value, 0), removed.get(value, 0)) for value in sorted({*removed, *added})}


def segment_states(
    mask: np.ndarray, project: Project, stated: Sequence[SegmentStatus] = ()
) -> tuple[SegmentStatus, ...]:
    """Return the state of every segment of the project, by value.

    What the reader did not state follows from the voxels: annotated where there are any, else absent. A segment stated as
    annotated may be empty, and one that is always present may be absent: QA sees it by its state and asks.

    Raises
    ------
    Invalid
        ``segment-unknown``, ``segment-repeated``, or ``segment-contradiction`` (voxels of a segment said not to be there).
    """
    present = set(segment_values(mask))
    states = {value: SegmentState.ANNOTATED if value in present else SegmentState.ABSENT for value in project.values}
    seen: set[int] = set()
    for status in stated:
        if status.value not in states:
            raise Invalid(
                "segment-unknown",
                expected=f"one of the values {', '.join(map(str, project.values))}",
                got=str(status.value),
                do="name only segments of the project",
            )
        if status.value in seen:
            raise Invalid("segment-repeated", expected="each segment once", got=f"{status.value} twice")
        if status.state is not SegmentState.ANNOTATED and status.value in present:
            raise Invalid(
                "segment-contradiction",
                expected=f"no voxels of segment {status.value}, which is said to be {status.state}",
                got="some voxels",
                do="state it as annotated, or erase its voxels",
            )
        seen.add(status.value)
        states[status.value] = status.state
    return tuple(SegmentStatus(value, states[value]) for value in project.values)


def _joined(shape: Sequence[int]) -> str:
    return "x".join(str(int(n)) for n in shape)
