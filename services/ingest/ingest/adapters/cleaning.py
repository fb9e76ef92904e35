"""The walk of de-identification: every attribute at every nesting level, in memory, by the profile's action.

Elements stay as raw bytes wherever they are kept, which is both fast and faithful.
"""

import importlib
from functools import cache

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from ingest.adapters.values import standard_vr
from ingest.domain.deidentification import PROFILE_NAME, Action, Profile, dummy, shifted
from ingest.domain.pseudonyms import Pseudonyms
from ingest.domain.reasons import Refused, RejectReason

TABLE_EDITION = "2024b"
NEWEST_EDITION = "2026c"

_CODES = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
}

_METHOD_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)


def table_of(edition: str) -> dict[int, str]:
    """Return the codes of PS3.15 table E.1-1 by tag, as `dicom-anonymizer` carries an edition.

    Rows for repeating groups (four numbers: value and mask) are left to `Profile`, which removes those groups whole.
    """
    module = importlib.import_module(f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{edition}")
    return {
        tag[0] << 16 | tag[1]: code for name, code in _CODES.items() for tag in getattr(module, name) if len(tag) == 2
    }


def load_profile() -> Profile:
    """Return the site's profile: edition 2024b, with the rows that only 2026c has.

    2026c changes no row of 2024b and adds 35, nearly all about gender, pronouns and names to use; a test holds both halves
    of this sentence, so that an update of the package cannot weaken the profile unseen.
    """
    return Profile({**table_of(NEWEST_EDITION), **table_of(TABLE_EDITION)}, standard_vr)


class Cleaner:
    """De-identifies data sets.

    Parameters
    ----------
    profile : Profile
    pseudonyms : Pseudonyms
    """

    def __init__(self, profile: Profile, pseudonyms: Pseudonyms) -> None:
        self._profile, self._pseudonyms = profile, pseudonyms

    def clean(self, ds: Dataset, patient: str, days_back: int) -> None:
        """De-identify a data set in place.

        Parameters
        ----------
        ds : pydicom.dataset.Dataset
            Top level, without Pixel Data.
        patient : str
            Site-wide pseudonym of the patient.
        days_back : int
            Days by which the patient's dates are moved into the past.

        Raises
        ------
        Refused
            UNDECODABLE when a sequence or value that must be read cannot be.
        """
        try:
            self._walk(ds, patient, days_back)
        except Exception as error:  # pydicom raises many kinds for damaged nested bytes
            raise Refused(RejectReason.UNDECODABLE, "a nested data set that cannot be read") from error
        for element in _stamp():
            ds[element.tag] = element

    def _walk(self, ds: Dataset, patient: str, days_back: int) -> None:
        for tag, element in list(ds.items()):
            if element.VR == "UN" and not tag.is_private:
                element = ds[tag]  # pydicom finds the true VR of a known attribute sent as UN
            vr = str(element.VR or "")
            action = self._profile.action(int(tag), vr)
            if action is Action.KEEP:
                if vr == "SQ" or (not vr and standard_vr(int(tag)) == "SQ"):
                    for item in ds[tag].value:
                        self._walk(item, patient, days_back)
                continue
            self._apply(action, ds, tag, vr or standard_vr(int(tag)) or "UN", patient, days_back)

    def _apply(self, action: Action, ds: Dataset, tag: BaseTag, vr: str, patient: str, days_back: int) -> None:
        if action is Action.SHIFT:
            moved = shifted(vr, _text(ds, tag), days_back)
            if moved is not None:
                ds[tag] = _raw(tag, vr, moved)
                return
            action = self._profile.fallback(int(tag), vr)
        if action is Action.REMOVE:
            del ds[tag]
        elif action is Action.EMPTY:
            ds[tag] = DataElement(tag, "SQ", Sequence()) if vr == "SQ" else _raw(tag, vr, "")
        elif action is Action.PATIENT:
            ds[tag] = _raw(tag, vr, f"P-{patient[:16]}")
        elif action is Action.UID or vr == "UI":
            ds[tag] = _raw(tag, "UI", "\\".join(self._uid(part) for part in _text(ds, tag).split("\\")))
        elif vr == "SQ":
            ds[tag] = DataElement(tag, "SQ", Sequence([Dataset()]))
        else:
            value = dummy(vr)
            ds[tag] = _raw(tag, vr, value) if isinstance(value, str) else DataElement(tag, vr, value)

    def _uid(self, original: str) -> str:
        original = original.strip(" \0")
        return self._pseudonyms.uid(original) if original else ""


def _text(ds: Dataset, tag: BaseTag) -> str:
    """Return an element's value as text without judging it: several values joined by a backslash."""
    element = ds.get_item(tag)
    value = element.value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("ascii", "replace").strip(" \0")
    return "\\".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)


def _raw(tag: BaseTag, vr: str, value: str) -> RawDataElement:
    data = value.encode("ascii")
    if len(data) % 2:
        data += b"\0" if vr == "UI" else b" "
    return RawDataElement(tag, vr, len(data), data, 0, False, True)


@cache
def _stamp() -> tuple[RawDataElement, ...]:
    """Return what records the de-identification in the object (PS3.15 section E.1.1, PS3.3 C.12.1.1.1, C.7.6.3.1)."""
    codes = []
    for value, meaning in _METHOD_CODES:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        codes.append(item)
    method = [PROFILE_NAME, f"PS3.15 E.1-1 {TABLE_EDITION} with rows of {NEWEST_EDITION}"]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_sequence(buffer, DataElement(0x00120064, "SQ", Sequence(codes)), ["iso8859"])
    encoded = buffer.getvalue()
    return (
        _raw(Tag(0x00120062), "CS", "YES"),
        _raw(Tag(0x00120063), "LO", "\\".join(method)),
        RawDataElement(Tag(0x00120064), "SQ", len(encoded), encoded, 0, False, True),
        _raw(Tag(0x00280303), "CS", "MODIFIED"),
    )
