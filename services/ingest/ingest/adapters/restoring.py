"""Who a study is about outside, and under which UIDs: read before cleaning, kept encrypted, and put back into what leaves for the archive.

The keyed pseudonyms go one way only, so what is to be restored has to be kept. Nothing here writes to a disk or a log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from ingest.adapters.parsing import Parsed
from ingest.adapters.values import text_of
from radloop.errors import PermanentError

_STUDY_ATTRIBUTES = {
    "PatientName": 0x00100010,
    "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021,
    "PatientBirthDate": 0x00100030,
    "PatientSex": 0x00100040,
    "PatientAge": 0x00101010,
    "StudyDate": 0x00080020,
    "StudyTime": 0x00080030,
    "AccessionNumber": 0x00080050,
    "ReferringPhysicianName": 0x00080090,
    "StudyDescription": 0x00081030,
    "StudyID": 0x00200010,
}
"""By which an archive files an object under a patient and a study (PS3.3 C.7.1.1, C.7.2.1)."""

_REQUIRED = frozenset(
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber ReferringPhysicianName StudyID".split()
)
"""Type 2: present even where nothing is known."""

_DEIDENTIFIED = (
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)

_INSTANCE_UIDS = {
    "sop_instance_uid": 0x00080018,
    "series_instance_uid": 0x0020000E,
    "frame_of_reference_uid": 0x00200052,
}


def study_fields(parsed: Parsed) -> dict[str, Any]:
    """Return what is kept of a study: ``study_instance_uid``, ``patient_id``, ``issuer`` and ``accession_number``, by which it is
    found, and its ``attributes`` by keyword."""
    found = {keyword: text_of(parsed.ds, tag) for keyword, tag in _STUDY_ATTRIBUTES.items()}
    return {
        "study_instance_uid": parsed.study_instance_uid,
        "patient_id": found["PatientID"],
        "issuer": found["IssuerOfPatientID"],
        "accession_number": found["AccessionNumber"],
        "attributes": {keyword: text for keyword, text in found.items() if text},
    }


def instance_fields(parsed: Parsed) -> dict[str, str]:
    """Return what is kept of an instance: its ``sop_instance_uid``, ``series_instance_uid`` and ``frame_of_reference_uid``."""
    return {name: text_of(parsed.ds, tag) for name, tag in _INSTANCE_UIDS.items()}


@dataclass(frozen=True)
class Originals:
    """What a study and its instances were before de-identification; in memory only.

    Attributes
    ----------
    study : Mapping[str, Any]
        As `study_fields`.
    instances : Mapping[str, Mapping[str, str]]
        As `instance_fields`, by the instance's pseudonym.
    """

    study: Mapping[str, Any]
    instances: Mapping[str, Mapping[str, str]]

    def __post_init__(self) -> None:
        if "attributes" not in self.study or not all(self.instances.values()):
            raise not_kept()

    def __repr__(self) -> str:
        return f"Originals of {len(self.instances)} instances"

    def source(self, ds: Dataset) -> Dataset:
        """Return a de-identified instance under its original UIDs, without anything else of the patient or study."""
        original = self.instances[str(ds.SOPInstanceUID)]
        copy = pydicom.Dataset(dict(ds.items()))  # of another data set it would be a view
        if hasattr(ds, "file_meta"):
            copy.file_meta = ds.file_meta
        for keyword in (*_STUDY_ATTRIBUTES, *_DEIDENTIFIED):
            if keyword in copy:
                del copy[keyword]
        copy.StudyInstanceUID = self.study["study_instance_uid"]
        copy.SOPInstanceUID, copy.SeriesInstanceUID = original["sop_instance_uid"], original["series_instance_uid"]
        if original["frame_of_reference_uid"]:
            copy.FrameOfReferenceUID = original["frame_of_reference_uid"]
        return copy

    def identify(self, ds: Dataset) -> None:
        """Put patient and study into an object made of `source`s."""
        for keyword in _DEIDENTIFIED:
            if keyword in ds:
                del ds[keyword]
        ds.SpecificCharacterSet = "ISO_IR 192"
        attributes = self.study["attributes"]
        for keyword in _STUDY_ATTRIBUTES:
            if keyword in attributes or keyword in _REQUIRED:
                setattr(ds, keyword, attributes.get(keyword, ""))


def not_kept() -> PermanentError:
    """Return the error of who asks for the original of what came before it was kept."""
    return PermanentError(
        "originals-not-kept",
        expected="a study received by a release that keeps the original UIDs (encrypted)",
        got="one that was received before",
        do="let the archive send the study once more: what is known already is not stored twice, and its originals are kept then",
    )
