"""DICOM in which everything that can hold a canary does: every attribute of the standard's list at every level, in every VR."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from tests.privacy.canaries import AGE, WORDS, Canaries

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[3] / "shared" / "data"))
ORACLE = DATA / "dicom_standard" / "confidentiality_profile_attributes.json"

EDGE = 16
SLICES = 12

KEPT_SEQUENCE, KEPT_INSIDE = 0x52009229, 0x00081140
"""Sequences that stay: what is in them must be cleaned and cannot be thrown away with them."""
_IN_HAND = frozenset({0x00080018, 0x0020000D, 0x0020000E})
"""The UIDs that name an instance; the study sets them."""


def listed_tags() -> list[int]:
    """Return the tags of the standard's list, its pattern rows by examples, without commands and file meta information."""
    rows = [row["id"] for row in json.loads(ORACLE.read_text())]
    tags = [int(row, 16) for row in rows if len(row) == 8 and "x" not in row]
    return [tag for tag in tags if tag > 0x0003FFFF] + [0x50000010, 0x50003000, 0x60000022, 0x60003000, 0x60004000]


def unlisted_tags() -> list[int]:
    """Return the text attributes of the data dictionary that the list does not name: the profile keeps most of them."""
    listed, free = set(listed_tags()), {"LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"}
    known = (tag for tag in pydicom.datadict.DicomDictionary if tag > 0x0003FFFF and tag not in listed)
    return [tag for tag in known if dictionary_VR(tag) in free]


def vr_of(tag: int) -> str:
    """Return the VR of a tag, the first where there is a choice."""
    return dictionary_VR(tag).split(" or ")[0] if dictionary_has_tag(tag) else "LO"


