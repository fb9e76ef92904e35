"""The file of a site's profile: JSON, read once at the start, and refused with the place of whatever is not understood."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydicom.datadict import tag_for_keyword

from ingest.adapters.values import standard_vr
from ingest.domain.site_profile import (
    STANDARD_SAFE_PRIVATE,
    Dates,
    Document,
    Retained,
    SafePrivate,
    SiteProfile,
)
from radloop.errors import Invalid

_LONGEST_VALUE = 64


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrivateAttribute(_Part):
    """One private attribute, by group, creator, the last two digits of its element, and VR."""

    group: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{4}$")]
    creator: str
    element: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{2}$")]
    vr: str


class SafePrivateList(_Part):
    """Private attributes that are kept."""

    standard: bool = False
    more: tuple[PrivateAttribute, ...] = ()


class ProfileFile(_Part):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,47}$")]
    version: Annotated[int, Field(ge=1, le=999999)]
    dates: Dates = Dates.MODIFIED
    retain: tuple[Retained, ...] = ()
    retain_uids: Literal[False] = False
    safe_private: SafePrivateList = SafePrivateList()
    allowed_values: dict[str, tuple[str, ...]] = {}
    documents: tuple[Document, ...] = ()


def read_site_profile(file: Path) -> SiteProfile:
    """Read a profile file.

    Raises
    ------
    Invalid
        ``profile-unreadable`` where the file is missing or no JSON, else with the place of what is not understood.
    """
    try:
        text = file.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        raise Invalid(
            "profile-unreadable",
            expected="a JSON file, in UTF-8, where INGEST_PROFILE_FILE says",
            got="none" if isinstance(error, OSError) else "something else",
            do="see docs/operate/profile.md",
        ) from error
    try:
        read = ProfileFile.model_validate_json(text)
    except ValidationError as error:
        raise _unclear(error) from error
    return SiteProfile(
        name=read.name,
        version=read.version,
        dates=read.dates,
        retained=frozenset(read.retain),
        safe_private=_safe_private(read.safe_private),
        allowed_values={_tag_of(keyword): _values(keyword, values) for keyword, values in read.allowed_values.items()},
        documents=frozenset(read.documents),
    )


def canonical(site: SiteProfile) -> str:
    """Return what a profile says, as JSON that is the same for the same."""
    said: dict[str, Any] = {
        "dates": site.dates,
        "retain": sorted(site.retained),
        "safe_private": [str(one) for one in sorted(site.safe_private)],
        "allowed_values": {f"{tag:08X}": sorted(values) for tag, values in sorted(site.allowed_values.items())},
        "documents": sorted(site.documents),
    }
    return json.dumps(said, sort_keys=True)


def fingerprint(site: SiteProfile) -> str:
    """Tell one profile from another by what it says: 16 hexadecimal digits."""
    return hashlib.sha256(canonical(site).encode()).hexdigest()[:16]


def _unclear(error: ValidationError) -> Invalid:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    if place == "retain_uids":
        return Invalid(
            "profile-uids",
            expected="retain_uids: false, or not at all",
            got="another value",
            do="UIDs name studies in events, which leave the site: they are always replaced (docs/operate/profile.md)",
        )
    return Invalid(
        "profile-invalid",
        expected=f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}",
        got=f"{str(first['input'])[:60]!r}",
        do="see docs/operate/profile.md",
    )


def _safe_private(given: SafePrivateList) -> tuple[SafePrivate, ...]:
    own = [SafePrivate(int(one.group, 16), one.creator, int(one.element, 16), one.vr) for one in given.more]
    entries = {*(STANDARD_SAFE_PRIVATE if given.standard else ()), *own}
    named = {(one.group, one.creator, one.element) for one in entries}
    if len(named) < len(entries):
        raise Invalid("safe-private-invalid", expected="one VR for each private attribute", got="two for the same")
    return tuple(sorted(entries))


def _tag_of(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise Invalid("profile-attribute", expected="allowed_values: keywords of PS3.6", got=f"{keyword[:60]!r}")
    if standard_vr(tag) in ("SQ", "UI", "DA", "DT", "TM", "OB", "OW", "PN", "UN"):
        raise Invalid(
            "profile-attribute",
            expected="allowed_values: attributes whose value is a short text",
            got=f"{keyword} of VR {standard_vr(tag)}",
        )
    return int(tag)


def _values(keyword: str, values: tuple[str, ...]) -> frozenset[str]:
    if not values or any(not 0 < len(value) <= _LONGEST_VALUE or value != value.strip() for value in values):
        raise Invalid(
            "profile-attribute",
            expected=f"allowed_values.{keyword}: values of 1 to {_LONGEST_VALUE} characters, without spaces around them",
            got="another, or none",
        )
    return frozenset(values)
