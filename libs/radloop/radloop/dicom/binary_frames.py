"""The frames of a BINARY Segmentation of many segments, put together from those of one.

highdicom looks at every segment on every slice, 41,600 planes for 104 segments on 400 slices, most of them empty. Here it
describes the slices once, with one segment, and only the frames that are there are painted and packed.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from radloop.imaging import segment_boxes, segment_voxels

_FRAME_CONTENT, _SEGMENT_IDENTIFICATION = Tag(0x00209111), Tag(0x0062000A)
_DIMENSION_INDEX_VALUES, _REFERENCED_SEGMENT_NUMBER = Tag(0x00209157), Tag(0x0062000B)
_PACKED_TOGETHER = 8
"""Frames whose bits fill whole bytes together, whatever their size."""


def marked(shape: tuple[int, int, int]) -> np.ndarray:
    """Return planes to describe slices with: uint8, shape ``(K, rows, columns)``; plane k has one voxel, the k-th.

    By it each frame is known again, in whatever order they come.
    """
    planes = np.zeros(shape, np.uint8)
    planes.reshape(shape[0], -1)[np.arange(shape[0]), np.arange(shape[0])] = 1
    return planes


def fill(seg: Dataset, mask: np.ndarray, values: Sequence[int]) -> None:
    """Replace the frames of a Segmentation of one segment on `marked` planes by those of a mask.

    Parameters
    ----------
    seg : pydicom.dataset.Dataset
        BINARY, native, not written yet. Its Segment Sequence is the caller's to replace.
    mask : numpy.ndarray
        Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``: columns, rows, slices.
    values : sequence of int
        Of the segments, two or more, in the order of their numbers, from 1.
    """
    order = _order(seg, mask.shape)
    there = [_slices_of(mask, value, box) for value, box in _boxes(mask, values)]
    ranks = {k: rank for rank, k in enumerate((k for k in order if any(k in slices for slices in there)), start=1)}
    frames = [(n, k) for n, slices in enumerate(there) for k in order if k in slices]
    groups = dict(zip(order, seg.PerFrameFunctionalGroupsSequence, strict=True))
    segments = [_identification(number) for number in range(1, len(values) + 1)]
    # What holds of frames of one segment: it is the same for all (a group is either shared or each frame's, PS3.3 C.7.6.16), and
    # they are a volume.
    del seg.SharedFunctionalGroupsSequence[0][_SEGMENT_IDENTIFICATION]
    seg.pop("DimensionOrganizationType", None)
    seg.PerFrameFunctionalGroupsSequence = Items(
        _group(groups[k], _content(n + 1, ranks[k]), segments[n]) for n, k in frames
    )
    seg.NumberOfFrames = len(frames)
    planes = ((mask[:, :, k].T, values[n]) for n, k in frames)
    seg.PixelData = _packed(planes, len(frames), (mask.shape[1], mask.shape[0]))


def _order(seg: Dataset, shape: tuple[int, ...]) -> list[int]:
    """Return k of each frame, by its mark."""
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    marks = np.flatnonzero(bits) - np.arange(shape[2]) * shape[0] * shape[1]
    return [int(k) for k in marks]


def _boxes(mask: np.ndarray, values: Sequence[int]) -> Iterator[tuple[int, tuple[slice, ...] | None]]:
    found = segment_boxes(mask)
    for value in values:
        yield value, found.get(value)


def _slices_of(mask: np.ndarray, value: int, box: tuple[slice, ...] | None) -> frozenset[int]:
    if box is None:
        return frozenset()
    filled = segment_voxels(mask[box], value).any(axis=(0, 1))
    return frozenset(int(k) + box[2].start for k in np.flatnonzero(filled))


def _group(of_slice: Dataset, content: DataElement, segment: DataElement) -> Dataset:
    """Return the groups of a frame; what is the slice's own is shared, not copied."""
    group = Dataset(dict(of_slice.items()))  # of another data set it would be a view
    group[_FRAME_CONTENT], group[_SEGMENT_IDENTIFICATION] = content, segment
    return group


def _content(number: int, rank: int) -> DataElement:
    item = Dataset()
    item.add(DataElement(_DIMENSION_INDEX_VALUES, "UL", [number, rank]))
    return DataElement(_FRAME_CONTENT, "SQ", Items([item]))


def _identification(number: int) -> DataElement:
    item = Dataset()
    item.add(DataElement(_REFERENCED_SEGMENT_NUMBER, "US", number))
    return DataElement(_SEGMENT_IDENTIFICATION, "SQ", Items([item]))


def _packed(planes: Iterator[tuple[np.ndarray, int]], count: int, shape: tuple[int, int]) -> bytes:
    """Return frames as bits, the first pixel in the lowest bit (PS3.5 section 8.1.1), of even length."""
    parts, buffer = [], np.zeros((_PACKED_TOGETHER, *shape), bool)
    for start in range(0, count, _PACKED_TOGETHER):
        size = min(_PACKED_TOGETHER, count - start)
        for place in range(size):
            plane, value = next(planes)
            buffer[place] = segment_voxels(plane, value)
        parts.append(np.packbits(buffer[:size], bitorder="little").tobytes())
    data = b"".join(parts)
    return data + b"\0" * (len(data) % 2)
