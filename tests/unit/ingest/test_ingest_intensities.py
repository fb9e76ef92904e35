"""From stored bits to what a voxel means."""

import numpy as np
import pytest

from ingest.domain.intensities import SUV_FACTOR, line_of, quantity_of, rescaled, stored_values, suv_factor


@pytest.mark.parametrize(
    ("words", "bits_stored", "signed", "expected"),
    [
        ([0x0FFF, 0x0001], 12, False, [4095, 1]),
        ([0xFFFF, 0xF001], 12, False, [4095, 1]),  # an overlay in the unused bits
        ([0x0FFF, 0x0800, 0x07FF], 12, True, [-1, -2048, 2047]),
        ([0xFFFF, 0x8000], 16, True, [-1, -32768]),
        ([0xFFFF, 0x8000], 16, False, [65535, 32768]),
    ],
)
def test_stored_bits(header, words, bits_stored, signed, expected):
    one = header(bits_stored=bits_stored, high_bit=bits_stored - 1, signed=signed)
    assert stored_values(np.array(words, dtype="<u2"), one).tolist() == expected


def test_eight_bits(header):
    one = header(bits_allocated=8, bits_stored=8, high_bit=7)
    assert stored_values(np.array([255, 0], dtype=np.uint8), one).tolist() == [255, 0]


@pytest.mark.parametrize(
    ("values", "slopes", "intercepts", "expected", "dtype"),
    [
        ([0, 1000], [1, 1], [0, 0], [0, 1000], np.int16),
        ([0, 1000], [1, 1], [-1024, -1024], [-1024, -24], np.int16),
        ([0, 65535], [1, 1], [0, 0], [0, 65535], np.uint16),
        ([0, 65535], [1, 1], [-1024, -1024], [-1024, 64511], np.int32),
        ([0, 10], [0.5, 0.5], [1, 1], [1.0, 6.0], np.float32),
        ([10, 10], [1, 2], [0, 0], [10.0, 20.0], np.float32),  # PET: a slope for each slice
        ([10, 10], [1, 1], [0.5, 0.5], [10.5, 10.5], np.float32),
    ],
)
def test_rescaled(header, values, slopes, intercepts, expected, dtype):
    headers = [header(rescale_slope=s, rescale_intercept=i) for s, i in zip(slopes, intercepts, strict=True)]
    stored = np.array(values, dtype=np.uint16).reshape(2, 1, 1)
    result = rescaled(stored, headers)
    assert result.dtype == dtype
    assert result.ravel().tolist() == expected


def test_quantity(header):
    assert quantity_of([header(modality="CT")]) == "HU"
    assert quantity_of([header(modality="MR")]) == "arbitrary"
    with_factor, without = header(modality="PT", numbers={SUV_FACTOR: 2e-4}), header(modality="PT")
    assert quantity_of([with_factor, with_factor]) == "SUVbw"
    assert quantity_of([with_factor, without]) == "arbitrary"


# 75 kg, 300 MBq of F-18 given 3,600 s before the series.
PET = {
    "patient-weight-kg": 75.0,
    "injected-dose-bq": 3e8,
    "half-life-s": 6586.2,
    "injection-delay-s": 3600.0,
    "acquisition-offset-s": 12.0,
}
DECAYED_BQ = 3e8 * 0.5 ** (3600 / 6586.2)
CORRECTIONS = ("NORM", "ATTN", "SCAT", "DECY")


@pytest.mark.parametrize(
    ("units", "changes", "corrections", "decay", "expected"),
    [
        ("BQML", {}, CORRECTIONS, "START", 75_000 / DECAYED_BQ),
        ("BQML", {}, CORRECTIONS, "ADMIN", 75_000 / 3e8),
        ("GML", {"patient-weight-kg": 0.0}, (), "", 1.0),  # is SUVbw already
        ("CNTS", {}, CORRECTIONS, "START", None),
        ("BQML", {}, ("DECY",), "START", None),  # not corrected for attenuation
        ("BQML", {}, ("ATTN",), "START", None),
        ("BQML", {}, CORRECTIONS, "NONE", None),
        ("BQML", {"patient-weight-kg": 0.0}, CORRECTIONS, "START", None),  # as where nobody typed it in
        ("BQML", {"injected-dose-bq": 0.0}, CORRECTIONS, "START", None),
        ("BQML", {"half-life-s": 0.0}, CORRECTIONS, "START", None),
        ("BQML", {"acquisition-offset-s": -600.0}, CORRECTIONS, "START", None),  # the series was written anew
    ],
)
def test_how_activity_becomes_suv(units, changes, corrections, decay, expected):
    factor = suv_factor(units, PET | changes, corrections, decay)
    assert factor == (None if expected is None else pytest.approx(expected))


def test_pet_is_scaled_slice_by_slice_to_suv(header):
    headers = [header(modality="PT", rescale_slope=s, numbers={SUV_FACTOR: 0.5}) for s in (2.0, 4.0)]
    assert rescaled(np.full((2, 1, 1), 10, np.uint16), headers).ravel().tolist() == [10.0, 20.0]
    assert [line_of(one, "SUVbw") for one in headers] == [(1.0, 0.0), (2.0, 0.0)]
    assert line_of(headers[0], "arbitrary") == (2.0, 0.0)
