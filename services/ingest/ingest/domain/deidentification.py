"""Which action an attribute gets: PS3.15 Annex E, Basic Profile with Retain Longitudinal Temporal Information, Modified Dates,
and with the options that the site's profile takes beyond (`site_profile`).

Pure rules: tag and VR in, action out. The table's rows come from outside (`adapters.profile` reads them from
`dicom-anonymizer`); the walk over data sets is `adapters.cleaning`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from enum import StrEnum

from ingest.domain.site_profile import Dates, SafePrivate, SiteProfile
from radloop.errors import Invalid

PROFILE_NAME = "radloop profile 1"

TEMPORAL_VRS = frozenset({"DA", "DT", "TM"})
_TEXT_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})

# Column "Rtn. Long. Modif. Dates Opt." names every date and time of the table but these three; they follow the Basic
# Profile. The test over `dicom_standard` checks both halves of that sentence.
_NOT_RETAINED = frozenset({0x00100030, 0x00100032, 0x00160077})  # birth date, birth time, GPS time stamp

PATIENT_NAME, PATIENT_ID = 0x00100010, 0x00100020


class Action(StrEnum):
    """What happens to one attribute."""

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "dummy"
    UID = "uid"
    """Replaced by the keyed pseudonym of the UID."""
    SHIFT = "shift"
    """A date moved by the patient's days; what cannot be read as a date gets the Basic Profile's action instead."""
    PATIENT = "patient"
    """Replaced by the patient's pseudonym."""
    LISTED = "listed"
    """Kept where the site's profile lists the value; any other gets the Basic Profile's action."""


_ACTION_OF_CODE = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.UID,
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    # A sequence of references: kept, and the UIDs inside are replaced by the walk.
    "X/Z/U*": Action.KEEP,
}
"""Where the standard leaves the choice to the attribute's type, the one that is valid for every type and says nothing."""


class Profile:
    """The action table.

    Parameters
    ----------
    codes : Mapping[int, str]
        Action code of PS3.15 table E.1-1 by tag (``0xGGGGEEEE``): "X", "Z", "D", "U", "X/Z", ...
    dictionary_vr : callable
        VR of a standard tag by PS3.6, or None for a tag the dictionary does not know.
    site : SiteProfile, optional
        What the site chose; nothing unless given.

    Raises
    ------
    Invalid
        When a code is unknown: a newer table needs a newer release.
    """

    def __init__(
        self, codes: Mapping[int, str], dictionary_vr: Callable[[int], str | None], site: SiteProfile | None = None
    ) -> None:
        if unknown := sorted(set(codes.values()) - set(_ACTION_OF_CODE)):
            raise Invalid("profile-code-unknown", expected=", ".join(_ACTION_OF_CODE), got=", ".join(unknown))
        self.site = site or SiteProfile()
        self._codes = dict(codes)
        self._kept = self.site.kept
        self._safe_private = {(one.group, one.creator, one.element): one for one in self.site.safe_private}
        self._dictionary_vr = dictionary_vr
        self._decided: dict[tuple[int, str], Action] = {}

    def action(self, tag: int, vr: str) -> Action:
        """Return what to do with an attribute; ``vr`` is empty where the encoding does not say it."""
        key = (tag, vr)
        if key not in self._decided:
            self._decided[key] = self._decide(tag, vr or self._dictionary_vr(tag) or "UN")
        return self._decided[key]

    def fallback(self, tag: int, vr: str) -> Action:
        """Return the Basic Profile's action, for a date or time that cannot be read or a value that is not listed."""
        action = _ACTION_OF_CODE[self._codes[tag]] if tag in self._codes else Action.REMOVE
        return Action.REMOVE if action is Action.KEEP else action

    def is_listed(self, tag: int, value: str) -> bool:
        """Whether the site lets a value of an attribute stay; several values are separated by a backslash."""
        return value in self.site.allowed_values.get(tag, ())

    def safe_private(self, group: int, creator: str, element: int) -> SafePrivate | None:
        """Return the entry of the safe list for a private attribute, None when it is not on it.

        ``element`` holds the last two digits of the element number.
        """
        return self._safe_private.get((group, creator, element))

    @property
    def keeps_private(self) -> bool:
        """Whether there is a safe list at all."""
        return bool(self._safe_private)

    def _decide(self, tag: int, vr: str) -> Action:
        group, element = tag >> 16, tag & 0xFFFF
        # Private attributes; group lengths, wrong after any change; commands and file meta, which are written anew.
        if group % 2 or element == 0 or group < 0x0004:
            return Action.REMOVE
        # Repeating groups (rows 50xx,xxxx and 60xx,3000/4000). An overlay without its data is no overlay: all of it goes.
        if 0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF:
            return Action.REMOVE
        if tag in (PATIENT_NAME, PATIENT_ID):
            return Action.PATIENT
        known_vr = self._dictionary_vr(tag)
        temporal = (known_vr or vr) in TEMPORAL_VRS
        if temporal and (tag in self._codes or self.site.dates is Dates.NONE):
            return self._temporal(tag, vr)
        if tag in self._kept:
            return Action.KEEP
        if tag in self._codes:
            if tag in self.site.allowed_values:
                return Action.LISTED
            return _for_sequences(self._codes[tag]) if "SQ" in (known_vr, vr) else _ACTION_OF_CODE[self._codes[tag]]
        # Not in the table: kept, unless it could name somebody without the table's authors having seen it.
        if known_vr is None or vr == "UN" or "PN" in (known_vr, vr):
            return Action.REMOVE
        return Action.KEEP

    def _temporal(self, tag: int, vr: str) -> Action:
        if tag in _NOT_RETAINED:
            return self.fallback(tag, vr)
        # Without dates of the patient, those of a device give no interval away.
        return Action.SHIFT if self.site.dates is not Dates.NONE or tag in self._kept else self.fallback(tag, vr)

    @property
    def moves_dates(self) -> bool:
        """Whether what is shifted is moved by the patient's days; else by none, which keeps it if it is a date at all."""
        return self.site.dates is Dates.MODIFIED


