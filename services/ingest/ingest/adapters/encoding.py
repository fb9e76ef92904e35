"""Writing de-identified instances as Part 10 files, and reading their pixels again.

What came uncompressed is stored in Explicit VR Little Endian, what came compressed stays as it is; the place of native pixels
is kept in the index, so that forming a volume reads them without parsing DICOM again.
"""

import dataclasses
import math
import struct
from io import BytesIO

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from ingest.adapters.parsing import PIXEL_DATA, Parsed, is_compressed
from ingest.domain.intensities import stored_values
from ingest.domain.model import SliceHeader
from ingest.domain.reasons import Refused, RejectReason

IMPLEMENTATION_CLASS_UID = "2.25.302215186463962938722911374268612207925"
IMPLEMENTATION_VERSION_NAME = "RADLOOP_1"

_ALWAYS_BELIEVED, _LARGEST_RATIO = 64 << 20, 1000
"""Bytes that compressed pixels may unpack to, whatever they are packed to; and how many times what they are packed to."""

_SWAP_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
# Element heads by VR, PS3.5 tables 7.1-1 and 7.1-2: a length of two bytes, or two bytes reserved and a length of four. The only
# raw SQ there can be is the one that `cleaning` writes itself: those that came were walked, and are converted.
_HEADS = {
    **dict.fromkeys("AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split(), struct.Struct("<HH2sH")),
    **dict.fromkeys("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split(), struct.Struct("<HH2s2xI")),
}
_PADDED_BY_ZERO = frozenset(("UI", "OB", "UN"))
_UNDEFINED = 0xFFFFFFFF
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


def stored_syntax(transfer_syntax_uid: str) -> str:
    """Return the transfer syntax an instance is stored in."""
    return transfer_syntax_uid if is_compressed(transfer_syntax_uid) else str(ExplicitVRLittleEndian)


def encode(parsed: Parsed, header: SliceHeader, sop_key: str) -> tuple[bytes, SliceHeader]:
    """Write a cleaned data set and its pixel data as a Part 10 file.

    The same input gives the same bytes: an instance that comes again is recognised by its digest.

    Parameters
    ----------
    parsed : Parsed
        Its data set already cleaned.
    header : SliceHeader
    sop_key : str
        Pseudonymous SOP Instance UID.

    Returns
    -------
    data : bytes
    header : SliceHeader
        With the place of native pixel data.

    Raises
    ------
    Refused
        UNDECODABLE when an element cannot be written in the stored transfer syntax.
    """
    if parsed.transfer_syntax_uid == ExplicitVRBigEndian:
        pixel_data = _swapped(parsed.pixel_data, "OW" if header.bits_allocated == 16 else "OB", header.bits_allocated)
    else:
        pixel_data = parsed.pixel_data
    try:
        if parsed.transfer_syntax_uid == ExplicitVRBigEndian:
            _swap_words(parsed.ds)
        body = _write(parsed.ds)
    except Exception as error:  # pydicom raises many kinds for values it cannot convert
        raise Refused(
            RejectReason.UNDECODABLE, "an element that cannot be read in the transfer syntax declared"
        ) from error
    meta = _file_meta(parsed.sop_class_uid, sop_key, header.transfer_syntax_uid)
    if parsed.is_document:
        return meta + body, header
    compressed = is_compressed(header.transfer_syntax_uid)
    vr = "OB" if compressed or header.bits_allocated <= 8 and parsed.pixel_vr == "OB" else "OW"
    length = 0xFFFFFFFF if compressed else len(pixel_data)
    pixel_head = b"\xe0\x7f\x10\x00" + vr.encode() + b"\0\0" + length.to_bytes(4, "little")
    before = meta + body + pixel_head
    if compressed:
        return b"".join((before, pixel_data, _SEQUENCE_END)), header
    placed = dataclasses.replace(header, pixel_offset=len(before), pixel_length=len(pixel_data))
    return b"".join((before, pixel_data)), placed


def _write(ds: Dataset) -> bytes:
    """Write a data set in Explicit VR Little Endian.

    pydicom's writer takes a millisecond for an ordinary header, most of it for elements that are passed through as they came;
    those are put together here, and everything else is left to pydicom.
    """
    if ds.original_encoding != (False, True):
        return _write_by_pydicom(ds)
    parts = []
    for tag, element in sorted(ds.items(), key=lambda each: int(each[0])):
        value = element.value or b""
        if not isinstance(element, RawDataElement) or element.length == _UNDEFINED or element.VR not in _HEADS:
            one = Dataset({tag: element}, parent_encoding=ds._character_set)
            one.set_original_encoding(False, True, ds._character_set)
            parts.append(_write_by_pydicom(one))
        else:
            if len(value) % 2:  # sloppy senders; PS3.5 section 7.1.1
                value += b"\0" if element.VR in _PADDED_BY_ZERO else b" "
            parts += (_HEADS[element.VR].pack(tag >> 16, tag & 0xFFFF, element.VR.encode(), len(value)), value)
    return b"".join(parts)


def _write_by_pydicom(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()


def _file_meta(sop_class_uid: str, sop_key: str, transfer_syntax_uid: str) -> bytes:
    elements = [_meta_element(0x0001, b"OB\0\0", b"\0\1")]
    for number, uid in (
        (0x0002, sop_class_uid),
        (0x0003, sop_key),
        (0x0010, transfer_syntax_uid),
        (0x0012, IMPLEMENTATION_CLASS_UID),
    ):
        elements.append(_meta_element(number, b"UI", uid.encode("ascii", "replace")))
    elements.append(_meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()))
    body = b"".join(elements)
    return bytes(128) + b"DICM" + _meta_element(0x0000, b"UL", len(body).to_bytes(4, "little")) + body


def _meta_element(number: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b" " if vr == b"SH" else b"\0"
    length = len(value).to_bytes(4 if len(vr) == 4 else 2, "little")
    return b"\x02\x00" + number.to_bytes(2, "little") + vr + length + value


def _swap_words(ds: Dataset) -> None:
    """Turn word-sized values of a big endian data set; pydicom passes them through unturned."""
    for tag in list(ds.keys()):
        element = ds.get_item(tag)
        if element.VR in _SWAP_BYTES and isinstance(element, RawDataElement) and element.value:
            ds[tag] = element._replace(value=_swapped(element.value, str(element.VR), 16))
        elif element.VR == "SQ":
            for item in ds[tag].value:
                _swap_words(item)


def _swapped(value: bytes | memoryview, vr: str, bits: int) -> bytes | memoryview:
    size = max(bits // 8, 1) if vr == "OB" else _SWAP_BYTES[vr]
    return value if size == 1 else np.frombuffer(value, dtype=f">u{size}").astype(f"<u{size}").tobytes()


def decode_frames(data: bytes, header: SliceHeader) -> list[np.ndarray]:
    """Return the stored values of every frame of a grey instance.

    Parameters
    ----------
    data : bytes
        The stored Part 10 file.
    header : SliceHeader
        As `encode` returned it.

    Returns
    -------
    list of numpy.ndarray
        Integers, each of shape ``(rows, columns)``, before any rescaling.

    Raises
    ------
    Refused
        UNDECODABLE when the pixel data is not what its transfer syntax says.
    """
    shape = (header.frames, header.rows, header.columns)
    if header.pixel_length:
        kind = f"<u{header.bits_allocated // 8}"
        frames = np.frombuffer(data, dtype=kind, count=math.prod(shape), offset=header.pixel_offset).reshape(shape)
    else:
        if not is_believable(data, header):
            raise Refused(RejectReason.UNDECODABLE, f"{len(data)} bytes that would be {shape} pixels")
        try:
            frames = pydicom.dcmread(BytesIO(data)).pixel_array
        except Exception as error:  # every codec raises its own kinds
            raise Refused(RejectReason.UNDECODABLE, "pixel data its transfer syntax's codec cannot decode") from error
        frames = frames[np.newaxis] if header.frames == 1 else frames
        if frames.shape != shape:
            raise Refused(RejectReason.UNDECODABLE, f"pixel data of shape {frames.shape}; expected {shape}")
    return list(stored_values(frames, header))


def is_believable(data: bytes, header: SliceHeader) -> bool:
    """Whether pixels may be as large as the header says: one that was damaged, or lies, would have a codec take gigabytes."""
    samples = header.frames * header.rows * header.columns * header.samples_per_pixel
    return samples * header.bits_allocated // 8 <= max(_ALWAYS_BELIEVED, _LARGEST_RATIO * len(data))


def frame_values(data: bytes, header: SliceHeader, number: int) -> np.ndarray:
    """Return the stored values of one frame of a grey instance, counted from 1; see `decode_frames`, which decodes every one."""
    if header.pixel_length or header.frames == 1:
        frame: np.ndarray = decode_frames(data, header)[number - 1]
        return frame
    if not is_believable(data, header):
        raise Refused(RejectReason.UNDECODABLE, f"{len(data)} bytes that would be {header.frames} frames")
    try:
        decoded, _ = get_decoder(UID(header.transfer_syntax_uid)).as_array(
            pydicom.dcmread(BytesIO(data)), index=number - 1
        )
    except Exception as error:  # every codec raises its own kinds
        raise Refused(RejectReason.UNDECODABLE, "pixel data its transfer syntax's codec cannot decode") from error
    return stored_values(decoded, header)


def all_pixels(data: bytes, header: SliceHeader) -> np.ndarray | bytes:
    """Return what two objects are compared by: decoded pixels, or the bytes where no codec can decode them."""
    try:
        ds = pydicom.dcmread(BytesIO(data))
        if header.bits_allocated == 1 or not is_believable(data, header):
            return bytes(ds.PixelData)
        return ds.pixel_array
    except Exception:  # what cannot be decoded can still be compared
        return bytes(ds[PIXEL_DATA].value) if PIXEL_DATA in ds else b""  # a document


def header_differences(first: bytes, second: bytes) -> tuple[str, ...]:
    """Return the keywords (or tags) of top-level attributes in which two stored objects differ, Pixel Data excepted."""
    a, b = (pydicom.dcmread(BytesIO(data), stop_before_pixels=True) for data in (first, second))
    differing = [tag for tag in sorted({*a.keys(), *b.keys()}) if a.get(tag) != b.get(tag)]
    return tuple(pydicom.datadict.keyword_for_tag(tag) or str(tag) for tag in differing)
