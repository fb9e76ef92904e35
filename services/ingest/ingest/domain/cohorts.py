"""Which studies of an archive's answers belong to a cohort: what an archive matched is matched again, and priors are chosen.

Archives may ignore keys they do not know and return more (PS3.4 section C.2.2.1.3); what is returned is identity and stays in memory.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ingest.domain.modalities import term_of
from ingest.domain.pulls import Query

_BESIDE_IMAGES = frozenset("ASMT AU DOC FID KO PLAN PR REG RTDOSE RTPLAN RTRECORD RTSTRUCT RWV SEG SR".split())
"""Modalities that stand beside images and say nothing about what kind of study it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """A study as an archive answered it. All of it is identity; it has no representation that could be logged.

    Attributes
    ----------
    study_date : str
        YYYYMMDD, or empty.
    instances, series : int or None
        Number of Study Related Instances (0020,1208) and Series (0020,1206), where the archive counts them.
    body_parts : frozenset of str
        Of its series; empty where nobody asked or none says.
    sop_classes : tuple of str
        SOP Classes in Study (0008,0062), where the archive says them.
    """

    study_instance_uid: str = field(repr=False)
    patient_id: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)
    study_date: str = field(default="", repr=False)
    study_description: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    modalities: tuple[str, ...] = ()
    instances: int | None = None
    series: int | None = None
    body_parts: frozenset[str] = frozenset()
    sop_classes: tuple[str, ...] = ()


def kind_of(found: Found) -> str:
    """Return the modality a study is counted under: its first that is of images, as a defined term; "OT" where it has none."""
    terms = [term_of(each) for each in found.modalities]
    return next((term for term in terms if term and term not in _BESIDE_IMAGES), "OT")


def matches(found: Found, query: Query) -> bool:
    """Whether a study is what a query asks for, as far as the study level says: all but the body part."""
    first, last = query.dates
    if (first or last) and not (found.study_date and (first or "0") <= found.study_date <= (last or "9")):
        return False
    if query.modality and found.modalities and query.modality not in found.modalities:
        return False
    if query.patient_ids and found.patient_id not in query.patient_ids:
        return False
    if query.accession_numbers and found.accession_number not in query.accession_numbers:
        return False
    return not query.study_description or _like(found.study_description, query.study_description)


def _like(text: str, pattern: str) -> bool:
    """Match with wild cards as PS3.4 section C.2.2.2.4 has them."""
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, text, re.IGNORECASE | re.DOTALL) is not None


def newest(found: Iterable[Found], at_most: int | None) -> list[Found]:
    """Return studies, each once, the newest first, at most so many; in order of UID where the date is the same."""
    by_uid = {study.study_instance_uid: study for study in found}
    ordered = sorted(by_uid.values(), key=lambda study: study.study_instance_uid)
    ordered.sort(key=lambda study: study.study_date, reverse=True)
    return ordered[:at_most]


def priors_of(study: Found, candidates: Iterable[Found], at_most: int) -> list[Found]:
    """Return the newest earlier studies of the same patient, modality and body part.

    Parameters
    ----------
    study : Found
    candidates : iterable of Found
        What the archive has of the patient.
    at_most : int

    Returns
    -------
    list of Found
        None is newer than ``study``, nor it itself. One without a date is no prior, nor is there any for a study without one. Body
        parts are compared where both say one; the issuer, too.
    """
    if not study.patient_id or not study.study_date:
        return []
    same = [
        other
        for other in candidates
        if other.study_instance_uid != study.study_instance_uid
        and other.patient_id == study.patient_id
        and (not other.issuer or not study.issuer or other.issuer == study.issuer)
        and other.study_date
        and other.study_date <= study.study_date
        and kind_of(other) == kind_of(study)
        and (not other.body_parts or not study.body_parts or other.body_parts & study.body_parts)
    ]
    return newest(same, at_most)


def by_kind_and_year(found: Sequence[Found]) -> dict[str, dict[str, int]]:
    """Count studies by modality and year; the year of one without a date is "unknown"."""
    counts: dict[str, dict[str, int]] = {}
    for study in found:
        years = counts.setdefault(kind_of(study), {})
        year = study.study_date[:4] or "unknown"
        years[year] = years.get(year, 0) + 1
    return {kind: dict(sorted(years.items())) for kind, years in sorted(counts.items())}
