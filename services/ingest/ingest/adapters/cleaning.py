"""The walk of de-identification: every attribute at every nesting level, in memory, by the profile's action.

Elements stay as raw bytes wherever they are kept, which is both fast and faithful.
"""

import importlib
from functools import cache, lru_cache

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from ingest.adapters.safe_private import kept_private
from ingest.adapters.values import standard_vr, text_of, texts_of
from ingest.domain import profile_columns as columns
from ingest.domain.changes import PRIVATE_KEPT, Changes
from ingest.domain.deidentification import PROFILE_NAME, Action, Profile, dummy, shifted
from ingest.domain.pseudonyms import Pseudonyms
from ingest.domain.reasons import Refused, RejectReason
from ingest.domain.site_profile import TEMPORAL_STATE, Dates, SafePrivate, SiteProfile

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

_CONTENT = columns.STRUCTURED_CONTENT | columns.GRAPHICS
_WORDS = frozenset(("LO", "LT", "SH", "ST", "UC", "UR", "UT"))
_STANDARD_SCHEMES = frozenset("BI DCM FMA I10 ICD10 ICDO3 LN MA NCIt RADLEX SCT SNM3 SRT UCUM UMLS".split())
"""Coding Scheme Designators of PS3.16 section 8: the words of their codes are the scheme's. A local scheme's may be anybody's."""


