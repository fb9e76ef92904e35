"""The CT that the browser's tests send is what the door takes for one: evenly spaced, in HU, the same every time."""

import io
import zlib

import numpy as np
import pydicom
import pytest

from ingest.adapters.encoding import encode, stored_syntax
from ingest.adapters.extraction import header_of
from ingest.adapters.parsing import parse
from ingest.domain.geometry import stacks
from tests.e2e.reading_room.phantom_ct import ORGANS, SHAPE, SPACING_MM, series, slice_of, volume

SMALL = (64, 64, 12)


def part10(ds: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def test_it_becomes_one_volume_in_hounsfield_units() -> None:
    hu, _ = volume(SMALL)
    headers = []
    for k, ds in enumerate(series(SMALL)):
        parsed = parse(part10(ds))
        _, header = encode(parsed, header_of(parsed, stored_syntax(parsed.transfer_syntax_uid)), f"2.25.{k}")
        headers.append(header)
        values = np.frombuffer(ds.PixelData, dtype="<i2").reshape(ds.Rows, ds.Columns)
        assert np.array_equal(values * header.rescale_slope + header.rescale_intercept, hu[:, :, k].T)
        assert header.modality == "CT" and header.signed
    (stack,) = stacks(headers)
    assert np.allclose(np.linalg.norm(stack.affine_lps[:3, :3], axis=0), SPACING_MM)
    assert stack.order == tuple(range(SMALL[2]))


def test_every_organ_is_there_at_its_value() -> None:
    hu, mask = volume(SMALL)
    assert set(np.unique(mask)) == {0, 1, 2, 3, 4, 5}
    for organ in ORGANS:
        if organ.value:
            assert abs(hu[mask == organ.value].mean() - organ.hu) < 5


def test_the_same_every_time_and_another_for_another_name() -> None:
    first, again, other = (list(series(SMALL, name=name)) for name in ("a", "a", "b"))
    assert [part10(ds) for ds in first] == [part10(ds) for ds in again]
    assert not {ds.SOPInstanceUID for ds in first} & {ds.SOPInstanceUID for ds in other}
    assert {ds.StudyInstanceUID for ds in first}.isdisjoint({ds.StudyInstanceUID for ds in other})


@pytest.mark.parametrize("k", [0, SHAPE[2] // 2])
def test_a_whole_slice_compresses_as_a_real_one_does(k: int) -> None:
    hu, _ = slice_of(k)
    assert hu.shape == (512, 512) and hu.dtype == np.int16
    share = len(zlib.compress(hu.tobytes(), 6)) / hu.nbytes
    assert 0.1 < share < 0.6
