"""Frames of stored instances as a viewer wants them: decoded, native, little endian, one at a time.

Native pixels are cut out of the stored object at the place the index keeps; only compressed ones need DICOM parsed.
"""

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from ingest.adapters.encoding import is_believable
from ingest.domain.intensities import stored_values
from ingest.domain.model import SliceHeader
from radloop.errors import NotFound, PermanentError

_LARGEST_INLINE = 1024
"""Bytes of a binary value that metadata holds itself."""

TRANSFER_SYNTAX_UID = "1.2.840.10008.1.2.1"
"""Explicit VR Little Endian: what frames are given out in, whatever they are stored in."""


def frame_of(data: bytes, header: SliceHeader, number: int) -> bytes:
    """Return one frame of a stored instance.

    Parameters
    ----------
    data : bytes
        The stored Part 10 file.
    header : SliceHeader
        Of the instance, with the place of native pixels.
    number : int
        From 1 to the header's ``frames``.

    Returns
    -------
    bytes
        Rows of columns of samples, ``bits_allocated`` each, little endian, without padding (PS3.5 section 8.1.1). Of a grey
        image the bits above ``bits_stored`` repeat the sign, or are 0; colour that was compressed is RGB, sample by sample.

    Raises
    ------
    PermanentError
        ``frame-undecodable``: the pixel data is not what its transfer syntax says.
    """
    if header.pixel_length:
        return _native(data, header, number)
    try:
        if not is_believable(data, header):
            raise ValueError("a header that says more than its pixels can be")
        ds = pydicom.dcmread(BytesIO(data))
        frame, _ = get_decoder(UID(header.transfer_syntax_uid)).as_array(ds, index=number - 1)
    except Exception as error:  # every codec raises its own kinds
        raise PermanentError(
            "frame-undecodable",
            expected="pixel data that its transfer syntax's codec can decode",
            got="an error of the codec",
            do="send the study again uncompressed, or withdraw it",
        ) from error
    if _has_unused_bits(header):
        frame = stored_values(frame, header)
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()


def _native(data: bytes, header: SliceHeader, number: int) -> bytes:
    bits = header.rows * header.columns * header.samples_per_pixel * header.bits_allocated
    if bits * header.frames > 8 * header.pixel_length:
        bits = bits * 2 // 3  # YBR_FULL_422, the only form in which samples share values (PS3.3 C.7.6.3.1.2)
    first = (number - 1) * bits
    if bits % 8:
        # Frames of single bits follow one another without a gap (PS3.5 section 8.1.1): the bits are moved to the front.
        start, end = header.pixel_offset + first // 8, header.pixel_offset + -(-(first + bits) // 8)
        packed = np.frombuffer(data, dtype=np.uint8, count=end - start, offset=start)
        alone = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + bits]
        return np.packbits(alone, bitorder="little").tobytes()
    start, size = header.pixel_offset + first // 8, bits // 8
    if _has_unused_bits(header):
        kind = f"<{'i' if header.signed else 'u'}{header.bits_allocated // 8}"
        words = np.frombuffer(data, dtype=kind, count=bits // header.bits_allocated, offset=start)
        if not _within_stored_bits(words, header):
            return stored_values(words, header).tobytes()
    return data[start : start + size]


def _within_stored_bits(words: np.ndarray, header: SliceHeader) -> bool:
    """Whether nothing needs to be cut: looking is forty times faster than cutting, and most senders leave nothing there."""
    low, high = (
        (-1 << header.bits_stored - 1, 1 << header.bits_stored - 1) if header.signed else (0, 1 << header.bits_stored)
    )
    return low <= int(words.min()) and int(words.max()) < high


def _has_unused_bits(header: SliceHeader) -> bool:
    whole = header.samples_per_pixel == 1 and header.bits_allocated in (8, 16, 32)
    return whole and 0 < header.bits_stored < header.bits_allocated


def attributes_of(data: bytes, header: SliceHeader, bulk_url: str) -> dict[str, Any]:
    """Return the attributes of a stored instance in the DICOM JSON model (PS3.18 annex F), without pixel data.

    They describe the frames as `frame_of` gives them: colour that was compressed is RGB. Binary values above a kilobyte, and
    pixel data, are named by their address below ``bulk_url``, not given.
    """
    ds = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    if not header.pixel_length and header.samples_per_pixel > 1:
        ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    # A value that cannot be written as JSON (a number that is none) is left out: the viewer does without it.
    attributes: dict[str, Any] = ds.to_json_dict(
        bulk_data_threshold=_LARGEST_INLINE,
        bulk_data_element_handler=lambda element: f"{bulk_url}/{element.tag:08X}",
        suppress_invalid_tags=True,
    )
    if header.frames:
        attributes["7FE00010"] = {"vr": "OW", "BulkDataURI": f"{bulk_url}/7FE00010"}
    return attributes


def bulk_of(data: bytes, header: SliceHeader, tag: int) -> bytes:
    """Return the value of one binary attribute of a stored instance; of Pixel Data all frames, decoded.

    Raises
    ------
    NotFound
        There is none at the top level.
    PermanentError
        As `frame_of`.
    """
    if tag == 0x7FE00010:
        return b"".join(frame_of(data, header, number) for number in range(1, header.frames + 1))
    ds = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    value = ds[tag].value if tag in ds else None
    if not isinstance(value, bytes):
        raise NotFound("bulk-data-unknown", expected="an address that the metadata names", got="another")
    return value
