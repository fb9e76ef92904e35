"""Values of a data set's elements, read without converting the elements in place.

`ds[tag]` replaces the raw bytes by a converted element, which then has to be converted back when the data set is written: a
third of the time an instance takes. Elements that are only looked at stay raw here.
"""

import math
import struct
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_TEXT = frozenset("AE AS CS DA DS DT IS LO PN SH TM UC UI".split())


def standard_vr(tag: int) -> str | None:
    """Return the VR of a tag in PS3.6, None when it is unknown there; repeating groups are known."""
    return str(dictionary_VR(tag)) if dictionary_has_tag(tag) else None


def values_of(ds: Dataset, tag: int) -> list[Any]:
    """Return the values of an element, text stripped of padding; empty when it is absent, has none or cannot be read."""
    if tag not in ds:
        return []
    element = ds.get_item(tag)
    if isinstance(element, RawDataElement):
        if not element.value:
            return []
        vr = element.VR or standard_vr(tag)
        if vr in _NUMBERS:
            count = len(element.value) // struct.calcsize(_NUMBERS[vr])
            order = "<" if element.is_little_endian else ">"
            return list(struct.unpack_from(f"{order}{count}{_NUMBERS[vr]}", element.value))
        if vr in _TEXT and element.value.isascii():
            return [part.strip(" \0") for part in element.value.decode("ascii").split("\\")]
        try:
            element = convert_raw_data_element(element, encoding=ds._character_set, ds=ds)
        except Exception:  # pydicom raises many kinds for damaged bytes: a value that cannot be read is none
            return []
    value = element.value
    if value is None:
        return []
    values = list(value) if isinstance(value, (MultiValue, list)) else [value]
    return [one.strip(" \0") if isinstance(one, str) else one for one in values]


def text_of(ds: Dataset, tag: int) -> str:
    """Return the first value of an element as text; empty when there is none."""
    values = values_of(ds, tag)
    return str(values[0]).strip(" \0") if values else ""


def texts_of(ds: Dataset, tag: int) -> tuple[str, ...]:
    """Return the values of an element as text."""
    return tuple(str(value) for value in values_of(ds, tag))


def number_of(ds: Dataset, tag: int) -> float | None:
    """Return the first value of an element, None when there is none or it is not a finite number."""
    values = values_of(ds, tag)
    numbers = _finite(values[:1])
    return numbers[0] if numbers else None


def whole_of(ds: Dataset, tag: int, default: int) -> int:
    """Return the first value of an element as a whole number, ``default`` when there is none."""
    number = number_of(ds, tag)
    return default if number is None else int(number)


def vector_of(ds: Dataset, tag: int, length: int) -> tuple[float, ...] | None:
    """Return all values of an element, None unless they are ``length`` finite numbers."""
    values = values_of(ds, tag)
    numbers = _finite(values)
    return tuple(numbers) if numbers is not None and len(numbers) == length else None


def _finite(values: list[Any]) -> list[float] | None:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None
