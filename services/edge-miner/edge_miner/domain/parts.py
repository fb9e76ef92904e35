"""Into how many parts each segment of a predicted mask falls."""

import numpy as np

from radloop.imaging import components, segment_boxes, segment_voxels


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
    return {value: len(components(segment_voxels(mask[box], value))[1]) for value, box in segment_boxes(mask).items()}
