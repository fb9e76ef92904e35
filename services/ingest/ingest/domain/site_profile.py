"""What a site chose beyond the Basic Profile: the options of PS3.15 Annex E that it takes, and what it lets in.

Read from a file by `adapters.site_profile`; obeyed by `deidentification` and `adapters.cleaning`. Nothing chosen is today's
behaviour, byte for byte.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from ingest.domain import profile_columns as columns
from radloop.errors import Invalid


class Dates(StrEnum):
    """What becomes of dates and times (PS3.15 section E.3.6)."""

    MODIFIED = "modified"
    """Moved by the patient's days, so that all intervals of a patient stay."""
    FULL = "full"
    """As they came."""
    NONE = "none"
    """As the Basic Profile has it: removed, emptied or replaced."""


class Retained(StrEnum):
    """What may be kept of the patient, the device and the place (PS3.15 sections E.3.7, E.3.8, E.3.11)."""

    PATIENT_CHARACTERISTICS = "patient-characteristics"
    DEVICE_IDENTITY = "device-identity"
    INSTITUTION_IDENTITY = "institution-identity"


class Document(StrEnum):
    """Objects without pixels that may be let in; everything else without pixels is refused."""

    STRUCTURED_REPORTS = "structured-reports"
    KEY_OBJECTS = "key-objects"
    PRESENTATION_STATES = "presentation-states"


SAFE_VRS = frozenset("AS CS DA DS DT FD FL IS LO SH SL SS TM UI UL US".split())
"""VRs that a private attribute of a safe list may have: of the others nobody can say what is in them."""


@dataclass(frozen=True, slots=True, order=True)
class SafePrivate:
    """A private attribute that says nothing of anybody.

    Attributes
    ----------
    group : int
        Odd.
    creator : str
        Value of its private creator element.
    element : int
        Last two digits of the element number, 0x00 to 0xFF: the block is wherever the creator reserved it.
    vr : str
        The VR it must have; one of `SAFE_VRS`.

    Raises
    ------
    Invalid
        ``safe-private-invalid``.
    """

    group: int
    creator: str
    element: int
    vr: str

    def __post_init__(self) -> None:
        if self.group % 2 == 0 or not 0 <= self.element <= 0xFF or not 0x0009 <= self.group <= 0xFFFF:
            raise Invalid(
                "safe-private-invalid", expected="an odd group from 0009 and an element of two digits", got=str(self)
            )
        if not re.fullmatch(r"[ -\[\]-~]{1,64}", self.creator) or self.creator != self.creator.strip():
            raise Invalid(
                "safe-private-invalid", expected="a creator of 1 to 64 ASCII characters, no backslash", got=str(self)
            )
        if self.vr not in SAFE_VRS:
            raise Invalid(
                "safe-private-invalid",
                expected=f"a VR of {', '.join(sorted(SAFE_VRS))}",
                got=str(self),
                do="leave it out: nobody can say what a sequence, long text, a name or plain bytes hold",
            )

    def __str__(self) -> str:
        return f"({self.group:04X},xx{self.element:02X}) {self.creator} {self.vr}"


