"""Writes a mask as DICOM Segmentation on the instances its case was made from, by highdicom.

Whoever calls says who made the mask and under which UIDs; so a reading room writes it on de-identified instances, and the door of the
hospital on those of the archive.
"""

import datetime
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import highdicom as hd
import numpy as np
import pydicom
from highdicom.color import CIELabColor
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from radloop.dicom import binary_frames
from radloop.imaging import SEGMENT_BITS, segment_bit, segment_values, segment_voxels

MANUFACTURER = "radloop"

# Type 1 and 2 attributes that highdicom copies from the source and that de-identification may have removed (PS3.15 E.1-1, action X).
_MAY_BE_REMOVED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)


class Term(Protocol):
    """A concept of a coding scheme, e.g. ("10200004", "SCT", "Liver")."""

    @property
    def value(self) -> str:
        """Return the code value."""
        ...

    @property
    def scheme(self) -> str:
        """Return the coding scheme designator."""
        ...

    @property
    def meaning(self) -> str:
        """Return the code meaning."""
        ...


class Described(Protocol):
    """A segment as each service's domain has it."""

    @property
    def value(self) -> int:
        """Return its value in the mask, 1..255."""
        ...

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    @property
    def color(self) -> str:
        """Return its colour, ``#rrggbb``."""
        ...

    @property
    def type(self) -> Term:
        """Return what it is."""
        ...

    @property
    def category(self) -> Term:
        """Return its category."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """Who made a mask, and what the object that holds it is called.

    Attributes
    ----------
    series_instance_uid, sop_instance_uid : str
    series_number : int
    series_description : str
    content_label : str
        Upper-case letters and digits (CS), e.g. "LABEL".
    model_name : str
        Manufacturer's Model Name (0008,1090).
    algorithm_type : str
        MANUAL, SEMIAUTOMATIC or AUTOMATIC (0062,0008).
    algorithm : tuple of str
        Name and version; empty where no algorithm took part.
    at : datetime.datetime or None
        Date and time of the content; None is now. Given, the same mask gives the same bytes.
    """

    series_instance_uid: str
    sop_instance_uid: str
    series_number: int
    series_description: str
    content_label: str
    model_name: str
    algorithm_type: str = "MANUAL"
    algorithm: tuple[str, str] | tuple[()] = ()
    at: datetime.datetime | None = None


def uid_of(*parts: str) -> str:
    """Return a UID made from a UUID of the parts (PS3.5 B.2), always the same for the same."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ':'.join(parts)).int}"


def segmentation(
    mask: np.ndarray,
    sources: Sequence[pydicom.Dataset],
    frames: Sequence[int],
    segments: Sequence[Described],
    made: Made,
    *,
    label_map: bool = False,
) -> hd.seg.Segmentation:
    """Return a mask as a Segmentation (PS3.3 A.51) or Label Map Segmentation (PS3.3 C.8.20.2.3).

    Parameters
    ----------
    mask : numpy.ndarray
        Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``: columns, rows, slices of the case.
    sources : sequence of pydicom.Dataset
        The K instances the slices came from, in order; the same multi-frame instance K times where they are its frames.
    frames : sequence of int
        Frame of each slice in its instance, from 1.
    segments : sequence of Described
        Those it tells of, at least one, numbered from 1 in this order; values of others are background.
    made : Made
    label_map : bool
        LABELMAP instead of BINARY; not for segment bits.

    Returns
    -------
    highdicom.seg.Segmentation
        Explicit VR Little Endian. BINARY has a frame for each segment and slice, LABELMAP one for each slice; empty frames are left out,
        unless all are empty.
    """
    values = [segment.value for segment in segments]
    described = [_description(n, s, made) for n, s in enumerate(segments, start=1)]
    prepared = _completed(_distinct(sources))
    size = (mask.shape[2], mask.shape[1], mask.shape[0])
    found = set(values).intersection(segment_values(mask))
    # A SEG that is empty keeps its empty frames: highdicom makes these.
    if not label_map and found and len(values) > 1 and size[0] <= size[1] * size[2]:
        seg = _segmentation(prepared, frames, binary_frames.marked(size), described[:1], made)
        binary_frames.fill(seg, mask, values)
        seg.SegmentSequence = described
        seg.SegmentsOverlap = "YES" if mask.dtype == SEGMENT_BITS and _overlap(mask, values) else "NO"
    else:
        seg = _segmentation(prepared, frames, _planes(mask, values), described, made, label_map=label_map)
    _settle(seg, made)
    return seg


def _settle(seg: pydicom.Dataset, made: Made) -> None:
    """Give what highdicom draws at random or reads off the clock values of our own."""
    organization = uid_of("dimensions", made.sop_instance_uid)
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    settle_creation(seg, made.at)


