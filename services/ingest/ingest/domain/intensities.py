"""From stored pixel values to what a voxel means."""

from collections.abc import Iterable, Sequence

import numpy as np

from ingest.domain.model import SliceHeader

HU, ARBITRARY = "HU", "arbitrary"


def stored_values(frame: np.ndarray, header: SliceHeader) -> np.ndarray:
    """Cut a decoded frame to its stored bits, with the right sign (PS3.5 section 8.1.1).

    Parameters
    ----------
    frame : numpy.ndarray
        Integers of ``bits_allocated`` bits, any shape; bits above ``bits_stored`` may hold anything.

    Returns
    -------
    numpy.ndarray
        Signed or unsigned, as the header says, same size and shape.
    """
    kind = np.dtype(f"{'i' if header.signed else 'u'}{header.bits_allocated // 8}")
    values = frame.view(kind) if frame.dtype.itemsize == kind.itemsize else frame.astype(kind)
    unused = header.bits_allocated - header.bits_stored
    return values if unused == 0 else (values << unused) >> unused


def quantity_of(headers: Sequence[SliceHeader]) -> str:
    """Return what a voxel value means: HU for CT, else arbitrary units."""
    return HU if headers[0].modality == "CT" else ARBITRARY


def rescaled(values: np.ndarray, headers: Sequence[SliceHeader]) -> np.ndarray:
    """Apply Rescale Slope and Intercept, slice by slice (PS3.3 C.7.6.16.2.9, C.8.2.1).

    Parameters
    ----------
    values : numpy.ndarray
        Integers, shape ``(K, J, I)``: slices, rows, columns.
    headers : sequence of SliceHeader
        One for each slice.

    Returns
    -------
    numpy.ndarray
        The smallest of int16, uint16 and int32 that holds all values where slope is 1 and intercepts are whole numbers,
        else float32; shape ``(K, J, I)``.
    """
    slopes = np.array([header.rescale_slope for header in headers])
    intercepts = np.array([header.rescale_intercept for header in headers])
    if (slopes == 1).all() and (intercepts == np.round(intercepts)).all():
        shift = intercepts.astype(np.int64)
        low, high = int(values.min()) + int(shift.min()), int(values.max()) + int(shift.max())
        kind = next(
            (k for k in (np.int16, np.uint16, np.int32) if np.iinfo(k).min <= low and high <= np.iinfo(k).max), None
        )
        if kind is not None:
            if not shift.any():
                return values.astype(kind, copy=False)
            return _by_slice(
                kind, (one.astype(np.int32) + by for one, by in zip(values, shift, strict=True)), values.shape
            )
    scaled = (one.astype(np.float64) * a + b for one, a, b in zip(values, slopes, intercepts, strict=True))
    return _by_slice(np.float32, scaled, values.shape)


def _by_slice(kind: type[np.generic], slices: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Write slices as they come: a whole body in a wider type takes several times its 0.6 GB."""
    written = np.empty(shape, kind)
    for place, one in zip(written, slices, strict=True):
        place[...] = one
    return written