def table_of(edition: str) -> dict[int, str]:
    """Return the codes of PS3.15 table E.1-1 by tag, as `dicom-anonymizer` carries an edition.

    Rows for repeating groups (four numbers: value and mask) are left to `Profile`, which removes those groups whole.
    """
    module = importlib.import_module(f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{edition}")
    return {
        tag[0] << 16 | tag[1]: code for name, code in _CODES.items() for tag in getattr(module, name) if len(tag) == 2
    }


def load_profile(site: SiteProfile | None = None) -> Profile:
    """Return the site's profile: edition 2024b, with the rows that only 2026c has; and with what the site chose.

    2026c changes no row of 2024b and adds 35, nearly all about gender, pronouns and names to use; a test holds both halves
    of this sentence, so that an update of the package cannot weaken the profile unseen.
    """
    return Profile({**table_of(NEWEST_EDITION), **table_of(TABLE_EDITION)}, standard_vr, site)


class Cleaner:
    """De-identifies one data set.

    Parameters
    ----------
    profile : Profile
    pseudonyms : Pseudonyms
    """

    def __init__(self, profile: Profile, pseudonyms: Pseudonyms) -> None:
        self._profile, self._pseudonyms = profile, pseudonyms
        self._done: dict[str, set[int]] = {}
        self._private_kept: set[SafePrivate] = set()

    def clean(self, ds: Dataset, patient: str, days_back: int, *, document: bool = False) -> Changes:
        """De-identify a data set in place, and return what was done.

        Parameters
        ----------
        ds : pydicom.dataset.Dataset
            Top level, without Pixel Data.
        patient : str
            Site-wide pseudonym of the patient.
        days_back : int
            Days by which the patient's dates are moved into the past, where the site's profile has them moved.
        document : bool
            A report, a key object selection, a presentation state: what people wrote in it is replaced as well.

        Raises
        ------
        Refused
            UNDECODABLE when a sequence or value that must be read cannot be.
        """
        site = self._profile.site
        try:
            self._walk(ds, patient, days_back if self._profile.moves_dates else 0, document)
        except Exception as error:  # pydicom raises many kinds for damaged nested bytes
            raise Refused(RejectReason.UNDECODABLE, "a nested data set that cannot be read") from error
        for element in _stamp(site.label, site.method_codes, TEMPORAL_STATE[site.dates]):
            ds[element.tag] = element
        return self._changes(site)

    def _changes(self, site: SiteProfile) -> Changes:
        done = tuple((action, frozenset(tags)) for action, tags in self._done.items())
        return _changes(site.label, site.method_codes, frozenset(done), frozenset(self._private_kept))

    def _walk(self, ds: Dataset, patient: str, days_back: int, document: bool) -> None:
        """Clean one level; in a ``document`` words that are no standard code's go, too."""
        safe = kept_private(ds, self._profile) if self._profile.keeps_private else {}
        words = document and text_of(ds, 0x00080102) not in _STANDARD_SCHEMES
        for tag, element in list(ds.items()):
            if tag in safe:
                self._keep_private(ds, tag, safe[tag], days_back)
                continue
            if element.VR == "UN" and not tag.is_private:
                element = ds[tag]  # pydicom finds the true VR of a known attribute sent as UN
            vr = str(element.VR or "")
            action = self._profile.action(int(tag), vr)
            if action is Action.LISTED:
                listed = self._profile.is_listed(int(tag), "\\".join(texts_of(ds, int(tag))))
                action = Action.KEEP if listed else self._profile.fallback(int(tag), vr)
            elif action is Action.KEEP and words and (vr or standard_vr(int(tag))) in _WORDS:
                action = Action.DUMMY
            if action is Action.KEEP:
                self._note(action, tag)
                if vr == "SQ" or (not vr and standard_vr(int(tag)) == "SQ"):
                    for item in ds[tag].value:
                        self._walk(item, patient, days_back, document or int(tag) in _CONTENT)
                continue
            self._apply(action, ds, tag, vr or standard_vr(int(tag)) or "UN", patient, days_back)

    def _note(self, action: str, tag: int) -> None:
        self._done.setdefault(action, set()).add(tag)

    def _keep_private(
        self, ds: Dataset, tag: BaseTag, found: tuple[RawDataElement, SafePrivate | None], days_back: int
    ) -> None:
        """Put a private attribute of the safe list in its place; its dates and UIDs are treated as everybody's."""
        element, entry = found
        ds[tag] = element
        if entry is None:  # the creator
            return
        if entry.vr == "UI":
            ds[tag] = self._uids(ds, tag)
        elif entry.vr in ("DA", "DT", "TM"):
            moved = None if self._profile.site.dates is Dates.NONE else shifted(entry.vr, _text(ds, tag), days_back)
            if moved is None:
                del ds[tag]
                self._note(Action.REMOVE, tag)
                return
            ds[tag] = _raw(tag, entry.vr, moved)
        self._private_kept.add(entry)

    def _apply(self, action: Action, ds: Dataset, tag: BaseTag, vr: str, patient: str, days_back: int) -> None:
        if action is Action.SHIFT:
            moved = shifted(vr, _text(ds, tag), days_back)
            if moved is not None:
                ds[tag] = _raw(tag, vr, moved)
                self._note(Action.SHIFT if days_back else Action.KEEP, tag)
                return
            action = self._profile.fallback(int(tag), vr)
        self._note(action, tag)
        if action is Action.REMOVE:
            del ds[tag]
        elif action is Action.EMPTY:
            ds[tag] = DataElement(tag, "SQ", Sequence()) if vr == "SQ" else _raw(tag, vr, "")
        elif action is Action.PATIENT:
            ds[tag] = _raw(tag, vr, f"P-{patient[:16]}")
        elif action is Action.UID or vr == "UI":
            ds[tag] = self._uids(ds, tag)
        elif vr == "SQ":
            ds[tag] = DataElement(tag, "SQ", Sequence([Dataset()]))
        else:
            value = dummy(vr)
            ds[tag] = _raw(tag, vr, value) if isinstance(value, str) else DataElement(tag, vr, value)

    def _uids(self, ds: Dataset, tag: BaseTag) -> RawDataElement:
        return _raw(tag, "UI", "\\".join(self._uid(part) for part in _text(ds, tag).split("\\")))

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


@lru_cache(maxsize=1024)
def _changes(
    label: str,
    method_codes: tuple[tuple[str, str], ...],
    done: frozenset[tuple[str, frozenset[int]]],
    private_kept: frozenset[SafePrivate],
) -> Changes:
    """Put together what was done to an instance; the same was done to most of a series, so it is made once."""
    attributes = {action: tuple(sorted({_named(tag) for tag in tags})) for action, tags in done}
    if private_kept:
        attributes[PRIVATE_KEPT] = tuple(str(one) for one in sorted(private_kept))
    profile = ", ".join(part for part in (PROFILE_NAME, label) if part)
    return Changes(profile, tuple(code for code, _ in method_codes), attributes)


def _named(tag: int) -> str:
    """Return a tag's eight digits, or its group where the data dictionary does not know it."""
    return f"{tag:08X}" if standard_vr(tag) else f"{tag >> 16:04X}xxxx"


@cache
def _stamp(label: str, method_codes: tuple[tuple[str, str], ...], temporal: str) -> tuple[RawDataElement, ...]:
    """Return what records the de-identification in the object (PS3.15 section E.1.1, PS3.3 C.12.1.1.1, C.7.6.3.1)."""
    codes = []
    for value, meaning in method_codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        codes.append(item)
    method = [PROFILE_NAME, *([label] if label else []), f"PS3.15 E.1-1 {TABLE_EDITION} with rows of {NEWEST_EDITION}"]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_sequence(buffer, DataElement(0x00120064, "SQ", Sequence(codes)), ["iso8859"])
    encoded = buffer.getvalue()
    return (
        _raw(Tag(0x00120062), "CS", "YES"),
        _raw(Tag(0x00120063), "LO", "\\".join(method)),
        RawDataElement(Tag(0x00120064), "SQ", len(encoded), encoded, 0, False, True),
        _raw(Tag(0x00280303), "CS", temporal),
    )
