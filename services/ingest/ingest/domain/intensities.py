"""From stored pixel values to what a voxel means."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from ingest.domain.model import SliceHeader

HU, SUVBW, ARBITRARY = "HU", "SUVbw", "arbitrary"
SUV_FACTOR = "suvbw-factor-g-ml"
"""Name, among a header's numbers, of what a rescaled value of PET is multiplied by to be SUVbw."""


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
    """Return what a voxel value means: HU for CT, SUVbw (g/ml) for PET where all slices say how, else arbitrary units."""
    if headers[0].modality == "CT":
        return HU
    return SUVBW if all(SUV_FACTOR in header.numbers for header in headers) else ARBITRARY


def line_of(header: SliceHeader, quantity: str) -> tuple[float, float]:
    """Return slope and intercept from a slice's stored values to a quantity of `quantity_of`."""
    factor = header.numbers[SUV_FACTOR] if quantity == SUVBW else 1.0
    return header.rescale_slope * factor, header.rescale_intercept * factor


def suv_factor(units: str, numbers: Mapping[str, float], corrections: Collection[str], decay: str) -> float | None:
    """Return what a rescaled value of PET is multiplied by to be SUVbw; None where the image does not say.

    Parameters
    ----------
    units : str
        Units (0054,1001): BQML, or GML, which is SUVbw already.
    numbers : mapping
        As `SliceHeader.numbers`: weight in kg, dose in Bq, half-life, delay from injection and offset of the acquisition in s.
    corrections : collection of str
        Corrected Image (0028,0051); attenuation and decay must be among them.
    decay : str
        Decay Correction (0054,1102): START or ADMIN, the time that activities are corrected to.

    References
    ----------
    QIBA, "Robust vendor-neutral pseudo-code" for SUVbw: https://qibawiki.rsna.org/index.php/Standardized_Uptake_Value_(SUV)
    """
    if units == "GML":
        return 1.0
    weight_kg, dose_bq = numbers.get("patient-weight-kg", 0.0), numbers.get("injected-dose-bq", 0.0)
    if units != "BQML" or not {"ATTN", "DECY"} <= set(corrections) or weight_kg <= 0 or dose_bq <= 0:
        return None
    if decay == "START":
        delay_s, half_life_s = numbers.get("injection-delay-s"), numbers.get("half-life-s", 0.0)
        # A series that begins after its slices was written anew, and its time is not that of the scan.
        if delay_s is None or half_life_s <= 0 or numbers.get("acquisition-offset-s", 0.0) < 0:
            return None
        dose_bq *= 2 ** (-delay_s / half_life_s)
    elif decay != "ADMIN":
        return None
    return weight_kg * 1000 / dose_bq


def rescaled(values: Sequence[np.ndarray] | np.ndarray, headers: Sequence[SliceHeader]) -> np.ndarray:
    """Apply Rescale Slope and Intercept, slice by slice (PS3.3 C.7.6.16.2.9, C.8.2.1); PET becomes SUVbw where it can.

    Parameters
    ----------
    values : sequence of numpy.ndarray
        Integers, K slices of shape ``(J, I)``: rows, columns.
    headers : sequence of SliceHeader
        One for each slice.

    Returns
    -------
    numpy.ndarray
        The smallest of int16, uint16 and int32 that holds all values where slope is 1 and intercepts are whole numbers,
        else float32; shape ``(K, J, I)``.
    """
    quantity, shape = quantity_of(headers), (len(values), *values[0].shape)
    slopes, intercepts = np.array([line_of(header, quantity) for header in headers]).T
    if (slopes == 1).all() and (intercepts == np.round(intercepts)).all():
        shift = intercepts.astype(np.int64)
        low = min(int(one.min()) for one in values) + int(shift.min())
        high = max(int(one.max()) for one in values) + int(shift.max())
        kind = next(
            (k for k in (np.int16, np.uint16, np.int32) if np.iinfo(k).min <= low and high <= np.iinfo(k).max), None
        )
        if kind is not None:
            if not shift.any():
                return _by_slice(kind, values, shape)
            return _by_slice(kind, (one.astype(np.int32) + by for one, by in zip(values, shift, strict=True)), shape)
    scaled = (one.astype(np.float64) * a + b for one, a, b in zip(values, slopes, intercepts, strict=True))
    return _by_slice(np.float32, scaled, shape)


def _by_slice(kind: type[np.generic], slices: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Write slices as they come: a whole body in a wider type takes several times its 0.6 GB."""
    written = np.empty(shape, kind)
    for place, one in zip(written, slices, strict=True):
        place[...] = one
    return written
