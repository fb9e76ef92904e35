"""Volumes and their geometry as values, and the measures everybody shares.

In memory, in contracts and in the UI an affine maps voxel indices to patient coordinates (LPS, mm; DICOM PS3.3 C.7.6.2).
NIfTI and MONAI use RAS: `lps_from_ras` is the one place where the two meet.

A mask says of each voxel which segments it belongs to. As a *label map* (uint8) it is the value of its one segment, 0 for none;
as *segment bits* (uint32), where a project's segments may overlap, bit ``value - 1`` is set for each. Everything here takes both.
"""

import gzip
import io
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

from radloop.errors import Invalid

SEGMENT_BITS = np.dtype(np.uint32)
"""Type of a mask whose segments may overlap."""

LARGEST_BIT_VALUE = 32
"""Largest value of a segment that may overlap others."""

_BITS_NAME = "segment bits"
"""Intent name in the NIfTI header, at most 15 characters."""

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Volume:
    """A sampled volume.

    Attributes
    ----------
    array : numpy.ndarray
        Any dtype, shape ``(I, J, K)``: columns, rows, slices, as NIfTI orders them.
    affine_lps : numpy.ndarray
        float64, shape ``(4, 4)``: voxel index (i, j, k), zero-based, voxel centre, to patient coordinates (LPS, mm).
    """

    array: np.ndarray
    affine_lps: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing along (i, j, k) in mm."""
        lengths = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])


def lps_from_ras(affine: np.ndarray) -> np.ndarray:
    """Turn an affine of shape ``(4, 4)`` from RAS to LPS or back: the first two patient axes change sign."""
    return _FLIP @ np.asarray(affine, dtype=np.float64)


ras_from_lps = lps_from_ras
"""The same change of signs, named for the direction it is used in."""


def read_nifti(data: bytes) -> Volume:
    """Read a NIfTI-1 file (``.nii`` or ``.nii.gz``) from memory.

    Returns
    -------
    Volume
        Values as stored when the header scales nothing, else float64 with the scaling applied.

    Raises
    ------
    Invalid
        Not NIfTI, damaged, or not 3-D.
    """
    try:
        plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        image = nib.Nifti1Image.from_bytes(plain)
        array = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel and gzip raise many kinds for damaged bytes
        raise Invalid("nifti-unreadable", expected="a NIfTI-1 file", got=f"{len(data)} other bytes") from error
    if array.ndim != 3:
        raise Invalid("nifti-not-3d", expected="3 axes (i, j, k)", got=f"{array.ndim} axes")
    return Volume(array=array, affine_lps=lps_from_ras(image.affine))


def write_nifti(volume: Volume) -> bytes:
    """Write a volume as an uncompressed NIfTI-1 file; the same volume gives the same bytes."""
    image = nib.Nifti1Image(volume.array, ras_from_lps(volume.affine_lps))
    image.header.set_xyzt_units("mm")
    if volume.array.dtype == SEGMENT_BITS:
        # Says so itself: read as a label map it would be quite another mask. No intent of NIfTI-1 means bits, hence "none".
        image.header.set_intent("none", name=_BITS_NAME, allow_unknown=True)
    image.update_header()
    header, head = image.header.copy(), io.BytesIO()
    header.set_slope_inter(1, 0)
    header.write_to(head)
    values = volume.array.T.astype(volume.array.dtype.newbyteorder("="), copy=False)
    # As `image.to_bytes` does, which copies a volume several times on its way into a buffer that grows.
    return b"".join((head.getvalue(), np.ascontiguousarray(values)))


def says_segment_bits(data: bytes) -> bool:
    """Whether a NIfTI-1 file (``.nii`` or ``.nii.gz``) that `read_nifti` reads calls itself segment bits."""
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    header = nib.Nifti1Image.from_bytes(plain).header
    return header.get_data_dtype() == SEGMENT_BITS and header.get_intent()[2] == _BITS_NAME


def same_geometry(a: Volume, b: Volume, tolerance_mm: float = 1e-3) -> bool:
    """Whether two volumes sample the same points: equal shapes, and corners no further apart than ``tolerance_mm``."""
    if a.array.shape != b.array.shape:
        return False
    last = np.asarray(a.array.shape[:3]) - 1
    corners = np.array([[x, y, z, 1] for x in (0, last[0]) for y in (0, last[1]) for z in (0, last[2])], dtype=float)
    return bool(np.abs(corners @ (a.affine_lps - b.affine_lps).T).max() <= tolerance_mm)


def segment_voxels(mask: np.ndarray, value: int) -> np.ndarray:
    """Return bool, the mask's shape: the voxels of one segment."""
    if mask.dtype != SEGMENT_BITS:
        return mask == value
    return (mask & segment_bit(value)) != 0


