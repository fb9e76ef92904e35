"""Which private attributes of a data set are on the site's safe list (PS3.15 section E.3.10), as they may be kept.

A private attribute is named by its creator: the block it stands in is the one that the creator reserved in this data set
(PS3.5 section 7.8.1). What does not look like its VR is not kept, whoever sent it.
"""

import re
from collections.abc import Mapping

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from ingest.adapters.values import text_of
from ingest.domain.deidentification import Profile
from ingest.domain.site_profile import SafePrivate

_SIZES = {"FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2}
_FORMS = {
    "AS": re.compile(rb"\d{3}[DWMY]"),
    "CS": re.compile(rb"[A-Z0-9_ ]{0,16}(\\[A-Z0-9_ ]{0,16})*"),
    "DS": re.compile(rb"[-+0-9.eE ]{0,16}(\\[-+0-9.eE ]{0,16})*"),
    "IS": re.compile(rb"[-+0-9 ]{0,12}(\\[-+0-9 ]{0,12})*"),
    "UI": re.compile(rb"[0-9.]{0,64}(\\[0-9.]{0,64})*\0?"),
}
_UNDEFINED = 0xFFFFFFFF


def kept_private(ds: Dataset, profile: Profile) -> Mapping[BaseTag, tuple[RawDataElement, SafePrivate | None]]:
    """Return the private elements of one level that may stay, and the creators they need.

    Parameters
    ----------
    ds : pydicom.dataset.Dataset
        As it came; not changed.
    profile : Profile
        With its safe list.

    Returns
    -------
    Mapping
        By tag, the element with the VR of the list, and its entry; None for a creator.
    """
    kept: dict[BaseTag, tuple[RawDataElement, SafePrivate | None]] = {}
    for tag in ds.keys():
        if not tag.is_private or tag.element < 0x1000:
            continue
        creator_tag = Tag(tag.group, tag.element >> 8)
        creator = text_of(ds, creator_tag)
        entry = profile.safe_private(tag.group, creator, tag.element & 0xFF)
        element = ds.get_item(tag) if entry else None
        if entry is None or not isinstance(element, RawDataElement) or not _fits(element, entry.vr):
            continue
        kept[tag] = (element._replace(VR=entry.vr, is_implicit_VR=False), entry)
        kept[creator_tag] = (_creator(creator_tag, creator), None)
    return kept


def _fits(element: RawDataElement, vr: str) -> bool:
    """Whether an element can be of a VR: sent as it or as unknown, and with a value that has its form."""
    if element.length == _UNDEFINED or element.value is None or (element.VR not in (None, "UN", vr)):
        return False
    if vr in _SIZES:
        # The order of the bytes of what was sent as unknown in big endian is anybody's guess.
        guessed = element.VR == "UN" and not element.is_little_endian
        return not guessed and len(element.value) % _SIZES[vr] == 0
    return vr not in _FORMS or _FORMS[vr].fullmatch(element.value) is not None


def _creator(tag: BaseTag, creator: str) -> RawDataElement:
    value = creator.encode("ascii")
    value += b" " * (len(value) % 2)
    return RawDataElement(tag, "LO", len(value), value, 0, False, True)
