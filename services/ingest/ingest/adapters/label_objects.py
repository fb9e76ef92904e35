"""A label that somebody made elsewhere, as DICOM: what it refers to, what its segments are called, and the mask alone.

What leaves here for another service is not the object with parts taken out but a new one with numbers put in: the attributes
that say where each voxel lies and which segment it is. So no name, date, identifier or free text can be in it.
"""

import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian

from ingest.adapters.parsing import Parsed, is_compressed, parse
from ingest.adapters.values import text_of, values_of, whole_of
from ingest.domain.reasons import Refused
from radloop.errors import Invalid, RadloopError

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_SEGMENTATIONS = (SEGMENTATION, LABEL_MAP_SEGMENTATION)

_SERIES_UID, _REFERENCED_SOP_UID, _REFERENCED_FRAME = 0x0020000E, 0x00081155, 0x00081160
_SEGMENTS, _SEGMENT_NUMBER, _SEGMENT_LABEL = 0x00620002, 0x00620004, 0x00620005
_SEGMENT_CATEGORY, _SEGMENT_TYPE = 0x00620003, 0x0062000F
_ROIS, _ROI_NUMBER, _ROI_NAME = 0x30060020, 0x30060022, 0x30060026
_ROI_OBSERVATIONS, _OBSERVED_ROI, _ROI_CODE = 0x30060080, 0x30060084, 0x30060086
_ROI_CONTOURS, _CONTOURED_ROI, _CONTOURS = 0x30060039, 0x30060084, 0x30060040
_CONTOUR_TYPE, _CONTOUR_DATA = 0x30060042, 0x30060050
_CODES, _SCHEME, _MEANING = (0x00080100, 0x00080119), 0x00080102, 0x00080104

_SHARED_GROUPS, _GROUPS_PER_FRAME = 0x52009229, 0x52009230
_GROUPS = (
    (0x00209113, (0x00200032,)),  # Plane Position: Image Position (Patient)
    (0x00209116, (0x00200037,)),  # Plane Orientation: Image Orientation (Patient)
    (0x00289110, (0x00280030,)),  # Pixel Measures: Pixel Spacing
    (0x0062000A, (0x0062000B,)),  # Segment Identification: Referenced Segment Number
)
"""Functional groups that place a frame (PS3.3 C.7.6.16.2, C.8.20.3), and what is read of each."""

_WHOLE = (0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x0062000E)
"""Frames, Rows, Columns, Bits Allocated and Stored, High Bit, Pixel Representation, Pixel Padding Value, Maximum Fractional Value."""
_SEGMENTATION_TYPE, _SEGMENTATION_TYPES = 0x00620001, ("BINARY", "FRACTIONAL", "LABELMAP")
_CONTOUR_TYPES = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR", "CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_DECIMALS = re.compile(rb"[0-9+\-.eE\\ \0]*")


@dataclass(frozen=True, slots=True)
class ForeignSegment:
    """A segment or region of interest as its maker calls it. The name is free text: for whoever sent it, and nobody else.

    Codes are ``{"value", "scheme", "meaning"}``, empty where there is none.
    """

    number: int
    name: str
    category: dict[str, str]
    type: dict[str, str]