def segment_bit(value: int) -> np.uint32:
    """Return the segment bits of a voxel that belongs to one segment only.

    Raises
    ------
    Invalid
        ``segment-value-no-bit``: the value is not in 1..`LARGEST_BIT_VALUE`.
    """
    if not 1 <= value <= LARGEST_BIT_VALUE:
        raise Invalid("segment-value-no-bit", expected=f"a value in 1..{LARGEST_BIT_VALUE}", got=str(value))
    return np.uint32(1 << (value - 1))


def segment_values(mask: np.ndarray) -> list[int]:
    """Return the values of the segments a mask has voxels of, ascending."""
    if mask.dtype == SEGMENT_BITS:
        found = int(np.bitwise_or.reduce(mask, axis=None))
        return [value for value in range(1, LARGEST_BIT_VALUE + 1) if found >> (value - 1) & 1]
    if mask.dtype != np.uint8:
        return [int(value) for value in np.unique(mask) if value]
    # A label map is looked through without being sorted, eight voxels at a time where all eight are background.
    voxels = mask.ravel(order="K")
    whole = voxels.size // 8 * 8
    eights = voxels[:whole].view(np.uint64)
    seen = np.zeros(256, bool)
    seen[eights[eights != 0].view(np.uint8)] = True
    seen[voxels[whole:]] = True
    return [int(value) for value in np.flatnonzero(seen) if value]


def voxel_counts(mask: np.ndarray) -> dict[int, int]:
    """Return how many voxels each segment of a mask (any shape) has, by value, ascending; those without any are left out."""
    inside = mask[mask != 0]
    if mask.dtype == SEGMENT_BITS:
        return {value: int(segment_voxels(inside, value).sum()) for value in segment_values(inside)}
    counts = np.bincount(inside, minlength=256)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def segment_boxes(mask: np.ndarray) -> dict[int, tuple[slice, ...]]:
    """Return the bounding box of each segment a mask of shape ``(I, J, K)`` has voxels of, by value."""
    if mask.dtype == SEGMENT_BITS:
        # What every plane across an axis holds: two passes, however many segments there are.
        plane = np.bitwise_or.reduce(mask, axis=2)
        lines = [np.bitwise_or.reduce(plane, axis=1), np.bitwise_or.reduce(plane, axis=0)]
        lines.append(np.bitwise_or.reduce(mask, axis=(0, 1)))
        return {value: tuple(_extent(segment_voxels(line, value)) for line in lines) for value in segment_values(plane)}
    # NIfTI arrays are in Fortran order; find_objects walks in C order, hence the transposed view.
    found = ndimage.find_objects(mask.T)
    return {value: box[::-1] for value, box in enumerate(found, start=1) if box is not None}


def _extent(line: np.ndarray) -> slice:
    places = np.flatnonzero(line)
    return slice(int(places[0]), int(places[-1]) + 1)


def bits_of(label_map: np.ndarray) -> np.ndarray:
    """Turn a label map (uint8) into segment bits (uint32) of the same shape.

    Raises
    ------
    Invalid
        ``segment-value-no-bit``: a value is above `LARGEST_BIT_VALUE`.
    """
    table = np.zeros(256, SEGMENT_BITS)
    for value in segment_values(label_map):
        table[value] = segment_bit(value)
    return table[label_map]


def dice(a: np.ndarray, b: np.ndarray, value: int) -> float:
    """Return the Dice coefficient of one segment in two masks of equal shape; 1 when both lack it."""
    first, second = segment_voxels(a, value), segment_voxels(b, value)
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total


def surface_distance_95(a: np.ndarray, b: np.ndarray, value: int, spacing_mm: tuple[float, float, float]) -> float:
    """Return the 95th percentile of the distances between the surfaces of one segment in two masks, in mm.

    Distances of both directions are pooled. Both empty gives 0, one empty gives infinity.
    """
    first, second = segment_voxels(a, value), segment_voxels(b, value)
    if not first.any() or not second.any():
        return 0.0 if first.any() == second.any() else float("inf")
    box = ndimage.find_objects((first | second).astype(np.uint8))[0]
    box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
    first, second = first[box], second[box]
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (first, second)]
    to_second = ndimage.distance_transform_edt(~edges[1], sampling=spacing_mm)[edges[0]]
    to_first = ndimage.distance_transform_edt(~edges[0], sampling=spacing_mm)[edges[1]]
    return float(np.percentile(np.concatenate([to_second, to_first]), 95))


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the 26-connected components of a boolean mask, largest first.

    Returns
    -------
    labels : numpy.ndarray
        int32, shape of the mask: 0 outside, 1 for the largest component, and so on.
    sizes : numpy.ndarray
        int64, shape ``(n,)``: voxels of component 1..n, descending.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[order + 1] = np.arange(1, count + 1)
    return rank[labels], sizes[order]
