"""Into how many parts each segment of a predicted mask falls."""

import numpy as np
from scipy import ndimage

from radloop.imaging import components


def count_parts(label_map: np.ndarray) -> dict[int, int]:
    """Count the 26-connected parts of each segment.

    Parameters
    ----------
    label_map : numpy.ndarray
        uint8, shape ``(I, J, K)``: columns, rows, slices; 0 is background.

    Returns
    -------
    dict of int to int
        Number of parts by segment value, for the values that occur; empty for an empty mask.
    """
    # Only the box around a segment is searched; a large volume is mostly background.
    boxes = ndimage.find_objects(label_map)
    return {
        value: len(components(label_map[box] == value)[1])
        for value, box in enumerate(boxes, start=1)
        if box is not None
    }