@dataclass(frozen=True, slots=True)
class References:
    """What a label was made on, by original UIDs: never stored, never logged.

    Attributes
    ----------
    series : tuple of str
        Series Instance UIDs of series referred to.
    frames : dict of str to set of int
        Referenced SOP Instance UIDs, each with the frames meant, from 1; empty for all of it.
    """

    series: tuple[str, ...]
    frames: dict[str, set[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelObject:
    """A label as DICOM.

    Attributes
    ----------
    kind : str
        "seg" or "rtstruct".
    segmentation_type : str
        "BINARY", "FRACTIONAL" or "LABELMAP"; empty for an RT structure set.
    segments : tuple of ForeignSegment
    references : References
    mask : bytes
        A Part 10 file of the same SOP class that holds geometry, segment numbers and pixels or contours, and nothing else.
    """

    kind: str
    segmentation_type: str
    segments: tuple[ForeignSegment, ...]
    references: References
    mask: bytes


def read_label_object(data: bytes) -> LabelObject:
    """Read a DICOM SEG or RT structure set (PS3.3 A.51, A.19), in memory.

    Raises
    ------
    Invalid
        ``label-unreadable`` (no whole DICOM file, or damaged where it must be read), ``label-kind`` (another SOP class).
    """
    try:
        parsed = parse(data, pixels_needed=False)
        if parsed.sop_class_uid not in (*_SEGMENTATIONS, RT_STRUCTURE_SET):
            raise Invalid(
                "label-kind",
                expected="Segmentation, Label Map Segmentation or RT Structure Set Storage",
                got="another SOP class",
                do="images are sent by C-STORE or `radloop ingest`",
            )
        references = _references(parsed.ds)
        if parsed.sop_class_uid == RT_STRUCTURE_SET:
            return LabelObject("rtstruct", "", _rois(parsed.ds), references, _written(parsed, _contours(parsed.ds)))
        kind = text_of(parsed.ds, _SEGMENTATION_TYPE)
        kind = kind if kind in _SEGMENTATION_TYPES else ""
        return LabelObject("seg", kind, _segments(parsed.ds), references, _written(parsed, _frames(parsed, kind)))
    except Refused as refused:
        raise Invalid("label-unreadable", expected="a whole DICOM file", got=refused.detail) from refused
    except RadloopError:
        raise
    except Exception as error:  # pydicom raises many kinds for damaged nested bytes
        raise Invalid("label-unreadable", expected="a whole DICOM file", got="nested data that are damaged") from error


def _items(ds: Dataset, tag: int) -> list[Dataset]:
    """Return the items of a sequence; one that is there and is none would leave out a part of the label unsaid."""
    element = ds.get(tag)
    if element is None:
        return []
    if element.VR != "SQ":
        raise Invalid("label-unreadable", expected="a whole DICOM file", got="a sequence that is none")
    return list(element.value or ())


def _code(ds: Dataset, tag: int) -> dict[str, str]:
    for item in _items(ds, tag)[:1]:
        value = next((text for one in _CODES if (text := text_of(item, one))), "")
        return {"value": value, "scheme": text_of(item, _SCHEME), "meaning": text_of(item, _MEANING)}
    return {}


def _segments(ds: Dataset) -> tuple[ForeignSegment, ...]:
    return tuple(
        ForeignSegment(
            whole_of(item, _SEGMENT_NUMBER, 0),
            text_of(item, _SEGMENT_LABEL),
            _code(item, _SEGMENT_CATEGORY),
            _code(item, _SEGMENT_TYPE),
        )
        for item in _items(ds, _SEGMENTS)
    )


def _rois(ds: Dataset) -> tuple[ForeignSegment, ...]:
    codes = {whole_of(item, _OBSERVED_ROI, 0): _code(item, _ROI_CODE) for item in _items(ds, _ROI_OBSERVATIONS)}
    return tuple(
        ForeignSegment(number, text_of(item, _ROI_NAME), {}, codes.get(number, {}))
        for item in _items(ds, _ROIS)
        for number in (whole_of(item, _ROI_NUMBER, 0),)
    )


def _references(ds: Dataset) -> References:
    series: dict[str, None] = {}
    frames: dict[str, set[int]] = {}

    def walk(items: list[Dataset]) -> None:
        for item in items:
            if uid := text_of(item, _SERIES_UID):
                series[uid] = None
            if uid := text_of(item, _REFERENCED_SOP_UID):
                named = {int(number) for number in values_of(item, _REFERENCED_FRAME)}
                known = frames.get(uid)
                # Named whole once, it is meant whole.
                frames[uid] = named if known is None else (known | named if known and named else set())
            for tag in item.keys():
                walk(_nested(item, tag))

    for tag in ds.keys():
        walk(_nested(ds, tag))
    return References(tuple(series), frames)


def _nested(ds: Dataset, tag: Any) -> list[Dataset]:
    if tag.is_private:
        return []
    element = ds.get_item(tag)
    may_be = element.VR in ("SQ", "UN", None)
    return _items(ds, tag) if may_be and ds[tag].VR == "SQ" else []


def _frames(parsed: Parsed, kind: str) -> Dataset:
    if parsed.transfer_syntax_uid == ExplicitVRBigEndian:
        raise Invalid("label-unreadable", expected="little endian", got="Explicit VR Big Endian", do="convert it")
    if not parsed.pixel_data:
        raise Invalid("label-unreadable", expected="Pixel Data (7FE0,0010)", got="none")
    ds, mask = parsed.ds, Dataset()
    for tag in _WHOLE:
        if values_of(ds, tag):
            mask.add_new(tag, "IS" if tag == 0x00280008 else "US", whole_of(ds, tag, 0))
    # A palette is for looking at it; the stored values are segment numbers all the same.
    mask.SamplesPerPixel, mask.PhotometricInterpretation, mask.SegmentationType = 1, "MONOCHROME2", kind
    mask.SegmentSequence = Sequence(_with_numbers(_items(ds, _SEGMENTS), (_SEGMENT_NUMBER,)))
    for tag in (_SHARED_GROUPS, _GROUPS_PER_FRAME):
        mask.add_new(tag, "SQ", Sequence([_groups(item) for item in _items(ds, tag)]))
    mask.add_new(0x7FE00010, parsed.pixel_vr, parsed.pixel_data)
    mask[0x7FE00010].is_undefined_length = is_compressed(parsed.transfer_syntax_uid)
    return mask


def _groups(item: Dataset) -> Dataset:
    groups = Dataset()
    for tag, numbers in _GROUPS:
        if found := _items(item, tag)[:1]:
            groups.add_new(tag, "SQ", Sequence(_with_numbers(found, numbers)))
    return groups


def _with_numbers(items: list[Dataset], tags: tuple[int, ...]) -> list[Dataset]:
    copies = []
    for item in items:
        copy = Dataset()
        for tag in tags:
            if tag in (_SEGMENT_NUMBER, 0x0062000B):
                copy.add_new(tag, "US", whole_of(item, tag, 0))
            elif tag in item:
                copy[tag] = _decimals(item, tag)
        copies.append(copy)
    return copies


def _decimals(ds: Dataset, tag: int) -> RawDataElement:
    """Return an element of decimal strings, digit for digit, once it has been seen to hold nothing else."""
    element = ds.get_item(tag)
    value = element.value
    if not isinstance(value, bytes):
        value = "\\".join(str(one) for one in values_of(ds, tag)).encode("ascii", "replace")
    if not _DECIMALS.fullmatch(value):
        raise Invalid("label-unreadable", expected="decimal numbers", got="other text where a geometry should be")
    value = value.rstrip(b"\0")
    value += b" " * (len(value) % 2)
    return RawDataElement(Tag(tag), "DS", len(value), value, 0, False, True)


def _contours(ds: Dataset) -> Dataset:
    mask = Dataset()
    names = []
    for item in _items(ds, _ROIS):
        name = Dataset()
        name.ROINumber = whole_of(item, _ROI_NUMBER, 0)
        names.append(name)
    mask.StructureSetROISequence = Sequence(names)
    rois = []
    for item in _items(ds, _ROI_CONTOURS):
        roi = Dataset()
        roi.ReferencedROINumber = whole_of(item, _CONTOURED_ROI, 0)
        roi.ContourSequence = Sequence([_contour(contour) for contour in _items(item, _CONTOURS)])
        rois.append(roi)
    mask.ROIContourSequence = Sequence(rois)
    return mask


def _contour(item: Dataset) -> Dataset:
    contour = Dataset()
    kind = text_of(item, _CONTOUR_TYPE)
    contour.ContourGeometricType = kind if kind in _CONTOUR_TYPES else ""
    if _CONTOUR_DATA in item:
        contour[_CONTOUR_DATA] = _decimals(item, _CONTOUR_DATA)
    return contour


def _written(parsed: Parsed, mask: Dataset) -> bytes:
    mask.SOPClassUID = parsed.sop_class_uid
    mask.SOPInstanceUID = pydicom.uid.generate_uid(prefix=None)
    mask.file_meta = FileMetaDataset()
    mask.file_meta.TransferSyntaxUID = pydicom.uid.UID(parsed.transfer_syntax_uid)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, mask, enforce_file_format=True)
    return buffer.getvalue()
