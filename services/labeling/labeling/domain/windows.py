"""Which grey values a viewer should show first, and the usual windows of CT. Centre and width are in the volume's quantity."""

from dataclasses import dataclass

import numpy as np

_LOW_PERCENT, _HIGH_PERCENT = 1.0, 99.0
_SAMPLES = 200_000


@dataclass(frozen=True, slots=True)
class Window:
    """Grey values from ``center - width / 2`` (black) to ``center + width / 2`` (white)."""

    center: float
    width: float


CT_DEFAULT = Window(40.0, 400.0)

CT_PRESETS: tuple[tuple[str, Window], ...] = (
    ("soft tissue", CT_DEFAULT),
    ("lung", Window(-600.0, 1500.0)),
    ("bone", Window(400.0, 1800.0)),
    ("brain", Window(40.0, 80.0)),
    ("liver", Window(60.0, 160.0)),
    ("mediastinum", Window(50.0, 350.0)),
    ("angiography", Window(300.0, 600.0)),
)
"""By name, in HU."""


def automatic_window(array: np.ndarray) -> Window:
    """Return a window from the 1st to the 99th percentile of a volume.

    Parameters
    ----------
    array : numpy.ndarray
        Any numbers, shape ``(I, J, K)``. At most some 200,000 voxels on a regular grid are looked at.

    Returns
    -------
    Window
        Never narrower than what one grey value needs: a constant volume gives a width of 1.
    """
    step = max(1, int(np.ceil((array.size / _SAMPLES) ** (1 / 3))))
    # The middle of each axis is always among the samples, also of one that is shorter than the step.
    sampled = np.asarray(array[tuple(slice((length // 2) % step, None, step) for length in array.shape)])
    values = sampled[np.isfinite(sampled)]
    if values.size == 0:
        return Window(0.0, 1.0)
    low, high = (float(value) for value in np.percentile(values, (_LOW_PERCENT, _HIGH_PERCENT)))
    if high <= low:  # hardly anything but background: show the whole range
        low, high = float(values.min()), float(values.max())
    return Window((low + high) / 2, high - low if high > low else 1.0)
