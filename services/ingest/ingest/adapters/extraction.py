"""What is read from a data set before it is cleaned: the slice header, relative numbers, routing attributes, who it is about."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset

from ingest.adapters.parsing import Parsed
from ingest.adapters.values import number_of, text_of, texts_of, vector_of, whole_of
from ingest.domain.intensities import SUV_FACTOR, suv_factor
from ingest.domain.modalities import term_of
from ingest.domain.model import FrameHeader, Searched, SliceHeader
from ingest.domain.pseudonyms import PatientIdentity
from ingest.domain.quarantine import suspicion
from ingest.domain.routing import RoutingAttributes

_NUMBERS = {
    "temporal-position": (0x00200100, 0x00209128),
    "trigger-time-ms": (0x00181060, 0x00209153),
    "inversion-time-ms": (0x00180082,),
    "echo-time-ms": (0x00180081,),
    "b-value-s-mm2": (0x00189087,),
    "stack-position": (0x00209057,),
    "instance-number": (0x00200013,),
    "acquisition-number": (0x00200012,),
    "patient-weight-kg": (0x00101030,),
}
"""Numbers that say when or where within the study, never on which day; the first tag that holds one is used."""

_SHARED_GROUPS, _GROUPS_PER_FRAME = 0x52009229, 0x52009230
_PLANE_POSITION, _PLANE_ORIENTATION, _PIXEL_MEASURES, _PIXEL_VALUES = 0x00209113, 0x00209116, 0x00289110, 0x00289145
_NUMBERS_PER_FRAME = {
    "temporal-position": (0x00209111, 0x00209128),
    "trigger-time-ms": (0x00189118, 0x00209153),
    "inversion-time-ms": (0x00189115, 0x00189079),
    "echo-time-ms": (0x00189114, 0x00189082),
    "b-value-s-mm2": (0x00189117, 0x00189087),
    "stack-position": (0x00209111, 0x00209057),
}
"""The same of a frame: the sequence and the attribute in it (PS3.3 C.7.6.16.2, C.8.13.5)."""

_LONGEST_TEXT = 64
"""Characters of a value (PS3.5 section 6.2: LO)."""
_LARGEST_NUMBER = 2**31

_PRIVATE_B_VALUES = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x0043, "GEMS_PARM_01", 0x39),
    (0x2001, "Philips Imaging DD 001", 0x03),
)
_GE_B_VALUE_OFFSET = 1e9
"""GE writes b = 1000 as 1000001000 on newer releases."""


def identity_of(parsed: Parsed) -> PatientIdentity:
    """Return who the instance is about."""
    return PatientIdentity(issuer=text_of(parsed.ds, 0x00100021), patient_id=text_of(parsed.ds, 0x00100020))


def routing_of(parsed: Parsed, called_ae_title: str) -> RoutingAttributes:
    """Return what projects route by."""
    ds = parsed.ds
    return RoutingAttributes(called_ae_title, text_of(ds, 0x00080060), text_of(ds, 0x00180015), text_of(ds, 0x0008103E))


def suspicion_of(parsed: Parsed) -> str | None:
    """Return why a person should look at the pixels first, or None."""
    ds = parsed.ds
    overlays = (tag for tag in ds.keys() if tag.group & 0xFF00 == 0x6000 and tag.elem == 0x0102)
    return suspicion(
        burned_in_annotation=text_of(ds, 0x00280301),
        modality=text_of(ds, 0x00080060),
        sop_class_uid=parsed.sop_class_uid,
        image_type=texts_of(ds, 0x00080008),
        overlay_in_pixels=any(number_of(ds, int(tag)) for tag in overlays),
    )


STUDY_TAGS = (
    "00080020",
    "00080030",
    "00080050",
    "00080090",
    "00081030",
    "00100010",
    "00100020",
    "00100030",
    "00100040",
    "00200010",
)
SERIES_TAGS = ("00080021", "00080031", "00080060", "0008103E", "00180015", "00200011")
"""What is remembered of a study and of a series for DICOMweb."""


def searched_of(cleaned: Dataset) -> Searched:
    """Return what studies are searched by, of a data set that was cleaned."""
    date, time = text_of(cleaned, 0x00080020), text_of(cleaned, 0x00080030)
    return Searched(_described(cleaned, STUDY_TAGS), date[:8], time[:16])


def series_of(cleaned: Dataset) -> dict[str, Any]:
    """Return what series are searched by, as the fields of a `SeriesRecord`, of a data set that was cleaned."""
    number = number_of(cleaned, 0x00200011)
    whole = None if number is None or abs(number) > _LARGEST_NUMBER else int(number)
    return {
        "described": _described(cleaned, SERIES_TAGS),
        "modality": term_of(text_of(cleaned, 0x00080060)),
        "number": whole,
    }


def _described(ds: Dataset, tags: Sequence[str]) -> str:
    values = {tag: text_of(ds, int(tag, 16))[:_LONGEST_TEXT] for tag in tags}
    return json.dumps({tag: value for tag, value in values.items() if value})


def header_of(parsed: Parsed, transfer_syntax_uid: str) -> SliceHeader:
    """Return the slice header of an instance that will be stored in ``transfer_syntax_uid``.

    Its place of the pixel data is filled in when the object is written.
    """
    ds = parsed.ds
    bits_stored = whole_of(ds, 0x00280101, 0)
    header = SliceHeader(
        modality=term_of(text_of(ds, 0x00080060)),
        sop_class_uid=parsed.sop_class_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        image_type=texts_of(ds, 0x00080008),
        rows=whole_of(ds, 0x00280010, 0),
        columns=whole_of(ds, 0x00280011, 0),
        frames=whole_of(ds, 0x00280008, 1),
        samples_per_pixel=whole_of(ds, 0x00280002, 1),
        bits_allocated=whole_of(ds, 0x00280100, 0),
        bits_stored=bits_stored,
        high_bit=whole_of(ds, 0x00280102, bits_stored - 1),
        signed=whole_of(ds, 0x00280103, 0) == 1,
        position_lps_mm=vector_of(ds, 0x00200032, 3),  # type: ignore[arg-type]
        orientation=vector_of(ds, 0x00200037, 6),
        pixel_spacing_mm=vector_of(ds, 0x00280030, 2),  # type: ignore[arg-type]
        slice_step_mm=number_of(ds, 0x00180088) or number_of(ds, 0x00180050),
        rescale_slope=_or(number_of(ds, 0x00281053), 1.0),
        rescale_intercept=_or(number_of(ds, 0x00281052), 0.0),
        numbers=relative_numbers(ds),
    )
    if parsed.is_document:
        return replace(header, rows=0, columns=0, frames=0)
    return replace(header, per_frame=_frame_headers(ds, header))


def _frame_headers(ds: Dataset, header: SliceHeader) -> tuple[FrameHeader, ...]:
    """Return what each frame says of itself (PS3.3 C.7.6.16); nothing where not every one says where it lies."""
    per_frame = _items(ds, _GROUPS_PER_FRAME)
    if len(per_frame) != header.frames:
        return ()
    shared = next(iter(_items(ds, _SHARED_GROUPS)), Dataset())
    found = tuple(_frame_header(shared, own, header) for own in per_frame)
    return found if all(one.position_lps_mm for one in found) else ()


def _frame_header(shared: Dataset, own: Dataset, header: SliceHeader) -> FrameHeader:
    def group(tag: int) -> Dataset:
        return next(iter(_items(own, tag) or _items(shared, tag)), Dataset())

    measures, values = group(_PIXEL_MEASURES), group(_PIXEL_VALUES)
    numbers = {name: number_of(group(groups), tag) for name, (groups, tag) in _NUMBERS_PER_FRAME.items()}
    return FrameHeader(
        position_lps_mm=vector_of(group(_PLANE_POSITION), 0x00200032, 3),  # type: ignore[arg-type]
        orientation=vector_of(group(_PLANE_ORIENTATION), 0x00200037, 6),
        pixel_spacing_mm=vector_of(measures, 0x00280030, 2),  # type: ignore[arg-type]
        slice_step_mm=number_of(measures, 0x00180088) or number_of(measures, 0x00180050),
        rescale_slope=_or(number_of(values, 0x00281053), header.rescale_slope),
        rescale_intercept=_or(number_of(values, 0x00281052), header.rescale_intercept),
        numbers=header.numbers | {name: value for name, value in numbers.items() if value is not None},
    )


def _items(ds: Dataset, tag: int) -> list[Dataset]:
    element = ds.get(tag)
    return list(element.value or ()) if element is not None and element.VR == "SQ" else []


def relative_numbers(ds: Dataset) -> dict[str, float]:
    """Return the fixed list of relative numbers by name; what is absent or not finite is left out.

    Beside those in `_NUMBERS`: ``acquisition-offset-s`` (since Series Time), and for nuclear medicine ``injection-delay-s``
    (from injection to Series Time), ``injected-dose-bq``, ``half-life-s`` and, for PET, `intensities.SUV_FACTOR`.
    """
    numbers = {
        name: next((v for t in tags if (v := number_of(ds, t)) is not None), None) for name, tags in _NUMBERS.items()
    }
    if numbers["b-value-s-mm2"] is None:
        numbers["b-value-s-mm2"] = _private_b_value(ds)
    numbers["acquisition-offset-s"] = _seconds_between(ds, (0x00080021, 0x00080031), ds, (0x00080022, 0x00080032))
    for item in _items(ds, 0x00540016)[:1]:
        numbers["injection-delay-s"] = _seconds_between(item, (None, 0x00181072), ds, (None, 0x00080031))
        numbers["injected-dose-bq"] = number_of(item, 0x00181074)
        numbers["half-life-s"] = number_of(item, 0x00181075)
    known = {name: value for name, value in numbers.items() if value is not None}
    factor = suv_factor(text_of(ds, 0x00541001), known, texts_of(ds, 0x00280051), text_of(ds, 0x00541102))
    return known if factor is None else known | {SUV_FACTOR: factor}


def _private_b_value(ds: Dataset) -> float | None:
    for group, creator, element in _PRIVATE_B_VALUES:
        for block in range(0x10, 0x18):
            if text_of(ds, group << 16 | block) == creator:
                value = number_of(ds, group << 16 | block << 8 | element)
                return value % _GE_B_VALUE_OFFSET if value is not None and group == 0x0043 else value
    return None


def _seconds_between(
    first: Dataset, first_tags: tuple[int | None, int], then: Dataset, then_tags: tuple[int | None, int]
) -> float | None:
    """Seconds from one (date, time) to another; without dates, within one day."""
    start, end = _moment(first, *first_tags), _moment(then, *then_tags)
    if start is None or end is None:
        return None
    seconds = (end - start).total_seconds()
    return seconds % 86400 if first_tags[0] is None else seconds


def _moment(ds: Dataset, date_tag: int | None, time_tag: int) -> datetime | None:
    digits, _, fraction = text_of(ds, time_tag).replace(":", "").partition(".")
    day = text_of(ds, date_tag) if date_tag is not None else ""
    try:
        # A date nobody can read (e.g. 20120000) leaves the times of one day, which is what the offset is mostly within.
        date = (
            datetime.strptime(day, "%Y%m%d")
            if day.isdigit() and day[4:6] > "00" and day[6:] > "00"
            else datetime(2000, 1, 1)
        )
        clock = timedelta(
            hours=int(digits[:2]),
            minutes=int(digits[2:4] or 0),
            seconds=int(digits[4:6] or 0),
            microseconds=int(fraction.ljust(6, "0")[:6]) if fraction else 0,
        )
    except ValueError:
        return None
    return date + clock


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
