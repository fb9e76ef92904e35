"""Frames without a service: what is cut and decoded, what a client accepts, and who is noted in the audit trail."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydicom.uid import RLELossless

from ingest.adapters.accepting import NotAcceptable, as_multipart, require_json
from ingest.adapters.encoding import encode, stored_syntax
from ingest.adapters.extraction import header_of
from ingest.adapters.frame_index import FrameIndex
from ingest.adapters.frames import attributes_of, frame_of
from ingest.adapters.http_frames import make_frames_router
from ingest.adapters.parsing import parse
from ingest.adapters.viewing import STRETCH_S, Views
from ingest.domain.model import Instance
from radloop.auth import Principal, Role
from radloop.errors import NotFound, PermanentError
from radloop.http import authenticated

NATIVE = "1.2.840.10008.1.2.1"


def stored(phantoms, *, compress: str = "", **changes):
    """Store a slice as the door would; return its bytes and header."""
    ds = phantoms.slice(**changes)
    if compress:
        plain = pydicom.dcmread(BytesIO(phantoms.file(ds)))
        plain.compress(compress)
        buffer = BytesIO()
        pydicom.dcmwrite(buffer, plain, enforce_file_format=True)
        file = buffer.getvalue()
    else:
        file = phantoms.file(ds)
    parsed = parse(file)
    return encode(parsed, header_of(parsed, stored_syntax(parsed.transfer_syntax_uid)), "2.25.1")


def test_a_native_frame_is_cut_out(phantoms) -> None:
    data, header = stored(phantoms)
    assert frame_of(data, header, 1) == np.arange(24, dtype="<u2").tobytes()


@pytest.mark.parametrize("compress", ["", RLELossless])
def test_the_frames_of_one_instance(phantoms, compress: str) -> None:
    pixels = np.arange(72, dtype="<u2")
    data, header = stored(phantoms, compress=compress, NumberOfFrames=3, PixelData=pixels.tobytes())
    assert bool(header.pixel_length) != bool(compress)
    assert [frame_of(data, header, number) for number in (1, 2, 3)] == [part.tobytes() for part in np.split(pixels, 3)]


@pytest.mark.parametrize("sent", [0x0FFE, 0xFFFE])  # -2 in twelve bits: the sender left the other four at 0, or not
@pytest.mark.parametrize("compress", ["", RLELossless])
def test_a_negative_value_of_twelve_bits_has_its_sign_in_sixteen(phantoms, compress: str, sent: int) -> None:
    values = np.full(24, sent, dtype="<u2")
    data, header = stored(phantoms, compress=compress, PixelRepresentation=1, PixelData=values.tobytes())
    assert set(np.frombuffer(frame_of(data, header, 1), dtype="<i2")) == {-2}


def test_what_stands_above_the_stored_bits_is_no_image(phantoms) -> None:
    values = np.full(24, 0xF123, dtype="<u2")
    data, header = stored(phantoms, PixelData=values.tobytes())
    assert set(np.frombuffer(frame_of(data, header, 1), dtype="<u2")) == {0x0123}


def test_an_odd_number_of_bytes_has_no_padding(phantoms) -> None:
    byte = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Rows": 3, "Columns": 3}
    data, header = stored(phantoms, **byte, PixelData=bytes(range(9)) + b"\0")
    assert frame_of(data, header, 1) == bytes(range(9))


def test_frames_of_single_bits_begin_with_their_first_bit(phantoms) -> None:
    """Two frames of 3 x 3 bits: the second begins in the middle of a byte, PS3.5 section 8.1.1."""
    bits = np.array([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1], dtype=np.uint8)
    one = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "Rows": 3, "Columns": 3, "NumberOfFrames": 2}
    data, header = stored(phantoms, **one, PixelData=np.packbits(bits, bitorder="little").tobytes() + b"\0")
    assert [frame_of(data, header, number) for number in (1, 2)] == [b"\x01\x01", b"\x02\x01"]


def test_colour_is_cut_sample_by_sample(phantoms) -> None:
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    byte = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Rows": 2, "Columns": 2, "NumberOfFrames": 2}
    data, header = stored(phantoms, **colour, **byte, PixelData=bytes(range(24)))
    assert frame_of(data, header, 2) == bytes(range(12, 24))


def test_pixel_data_that_its_codec_cannot_decode(phantoms) -> None:
    data, header = stored(phantoms, compress=RLELossless)
    damaged = data[:-40] + bytes(32) + data[-8:]
    with pytest.raises(PermanentError, match="frame-undecodable"):
        frame_of(damaged, header, 1)


def test_attributes_describe_the_frame_and_hold_no_pixels(phantoms) -> None:
    found = attributes_of(*stored(phantoms), "/bulkdata")
    assert found["00280010"] == {"vr": "US", "Value": [4]}
    assert found["00080018"]["Value"] and "00020010" not in found
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "/bulkdata/7FE00010"}


MULTIPART = {
    None,
    "",
    "*/*",
    "multipart/related",
    "multipart/*;q=0.5",
    'multipart/related; type="application/octet-stream"',
    "multipart/related; type=application/octet-stream",
    f'Multipart/Related; type="application/octet-stream"; transfer-syntax={NATIVE}',
    "multipart/related; type=application/octet-stream; transfer-syntax=*",
    f'image/jpeg, multipart/related; type="application/octet-stream"; transfer-syntax="{NATIVE}"; q=0.7',
}


@pytest.mark.parametrize("accept", sorted(MULTIPART, key=str))
def test_what_is_answered_in_parts(accept: str | None) -> None:
    assert as_multipart(accept, 1) and as_multipart(accept, 3)


@pytest.mark.parametrize(
    "accept", ["application/octet-stream", f"text/html, application/octet-stream; transfer-syntax={NATIVE}"]
)
def test_one_frame_may_go_alone(accept: str) -> None:
    assert not as_multipart(accept, 1)
    with pytest.raises(NotAcceptable, match="several frames"):
        as_multipart(accept, 2)


@pytest.mark.parametrize(
    "accept",
    [
        "image/jpeg",
        "application/dicom+json",
        'multipart/related; type="image/jpeg"',
        "multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.80",
        "*/*;q=0",
        'text/plain; note="a, */*"',
    ],
)
def test_what_cannot_be_given(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        as_multipart(accept, 1)


def test_metadata_is_json_or_nothing() -> None:
    for accept in (None, "*/*", "application/dicom+json", "application/json; q=0.9"):
        require_json(accept)
    with pytest.raises(NotAcceptable):
        require_json('multipart/related; type="application/dicom+xml"')


def test_one_entry_for_a_person_a_series_and_a_stretch_of_time(clock) -> None:
    noted = []
    views = Views(lambda subject, series: noted.append((subject, series)), clock)
    for _ in range(100):
        views.seen("ann", "s")
    views.seen("ann", "t")
    views.seen("bob", "s")
    clock.now += STRETCH_S - 1
    views.seen("ann", "s")
    assert noted == [("ann", "s"), ("ann", "t"), ("bob", "s")]
    clock.now += 2
    views.seen("ann", "s")
    assert noted[3:] == [("ann", "s")]


def test_what_cannot_be_noted_is_not_shown_and_tried_again(clock) -> None:
    answers = [False, True]

    def note(_subject: str, _series: str) -> None:
        if not answers.pop(0):
            raise PermanentError("trail-full")

    views = Views(note, clock)
    with pytest.raises(PermanentError):
        views.seen("ann", "s")
    views.seen("ann", "s")
    assert not answers


class WithdrawnMeanwhile(FrameIndex):
    """An index that names an instance, and says afterwards that its study is gone."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def instance(self, principal: Principal, study: str, series: str, sop_key: str) -> Instance:
        return self._instance

    def gone(self, study: str) -> bool:
        return study == "gone"


@pytest.mark.parametrize(("study", "status"), [("gone", 410), ("there", 404)])
def test_an_object_that_went_since_the_index_was_asked(phantoms, objects, clock, study: str, status: int) -> None:
    data, header = stored(phantoms)
    ref = objects.put("k", data)
    objects.delete("k")
    index = WithdrawnMeanwhile(Instance("i", "s", study, ref, header))
    app = FastAPI(exception_handlers={NotFound: lambda *_: JSONResponse({}, 404)})
    app.include_router(make_frames_router(index, objects, Views(lambda *_: None, clock)))
    app.dependency_overrides[authenticated] = lambda: Principal("ann", {"*": frozenset({Role.READER})})
    with TestClient(app) as client:
        assert client.get(f"/dicom-web/studies/{study}/series/s/instances/i/frames/1").status_code == status