class StudyMaker:
    """Makes studies full of canaries.

    Parameters
    ----------
    canaries
        Makes and remembers them.
    """

    def __init__(self, canaries: Canaries) -> None:
        self._canaries = canaries

    def study(self, name: str, charset: str = "ISO_IR 100", *, whole: bool = True, **changes: Any) -> list[Dataset]:
        """Return the slices of a study that forms a case; of a ``whole`` one the first holds every attribute at every level.

        Parameters
        ----------
        name
            Stands in the origins.
        charset
            Specific Character Set.
        whole
            Without it, each slice only names somebody.
        changes
            Attributes of every slice to replace, by keyword.
        """
        study, series = (self._canaries.uid(f"{name}, {level} UID") for level in ("study", "series"))
        identity = self._identity(name, charset)
        slices = [self._slice(name, number, study, series, identity, charset) for number in range(SLICES)]
        if whole:
            self._fill(slices[0], name, charset)
        for ds in slices:
            for keyword, value in changes.items():
                setattr(ds, keyword, value)
        return slices

    def instance(self, name: str, **changes: Any) -> Dataset:
        """Return one slice that names somebody, with attributes replaced."""
        uids = (self._canaries.uid(f"{name}, {level} UID") for level in ("study", "series"))
        ds = self._slice(name, 0, *uids, self._identity(name, "ISO_IR 100"), "ISO_IR 100")
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
        return ds

    def _slice(
        self, name: str, number: int, study: str, series: str, identity: dict[int, DataElement], charset: str
    ) -> Dataset:
        ds = plain_slice(number, study, series, self._canaries.uid(f"{name}, instance {number} UID"))
        ds.SpecificCharacterSet = ["", charset] if charset == "ISO 2022 IR 87" else charset
        for tag, value in identity.items():
            ds[tag] = value
        self._meta(ds, name)
        return ds

    def element(self, tag: int, name: str, charset: str = "ISO_IR 100", vr: str = "") -> DataElement:
        """Return one attribute with canaries, valid for its VR."""
        vr = vr or vr_of(tag)
        origin = f"{name}, ({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword_for_tag(tag)}"
        return DataElement(tag, vr, self._value(vr, origin, charset))

    def _value(self, vr: str, origin: str, charset: str) -> Any:
        make = self._canaries
        if vr == "SQ":
            item = Dataset()
            item.add(DataElement(0x00081155, "UI", make.uid(f"{origin}, UID inside")))
            item.add(DataElement(0x00104000, "LT", self._text(f"{origin}, comment inside", charset)))
            item.add(DataElement(0x00100010, "PN", self._name(f"{origin}, name inside", charset)))
            return Sequence([item])
        by_vr = {
            "DA": make.date,
            "TM": make.time,
            "DT": make.date_time,
            "UI": make.uid,
            "DS": make.number,
            "IS": make.number,
            "UR": lambda at: f"http://{make.text(at)}.example",
            "PN": lambda at: self._name(at, charset),
            "AS": lambda _at: AGE,
            "AE": make.text,
            "CS": make.text,
            **dict.fromkeys(("OB", "OW", "UN"), lambda at: make.text(at).encode() + b"\0"),
            **dict.fromkeys(("US", "SS", "UL", "SL", "FL", "FD"), lambda _at: 1827),
        }
        return by_vr[vr](origin) if vr in by_vr else self._text(origin, charset, short=vr == "SH")

    def _text(self, origin: str, charset: str, *, short: bool = False) -> str:
        text = self._canaries.text(origin)
        return text if short else f"{text} {WORDS[charset]}"

    def _name(self, origin: str, charset: str) -> str:
        family, given = (self._canaries.text(f"{origin}, {part} name") for part in ("family", "given"))
        if charset == "ISO_IR 100":
            return f"{family}^{given}^{WORDS[charset]}"
        return f"{family}^{given}={WORDS[charset]}^{WORDS[charset]}"

    def _identity(self, name: str, charset: str) -> dict[int, DataElement]:
        tags = (0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00080050, 0x00081030, 0x0008103E, 0x00080080)
        tags += (0x00200052,)  # one frame of reference for all slices
        return {tag: self.element(tag, name, charset) for tag in tags}

    def _fill(self, ds: Dataset, name: str, charset: str) -> None:
        for tag in listed_tags():
            if tag not in ds:
                ds.add(self.element(tag, name, charset))
        inner, outer = Dataset(), Dataset()
        for level, where in ((outer, "one deep"), (inner, "two deep")):
            for tag in listed_tags():
                level.add(self.element(tag, f"{name}, {where}", charset))
            self._private(level, f"{name}, {where}", charset)
        outer[KEPT_INSIDE] = DataElement(KEPT_INSIDE, "SQ", Sequence([inner]))
        ds[KEPT_SEQUENCE] = DataElement(KEPT_SEQUENCE, "SQ", Sequence([outer]))
        for tag in unlisted_tags():
            if tag not in ds:
                ds.add(self.element(tag, f"{name}, not in the list", charset))
        self._private(ds, name, charset)

    def _private(self, ds: Dataset, name: str, charset: str) -> None:
        for group in (0x0009, 0x0029, 0x2001):
            origin = f"{name}, private group {group:04X}"
            block = ds.private_block(group, self._canaries.text(f"{origin}, creator"), create=True)
            nested = Dataset()
            nested.add(self.element(0x00100010, f"{origin}, nested", charset))
            for offset, vr in enumerate(("LO", "PN", "UN", "OB", "UT", "DA", "UI"), 0x10):
                block.add_new(offset, vr, self._value(vr, f"{origin}, {vr}", charset))
            block.add_new(0x40, "SQ", Sequence([nested]))

    def _meta(self, ds: Dataset, name: str) -> None:
        make = self._canaries.text
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for keyword in (
            "SourceApplicationEntityTitle",
            "SendingApplicationEntityTitle",
            "ReceivingApplicationEntityTitle",
        ):
            setattr(ds.file_meta, keyword, make(f"{name}, file meta, {keyword}"))
        ds.file_meta.ImplementationVersionName = make(f"{name}, file meta, implementation version")
        ds.file_meta.PrivateInformationCreatorUID = self._canaries.uid(f"{name}, file meta, private creator")
        ds.file_meta.PrivateInformation = make(f"{name}, file meta, private information").encode() + b"\0"

    def wild(self) -> Iterator[Dataset]:
        """Yield instances whose attributes hold text whatever their VR: nobody checks what a modality writes."""
        tags = [tag for tag in listed_tags() if vr_of(tag) not in ("SQ",) and tag not in _IN_HAND]
        geometry = (0x00200032, 0x00200037, 0x00280030, 0x00281052, 0x00281053, 0x00201041, 0x00080060)
        for number in range(0, len(tags), 25):
            name = f"wild {number}"
            ds = plain_slice(
                0, *(self._canaries.uid(f"{name}, {level} UID") for level in ("study", "series", "instance"))
            )
            for tag in tags[number : number + 25]:
                _put_text(ds, tag, self._canaries.text(f"{name}, ({tag >> 16:04X},{tag & 0xFFFF:04X})"))
            del ds.SliceThickness  # one slice without it forms no case, which would only cost time
            self._meta(ds, name)
            yield ds
        for tag in geometry:
            name = f"wild geometry {keyword_for_tag(tag)}"
            ds = plain_slice(
                0, *(self._canaries.uid(f"{name}, {level} UID") for level in ("study", "series", "instance"))
            )
            _put_text(ds, tag, self._canaries.text(name))
            del ds.SliceThickness  # one slice without it forms no case, which would only cost time
            self._meta(ds, name)
            yield ds


def _put_text(ds: Dataset, tag: int, text: str) -> None:
    vr, value = vr_of(tag), text.encode().ljust(12)
    ds[tag] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), vr, len(value), value, 0, False, True)


def plain_slice(number: int, study: str, series: str, instance: str) -> Dataset:
    """Return an MR slice without anything but its image."""
    ds = Dataset()
    pixels = np.random.default_rng(number).integers(100, 400, EDGE * EDGE, dtype=np.uint16)
    values = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": instance,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Rows": EDGE,
        "Columns": EDGE,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelSpacing": [1, 1],
        "SliceThickness": 1,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, number],
        "PixelData": pixels.astype("<u2").tobytes(),
    }
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def file_of(ds: Dataset) -> bytes:
    """Write a data set as a Part 10 file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()