@dataclass(frozen=True)
class SiteProfile:
    """The choices of one site.

    Attributes
    ----------
    name : str
        Empty: nothing was chosen. Else it stands, with the version, in every object cleaned under it.
    version : int
        Grows whenever anything below changes.
    dates : Dates
    retained : frozenset of Retained
    safe_private : tuple of SafePrivate
    allowed_values : Mapping of int to frozenset of str
        By tag, the values that may stay as they are; any other gets the Basic Profile's action.
    documents : frozenset of Document

    Raises
    ------
    Invalid
        ``profile-attribute``: a value is allowed for an attribute that no option taken would clean.
    """

    name: str = ""
    version: int = 1
    dates: Dates = Dates.MODIFIED
    retained: frozenset[Retained] = frozenset()
    safe_private: tuple[SafePrivate, ...] = ()
    allowed_values: Mapping[int, frozenset[str]] = field(default_factory=dict)
    documents: frozenset[Document] = frozenset()

    def __post_init__(self) -> None:
        if foreign := sorted(set(self.allowed_values) - self.cleanable):
            raise Invalid(
                "profile-attribute",
                expected="attributes that PS3.15 table E.1-1 has cleaned (C) under Clean Descriptors or an option retained",
                got=", ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in foreign),
                do="take them out of allowed_values, or retain what they belong to",
            )

    @property
    def label(self) -> str:
        """Name and version, as they are recorded; empty where nothing was chosen."""
        return f"{self.name} {self.version}" if self.name else ""

    @cached_property
    def kept(self) -> frozenset[int]:
        """Tags that stay as they came because an option says so; sequences among them are walked."""
        kept: frozenset[int] = frozenset()
        for what in self.retained:
            kept |= _KEPT[what]
        if self.documents & {Document.STRUCTURED_REPORTS, Document.KEY_OBJECTS}:
            kept |= columns.STRUCTURED_CONTENT
        if Document.PRESENTATION_STATES in self.documents:
            kept |= columns.GRAPHICS
        return kept

    @property
    def cleanable(self) -> frozenset[int]:
        """Tags whose values the site may allow one by one."""
        tags = columns.DESCRIPTORS
        for what in self.retained:
            tags |= _TEXT.get(what, frozenset())
        return tags - self.kept

    @cached_property
    def method_codes(self) -> tuple[tuple[str, str], ...]:
        """Code and meaning of each option taken, for (0012,0064): PS3.16 CID 7050."""
        taken = {
            "113100": True,
            "113103": Document.PRESENTATION_STATES in self.documents,
            "113104": bool(self.documents & {Document.STRUCTURED_REPORTS, Document.KEY_OBJECTS}),
            "113105": bool(self.allowed_values),
            "113106": self.dates is Dates.FULL,
            "113107": self.dates is Dates.MODIFIED,
            "113108": Retained.PATIENT_CHARACTERISTICS in self.retained,
            "113109": Retained.DEVICE_IDENTITY in self.retained,
            "113111": bool(self.safe_private),
            "113112": Retained.INSTITUTION_IDENTITY in self.retained,
        }
        return tuple((code, meaning) for code, meaning in _MEANINGS.items() if taken[code])


_KEPT = {
    Retained.PATIENT_CHARACTERISTICS: columns.PATIENT_CHARACTERISTICS,
    Retained.DEVICE_IDENTITY: columns.DEVICE_IDENTITY,
    Retained.INSTITUTION_IDENTITY: columns.INSTITUTION_IDENTITY,
}
_TEXT = {
    Retained.PATIENT_CHARACTERISTICS: columns.PATIENT_CHARACTERISTICS_TEXT,
    Retained.DEVICE_IDENTITY: columns.DEVICE_IDENTITY_TEXT,
}
_MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}

TEMPORAL_STATE = {Dates.MODIFIED: "MODIFIED", Dates.FULL: "UNMODIFIED", Dates.NONE: "REMOVED"}
"""Longitudinal Temporal Information Modified (0028,0303), by PS3.15 section E.3.6."""

STANDARD_SAFE_PRIVATE = tuple(
    SafePrivate(int(group, 16), creator, int(element, 16), vr)
    for group, creator, elements in (
        ("7053", "Philips PET Private Group", "00 DS, 09 DS"),
        ("2001", "Philips Imaging DD 001", "03 FL, 04 CS"),
        ("2005", "Philips MR Imaging DD 001", "0D FL, 0E FL"),
        ("0019", "SIEMENS MR HEADER", "0C IS, 0D CS, 0E FD, 27 FD"),
        ("00E1", "ELSCINT1", "21 DS"),
        ("01F1", "ELSCINT1", "01 CS, 07 DS, 26 DS, 27 DS"),
        ("0019", "GEMS_ACQU_01", "23 DS, 24 DS, 27 DS, 9E LO"),
        ("0025", "GEMS_SERS_01", "07 SL"),
        ("0043", "GEMS_PARM_01", "27 SH, 39 IS, 6F DS"),
        ("0045", "GEMS_HELIOS_01", "01 SS, 02 FL"),
    )
    for element, vr in (each.split() for each in elements.split(", "))
)
"""What MR, CT and PET need of PS3.15 table E.3.10-1; its rows for ultrasound and mammography become no case here."""