def _for_sequences(code: str) -> Action:
    if code == "X/Z/U*":
        return Action.KEEP
    if "Z" in code:
        return Action.EMPTY
    return Action.REMOVE if "X" in code else Action.DUMMY


def dummy(vr: str) -> str | int | float | bytes:
    """Return a non-empty value of a VR that says nothing. UI and SQ have no such constant: the walk makes theirs.

    Raises
    ------
    Invalid
        When the VR has no dummy.
    """
    if vr in _TEXT_VRS:
        return "ANONYMIZED"
    if vr in _DUMMIES:
        return _DUMMIES[vr]
    raise Invalid("no-dummy", expected=f"one of {', '.join(sorted(_TEXT_VRS | set(_DUMMIES)))}", got=vr)


_DUMMIES: dict[str, str | int | float | bytes] = {
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "DS": "0",
    "IS": "0",
    "UR": "http://anonymized.invalid",
    **dict.fromkeys(("SS", "US", "SL", "UL", "SV", "UV"), 0),
    **dict.fromkeys(("FL", "FD"), 0.0),
    **dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "UN"), bytes(8)),
}

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TIME = re.compile(r"\d{2}(:?\d{2}(:?\d{2}(\.\d{1,6})?)?)?")
_DATE_TIME = re.compile(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)")


def shifted(vr: str, value: str, days_back: int) -> str | None:
    """Move a date into the past by whole days; times of day stay, so that all intervals of a patient are true.

    Parameters
    ----------
    vr : str
        "DA", "DT" or "TM".
    value : str
        As it stands in the data set, several values separated by a backslash; padding allowed.
    days_back : int
        Days into the past.

    Returns
    -------
    str or None
        None when any of the values is no date or time of its VR (PS3.5 table 6.2-1); empty stays empty.
    """
    moved = [_shifted_one(vr, part.strip(" \0"), days_back) for part in value.split("\\")]
    return None if any(part is None for part in moved) else "\\".join(part for part in moved if part is not None)


def _shifted_one(vr: str, value: str, days_back: int) -> str | None:
    if not value:
        return ""
    if vr == "TM":
        return value if _TIME.fullmatch(value) else None
    match = (_DATE if vr == "DA" else _DATE_TIME).fullmatch(value)
    if match is None:
        return None
    digits = "".join(match.groups()) if vr == "DA" else match[1]
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) - timedelta(days=days_back)
    except (ValueError, OverflowError):
        return None
    return f"{day:%Y%m%d}".rjust(8, "0") + ("" if vr == "DA" else match[2])
