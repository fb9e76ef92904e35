"""The window a viewer begins with."""

import numpy as np
import pytest

from labeling.domain.windows import Window, automatic_window


def test_from_the_1st_to_the_99th_percentile():
    array = np.linspace(0, 1000, 64**3, dtype=np.float32).reshape(64, 64, 64)
    array[0, 0, 0] = 1e9  # a hot pixel
    window = automatic_window(array)
    assert (window.center, window.width) == pytest.approx((500, 980), rel=0.02)


def test_few_samples_say_the_same_of_a_large_volume():
    rng = np.random.default_rng(3)
    small = rng.normal(300, 50, (40, 40, 40)).astype(np.float32)
    window = automatic_window(np.tile(small, (4, 4, 2)))
    low, high = np.percentile(small, (1, 99))
    assert window.center == pytest.approx((low + high) / 2, abs=5)
    assert window.width == pytest.approx(high - low, rel=0.05)


@pytest.mark.parametrize(
    "array, window",
    [
        (np.full((3, 3, 3), 7, np.int16), Window(7.0, 1.0)),
        (np.full((3, 3, 3), np.nan, np.float32), Window(0.0, 1.0)),
        (np.array([[[0, 10]]], np.int16), Window(5.0, 9.8)),
    ],
)
def test_there_is_always_a_window(array, window):
    found = automatic_window(array)
    assert (found.center, found.width) == pytest.approx((window.center, window.width))


def test_hardly_anything_but_background():
    array = np.zeros((50, 50, 50), np.int16)
    array[25, 25, 20:25] = 100
    assert automatic_window(array) == Window(50.0, 100.0)