def _segmentation(
    sources: Sequence[pydicom.Dataset],
    frames: Sequence[int],
    planes: np.ndarray,
    described: Sequence[hd.seg.SegmentDescription],
    made: Made,
    *,
    label_map: bool = False,
) -> hd.seg.Segmentation:
    dates: dict[str, Any] = {} if made.at is None else {"content_date": made.at.date(), "content_time": made.at.time()}
    kinds = hd.seg.SegmentationTypeValues
    with warnings.catch_warnings():
        # highdicom warns of an empty label; it is one.
        warnings.simplefilter("ignore", UserWarning)
        return hd.seg.Segmentation(
            source_images=sources,
            pixel_array=planes,
            segmentation_type=kinds.LABELMAP if label_map else kinds.BINARY,
            segment_descriptions=described,
            series_instance_uid=made.series_instance_uid,
            series_number=made.series_number,
            sop_instance_uid=made.sop_instance_uid,
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=made.model_name,
            software_versions="1",
            device_serial_number="0",
            content_label=made.content_label,
            specific_character_set="ISO_IR 192",
            series_description=made.series_description,
            omit_empty_frames=bool(planes.any()),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **dates,
            **_multi_frame_places(sources, frames),
        )


def _overlap(bits: np.ndarray, values: Sequence[int]) -> bool:
    """Whether a voxel of segment bits belongs to two of the segments."""
    wanted = bits[bits != 0] & np.bitwise_or.reduce([segment_bit(value) for value in values])
    wanted = wanted[wanted != 0]
    # Without its lowest bit, one that had a single bit is 0.
    return bool((wanted & (wanted - np.uint32(1))).any())


def settle_creation(ds: pydicom.Dataset, at: datetime.datetime | None) -> None:
    """Set when an object was created, and when each equipment contributed to it; None leaves both."""
    if at is not None:
        ds.InstanceCreationDate, ds.InstanceCreationTime = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
        for equipment in ds.get("ContributingEquipmentSequence", ()):
            equipment.ContributionDateTime = at.strftime("%Y%m%d%H%M%S")


def _planes(mask: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Return a mask as highdicom takes it.

    Returns
    -------
    numpy.ndarray
        Of a label map uint8, shape ``(K, rows, columns)``: 0 or a place in ``values``, from 1. Of segment bits bool, shape
        ``(K, rows, columns, segments)``: those may overlap.
    """
    if mask.dtype == SEGMENT_BITS:
        # Each segment is whole in memory, as it is read: segment by segment.
        return np.moveaxis(np.stack([segment_voxels(mask, value).transpose(2, 1, 0) for value in values]), 0, -1)
    numbers = np.zeros(256, dtype=np.uint8)
    for number, value in enumerate(values, start=1):
        numbers[value] = number
    return numbers[mask.transpose(2, 1, 0)]


def _distinct(sources: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Return each instance once, in order."""
    return list({str(ds.SOPInstanceUID): ds for ds in sources}.values())


def _completed(sources: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Return copies with the attributes highdicom reads.

    Empty where de-identification removed them. Slice Thickness may be empty (type 2): the distance of the slices stands for
    it. One frame of reference, the first slice's: a case was formed of them, so they lie in one space whatever they say.
    """
    completed = []
    for ds in sources:
        copy = pydicom.Dataset(dict(ds.items()))  # of another data set it would be a view
        copy.file_meta = ds.file_meta
        for keyword in _MAY_BE_REMOVED:
            if keyword not in copy:
                setattr(copy, keyword, "" if keyword != "PatientBirthDate" else None)
        if "PerFrameFunctionalGroupsSequence" not in copy:
            if copy.get("SliceThickness") is None:
                copy.SliceThickness = _distance_mm(sources)
            copy.FrameOfReferenceUID = frame_of_reference_uid(sources[0])
        completed.append(copy)
    return completed


def frame_of_reference_uid(ds: pydicom.Dataset) -> str:
    """Return the space an image lies in; where it does not say, its series stands for it."""
    return str(ds.get("FrameOfReferenceUID") or ds.SeriesInstanceUID)


def _distance_mm(slices: Sequence[pydicom.Dataset]) -> float:
    """Return the distance between the first two slices; 1 mm where there is only one."""
    first, second = (
        np.array(ds.ImagePositionPatient, dtype=float) for ds in (slices[0], slices[min(1, len(slices) - 1)])
    )
    return round(float(np.linalg.norm(second - first)), 6) or 1.0


def _multi_frame_places(sources: Sequence[pydicom.Dataset], frames: Sequence[int]) -> dict[str, Any]:
    """Return where the slices stand when they are some frames of one instance; highdicom knows by itself for single frames."""
    if "PerFrameFunctionalGroupsSequence" not in sources[0]:
        return {}
    groups = sources[0].PerFrameFunctionalGroupsSequence
    positions = [groups[frame - 1].PlanePositionSequence[0].ImagePositionPatient for frame in frames]
    return {"plane_positions": [hd.PlanePositionSequence("PATIENT", [float(x) for x in p]) for p in positions]}


def _description(number: int, segment: Described, made: Made) -> hd.seg.SegmentDescription:
    red, green, blue = rgb(segment.color)
    algorithm = None
    if made.algorithm:
        name, version = made.algorithm
        algorithm = hd.AlgorithmIdentificationSequence(
            name=name, version=version, family=codes.DCM.ArtificialIntelligence
        )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name,
        segmented_property_category=code(segment.category),
        segmented_property_type=code(segment.type),
        algorithm_type=made.algorithm_type,
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(red, green, blue),
    )


def rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue (0..255) of ``#rrggbb``."""
    red, green, blue = (int(color[n : n + 2], 16) for n in (1, 3, 5))
    return red, green, blue


def code(term: Term) -> Code:
    """Return a concept as pydicom has it."""
    return Code(term.value, term.scheme, term.meaning)
