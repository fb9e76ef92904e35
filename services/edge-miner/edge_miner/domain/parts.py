"""Into how many parts each segment of a predicted mask falls."""

import numpy as np
from scipy import ndimage

from radloop.imaging import SEGMENT_BITS, components, segment_values, segment_voxels


def count_parts(mask: np.ndarray) -> dict[int, int]:
    """Count the 26-connected parts of each segment.

    Parameters
    ----------
    mask : numpy.ndarray
        Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``: columns, rows, slices; 0 is background.

    Returns
    -------
    dict of int to int
        Number of parts by segment value, for the values that occur; empty for an empty mask.
    """
    # Only the box around a segment is searched; a large volume is mostly background.
    return {value: len(components(segment_voxels(mask[box], value))[1]) for value, box in _boxes(mask).items()}


def _boxes(mask: np.ndarray) -> dict[int, tuple[slice, ...]]:
    if mask.dtype == SEGMENT_BITS:
        # Boxes are found by value, and a voxel of several segments has no one value: each segment is looked for by itself.
        return {
            value: ndimage.find_objects(segment_voxels(mask, value).astype(np.uint8))[0]
            for value in segment_values(mask)
        }
    return {value: box for value, box in enumerate(ndimage.find_objects(mask), start=1) if box is not None}
