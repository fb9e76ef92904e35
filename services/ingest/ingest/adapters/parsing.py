"""From bytes to a pydicom data set, strictly: what is cut off, mislabelled or no DICOM is refused with the reason.

`pydicom.dcmread` is tolerant where this door must not be: it returns what it could read of a truncated file and guesses the
transfer syntax when the declared one does not fit. So the elements are taken from pydicom's own generator, one by one.
"""

import logging
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.uid import (
    HTJ2K,
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pydicom.uid import JPEG2000 as JPEG2000Lossy

from ingest.adapters.values import number_of, text_of, whole_of
from ingest.domain.reasons import Refused, RejectReason
from ingest.domain.site_profile import Document
from ingest.domain.sop_classes import no_image_because

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
ENCAPSULATED = (
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLossless,
    RLELossless,
    JPEGLSNearLossless,
    JPEG2000Lossy,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
)
READABLE = frozenset((*NATIVE, *ENCAPSULATED, DeflatedExplicitVRLittleEndian))

PIXEL_DATA = 0x7FE00010
_LONGEST_INFLATED = 1 << 31
_HEAD_BYTES = 1 << 16
_ITEM = b"\xfe\xff\x00\xe0"
_UNDEFINED = 0xFFFFFFFF


@dataclass(slots=True)
class Parsed:
    """A data set as it came, still identified: in memory only.

    Attributes
    ----------
    ds : pydicom.dataset.Dataset
        Without Pixel Data.
    transfer_syntax_uid : str
    pixel_data : bytes or memoryview
        Value of (7FE0,0010): native frames cut to the image, or encapsulated items without the delimiter.
    pixel_vr : str
        "OB" or "OW"; empty for a document, which has no pixels.
    study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid : str
    """

    ds: Dataset
    transfer_syntax_uid: str
    pixel_data: bytes | memoryview
    pixel_vr: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str

    @property
    def is_document(self) -> bool:
        """Whether it has words instead of pixels, and the site's profile lets it in."""
        return not self.pixel_vr


class RefusedInstance(Refused):
    """An instance was refused after its study was known."""

    def __init__(self, reason: RejectReason, detail: str, study_instance_uid: str, series_instance_uid: str) -> None:
        super().__init__(reason, detail)
        self.study_instance_uid, self.series_instance_uid = study_instance_uid, series_instance_uid


def configure_libraries() -> None:
    """Keep pydicom from writing values into warnings and logs, and from judging values that are only passed through."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def is_compressed(transfer_syntax_uid: str) -> bool:
    """Whether pixel data is encapsulated."""
    return transfer_syntax_uid in ENCAPSULATED


def parse(
    data: bytes | memoryview,
    transfer_syntax_uid: str | None = None,
    documents: frozenset[Document] = frozenset(),
    *,
    pixels_needed: bool = True,
) -> Parsed:
    """Read one instance.

    Parameters
    ----------
    data : bytes or memoryview
        A Part 10 file, or an encoded data set when ``transfer_syntax_uid`` says how it is encoded.
    transfer_syntax_uid : str, optional
        As negotiated for the presentation context.
    documents : frozenset of Document
        What may come without pixels.
    pixels_needed : bool
        False takes objects without Pixel Data as well: theirs is empty then.

    Raises
    ------
    Refused
        NOT_DICOM, UNDECODABLE, TRUNCATED; as `RefusedInstance` with the study's UIDs once these are known, then also
        NO_PIXEL_DATA.
    """
    head = BytesIO(data[:_HEAD_BYTES])
    if transfer_syntax_uid is None:
        transfer_syntax_uid = _read_file_meta(head)
    if transfer_syntax_uid not in READABLE:
        known = UID(transfer_syntax_uid)
        name = known.name if known in AllTransferSyntaxes else "unknown"
        raise Refused(RejectReason.UNDECODABLE, f"transfer syntax not accepted here: {name}")
    ds = _read_up_to_pixels(head, data, transfer_syntax_uid)
    if ds is None:
        whole = BytesIO(data)
        whole.seek(head.tell())
        ds = _read_elements(whole, transfer_syntax_uid)
    uids = [text_of(ds, tag) for tag in (0x0020000D, 0x0020000E, 0x00080018, 0x00080016)]
    if not all(uids):
        raise Refused(RejectReason.UNDECODABLE, "no study, series, instance or SOP class UID can be read")
    try:
        if not pixels_needed and PIXEL_DATA not in ds:
            pixel_data, pixel_vr = b"", "OB"
        elif _is_let_in(ds, uids[3], transfer_syntax_uid, documents):
            pixel_data, pixel_vr = b"", ""
        else:
            pixel_data, pixel_vr = _take_pixel_data(ds, transfer_syntax_uid)
    except Refused as refused:
        raise RefusedInstance(refused.reason, refused.detail, uids[0], uids[1]) from refused
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        transfer_syntax_uid = ExplicitVRLittleEndian
    return Parsed(ds, str(transfer_syntax_uid), pixel_data, pixel_vr, *uids)


def uids_of(data: bytes) -> tuple[str, str, str] | None:
    """Return study, SOP class and SOP instance UID of a Part 10 file, as a sender knows them; None where they cannot be read."""
    wanted = [0x0020000D, 0x00080016, 0x00080018]
    try:
        ds = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=wanted)
        study, sop_class, sop_instance = (text_of(ds, tag) for tag in wanted)
    except Exception:  # pydicom raises many kinds for damaged bytes
        return None
    return (study, sop_class, sop_instance) if study and sop_class and sop_instance else None


def _read_file_meta(fp: BytesIO) -> str:
    """Read preamble and group 0002; leave ``fp`` at the data set's first byte."""
    preamble = fp.read(132)
    if preamble[128:] != b"DICM":
        raise Refused(RejectReason.NOT_DICOM, "no DICM prefix after a preamble of 128 bytes (PS3.10 section 7.1)")
    try:
        meta = read_dataset(fp, False, True, stop_when=lambda tag, _vr, _length: tag.group > 2)
        transfer_syntax_uid = text_of(meta, 0x00020010)
    except Exception as error:  # pydicom raises many kinds for damaged bytes
        raise Refused(RejectReason.NOT_DICOM, "file meta information that cannot be read") from error
    if not transfer_syntax_uid:
        raise Refused(RejectReason.NOT_DICOM, "file meta information without a transfer syntax")
    return transfer_syntax_uid


def _read_up_to_pixels(head: BytesIO, data: bytes | memoryview, transfer_syntax_uid: str) -> Dataset | None:
    """Read a data set that native pixels end, as nearly all do, and leave the pixels where they are; copying them costs more than
    all else here. Return None, ``head`` where it was, where it is another one: `_read_elements` then says what is wrong, if anything.
    """
    implicit, start = transfer_syntax_uid == ImplicitVRLittleEndian, head.tell()
    if transfer_syntax_uid not in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        return None
    pixels: list[tuple[str | None, int]] = []

    def at_pixels(tag: pydicom.tag.BaseTag, vr: str | None, length: int) -> bool:
        if tag == PIXEL_DATA:
            pixels.append((vr, length))
        return bool(pixels)

    try:
        _check_first_element(head, implicit, little=True)
        elements = {each.tag: each for each in data_element_generator(head, implicit, True, stop_when=at_pixels)}
        [(vr, length)] = pixels
        place = head.tell() + (8 if implicit else 12)
        if (implicit or vr in ("OB", "OW")) and place + length == len(data):
            value = memoryview(data)[place:]
            elements[pydicom.tag.BaseTag(PIXEL_DATA)] = RawDataElement(
                pydicom.tag.BaseTag(PIXEL_DATA), vr, length, value, place, implicit, True
            )
            ds = Dataset(elements)
            ds.set_original_encoding(implicit, True, _character_set(ds))
            return ds
    except Exception:  # pydicom raises many kinds; it is read as a whole, and refused there
        pass
    head.seek(start)
    return None


def _read_elements(fp: BytesIO, transfer_syntax_uid: str) -> Dataset:
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    little = transfer_syntax_uid != ExplicitVRBigEndian
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        fp = _inflate(fp)
    _check_first_element(fp, implicit, little)
    elements: dict[pydicom.tag.BaseTag, RawDataElement | pydicom.DataElement] = {}
    element, end = None, fp.tell()
    try:
        for element in data_element_generator(fp, implicit, little):
            elements[element.tag] = element
            end = fp.tell()
        ds = Dataset(elements)
        ds.set_original_encoding(implicit, little, _character_set(ds))
    except EOFError as error:
        raise Refused(RejectReason.TRUNCATED, "an element of undefined length without its end") from error
    except Exception as error:  # pydicom raises many kinds for bytes that are not what was declared
        raise Refused(
            RejectReason.UNDECODABLE, "a data set that cannot be read in the transfer syntax declared"
        ) from error
    size = fp.seek(0, 2)
    short = isinstance(element, RawDataElement) and element.length not in (_UNDEFINED, len(element.value or b""))
    if short or end < size:
        raise _cut_off(ds, "the data set ends inside an element")
    return ds


def _cut_off(ds: Dataset, detail: str) -> Refused:
    try:
        uids = text_of(ds, 0x0020000D), text_of(ds, 0x0020000E)
    except Exception:  # the cut may go through the UIDs themselves
        uids = "", ""
    if not all(uids):
        return Refused(RejectReason.TRUNCATED, detail)
    return RefusedInstance(RejectReason.TRUNCATED, detail, *uids)


def _character_set(ds: Dataset) -> str | list[str]:
    if 0x00080005 not in ds:
        return pydicom.charset.default_encoding
    return pydicom.charset.convert_encodings(ds[0x00080005].value or "")


def _check_first_element(fp: BytesIO, implicit: bool, little: bool) -> None:
    """The first element shows a wrong transfer syntax: its VR letters, and its group, which is 0008 in an image."""
    start = fp.tell()
    head = fp.read(6)
    fp.seek(start)
    if len(head) < 6:
        raise Refused(RejectReason.TRUNCATED, "no data set after the file meta information")
    has_vr = head[4:6].isalpha() and head[4:6].isupper()
    group = int.from_bytes(head[:2], "little" if little else "big")
    if has_vr == implicit or group > 0x0010:
        raise Refused(RejectReason.UNDECODABLE, "a data set encoded in another transfer syntax than the one declared")


def _inflate(fp: BytesIO) -> BytesIO:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(fp.read(), _LONGEST_INFLATED)
    except zlib.error as error:
        raise Refused(RejectReason.UNDECODABLE, "a deflated data set that cannot be inflated") from error
    if not inflater.eof:
        raise Refused(RejectReason.TRUNCATED, "a deflated data set without its end")
    return BytesIO(plain)


def _is_let_in(ds: Dataset, sop_class_uid: str, transfer_syntax_uid: str, documents: frozenset[Document]) -> bool:
    """Whether this is a document that may come; False for an image. Any other document is refused by its name."""
    words, document = no_image_because(sop_class_uid)
    if not words:
        return False
    if document not in documents:
        rule = f"the site's profile does not let in {document}" if document else "it is never let in"
        raise Refused(RejectReason.NO_PIXEL_DATA, f"{words} ({_name_of(sop_class_uid)}): {rule}")
    if PIXEL_DATA in ds or is_compressed(transfer_syntax_uid):
        raise Refused(RejectReason.UNDECODABLE, f"{words} with pixel data, or in a transfer syntax for it")
    return True


def _take_pixel_data(ds: Dataset, transfer_syntax_uid: str) -> tuple[bytes | memoryview, str]:
    """Remove Pixel Data from the data set, check it and return its value and VR."""
    if PIXEL_DATA not in ds:
        raise Refused(RejectReason.NO_PIXEL_DATA, f"no Pixel Data (7FE0,0010): {_name_of(text_of(ds, 0x00080016))}")
    element = ds.get_item(PIXEL_DATA)
    del ds[PIXEL_DATA]
    value: bytes | memoryview = element.value if isinstance(element.value, (bytes, memoryview)) else b""
    encapsulated = isinstance(element, RawDataElement) and element.length == _UNDEFINED
    if encapsulated != is_compressed(transfer_syntax_uid):
        declared = "compressed" if is_compressed(transfer_syntax_uid) else "uncompressed"
        raise Refused(RejectReason.UNDECODABLE, f"a {declared} transfer syntax, and pixel data that is not")
    if encapsulated:
        _check_items(bytes(value))
        return value, "OB"
    size = _native_size(ds)
    if not value:
        raise Refused(RejectReason.NO_PIXEL_DATA, "empty Pixel Data (7FE0,0010)")
    if len(value) < size:
        raise Refused(RejectReason.TRUNCATED, f"{size} bytes of pixel data expected, {len(value)} there")
    # Bytes after the image are no image, and could be anything: they are not kept.
    image = value[:size] if size % 2 == 0 else bytes(value[:size]) + b"\0"
    return image, "OW" if element.VR is None else str(element.VR)


def _name_of(sop_class_uid: str) -> str:
    """Name a SOP class of the standard; a vendor's UID could say more than what it is."""
    name = UID(sop_class_uid).name
    return name if name != sop_class_uid else "a SOP class that is not the standard's"


def _native_size(ds: Dataset) -> int:
    rows, columns, bits = (number_of(ds, tag) for tag in (0x00280010, 0x00280011, 0x00280100))
    if rows is None or columns is None or not bits:
        raise Refused(RejectReason.UNDECODABLE, "no usable Rows, Columns or Bits Allocated")
    samples = whole_of(ds, 0x00280002, 1) * int(rows) * int(columns) * whole_of(ds, 0x00280008, 1)
    size = -(-samples * int(bits) // 8)
    if text_of(ds, 0x00280004) == "YBR_FULL_422":
        size = size * 2 // 3
    if size <= 0:
        raise Refused(RejectReason.NO_PIXEL_DATA, "an image of no rows or no columns")
    return size


def _check_items(value: bytes) -> None:
    """Every fragment must be an item that is whole (PS3.5 section A.4)."""
    place = 0
    while place < len(value):
        length = int.from_bytes(value[place + 4 : place + 8], "little")
        if value[place : place + 4] != _ITEM:
            raise Refused(RejectReason.UNDECODABLE, "encapsulated pixel data whose fragments are no items")
        place += 8 + length
    if place != len(value) or place <= 8:
        raise Refused(RejectReason.TRUNCATED, "encapsulated pixel data that ends inside a fragment")
