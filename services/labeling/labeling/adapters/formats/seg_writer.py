"""Writes a label as DICOM SEG on the de-identified instances its case was made from, by highdicom."""

import uuid
import warnings
from collections.abc import Sequence

import highdicom as hd
import numpy as np
import pydicom
from highdicom.color import CIELabColor
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from labeling.domain.messages import CodedTerm, Segment
from labeling.domain.model import LabelVersion, Project
from radloop.imaging import SEGMENT_BITS, segment_voxels
from radloop.references import SegmentState

_MANUFACTURER = "radloop"
_SERIES_NUMBER = 900

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


def write_seg(
    array: np.ndarray,
    sources: Sequence[pydicom.Dataset],
    frames: Sequence[int],
    label: LabelVersion,
    project: Project,
) -> bytes:
    """Return a label as a DICOM SEG file (Segmentation Storage, BINARY; PS3.3 A.51).

    Parameters
    ----------
    array : numpy.ndarray
        Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``: columns, rows, slices of the case.
    sources : sequence of pydicom.Dataset
        The K instances the slices came from, in order; the same multi-frame instance K times where they are its frames.
    frames : sequence of int
        Frame of each slice in its instance, from 1.
    label : LabelVersion
        Its segments that are not annotated are left out; its id makes the UIDs, so that a repeat names the same object.
    project : Project

    Returns
    -------
    bytes
        A frame for each segment and slice, segments numbered from 1 in the order of the project's values. Empty frames are left
        out, unless all are empty.
    """
    stated = {status.value: status.state for status in label.segments}
    known = sorted(project.segments, key=lambda segment: segment.value)
    looked_for = [s for s in known if stated.get(s.value, SegmentState.ANNOTATED) is not SegmentState.NOT_ANNOTATED]
    segments = looked_for or known
    planes = _planes(array, [segment.value for segment in segments])
    prepared = _completed(_distinct(sources))
    with warnings.catch_warnings():
        # highdicom warns of an empty label; it is one.
        warnings.simplefilter("ignore", UserWarning)
        seg = hd.seg.Segmentation(
            source_images=prepared,
            pixel_array=planes,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(n, s, label) for n, s in enumerate(segments, start=1)],
            series_instance_uid=_uid("series", label.label_version_id),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=_uid("instance", label.label_version_id),
            instance_number=1,
            manufacturer=_MANUFACTURER,
            manufacturer_model_name="labeling",
            software_versions="1",
            device_serial_number="0",
            content_label="LABEL",
            specific_character_set="ISO_IR 192",
            series_description="Label, for research use only",
            omit_empty_frames=bool(planes.any()),
            **_multi_frame_places(prepared, frames),
        )
        buffer = pydicom.filebase.DicomBytesIO()
        seg.save_as(buffer)
    return buffer.getvalue()


def _planes(array: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Return a mask as highdicom takes it.

    Returns
    -------
    numpy.ndarray
        Of a label map uint8, shape ``(K, rows, columns)``: 0 or a place in ``values``, from 1. Of segment bits bool, shape
        ``(K, rows, columns, segments)``: those may overlap.
    """
    if array.dtype == SEGMENT_BITS:
        # Each segment is whole in memory, as it is read: segment by segment.
        return np.moveaxis(np.stack([segment_voxels(array, value).transpose(2, 1, 0) for value in values]), 0, -1)
    numbers = np.zeros(256, dtype=np.uint8)
    for number, value in enumerate(values, start=1):
        numbers[value] = number
    return numbers[array].transpose(2, 1, 0)


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
        copy = pydicom.Dataset(ds)
        copy.file_meta = ds.file_meta
        for keyword in _MAY_BE_REMOVED:
            if keyword not in copy:
                setattr(copy, keyword, "" if keyword != "PatientBirthDate" else None)
        if "PerFrameFunctionalGroupsSequence" not in copy:
            if copy.get("SliceThickness") is None:
                copy.SliceThickness = _distance_mm(sources)
            copy.FrameOfReferenceUID = sources[0].get("FrameOfReferenceUID") or str(sources[0].SeriesInstanceUID)
        completed.append(copy)
    return completed


def _distance_mm(slices: Sequence[pydicom.Dataset]) -> float:
    """Return the distance between the first two slices; 1 mm where there is only one."""
    first, second = (
        np.array(ds.ImagePositionPatient, dtype=float) for ds in (slices[0], slices[min(1, len(slices) - 1)])
    )
    return round(float(np.linalg.norm(second - first)), 6) or 1.0


def _multi_frame_places(sources: Sequence[pydicom.Dataset], frames: Sequence[int]) -> dict[str, object]:
    """Return where the slices stand when they are some frames of one instance; highdicom knows by itself for single frames."""
    if "PerFrameFunctionalGroupsSequence" not in sources[0]:
        return {}
    groups = sources[0].PerFrameFunctionalGroupsSequence
    positions = [groups[frame - 1].PlanePositionSequence[0].ImagePositionPatient for frame in frames]
    return {"plane_positions": [hd.PlanePositionSequence("PATIENT", [float(x) for x in p]) for p in positions]}


def _description(number: int, segment: Segment, label: LabelVersion) -> hd.seg.SegmentDescription:
    red, green, blue = (int(segment.color[n : n + 2], 16) for n in (1, 3, 5))
    algorithm = None
    if label.started_from_model:
        algorithm = hd.AlgorithmIdentificationSequence(
            name="radloop proposal, corrected by a reader", version="1", family=codes.DCM.ArtificialIntelligence
        )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name,
        segmented_property_category=_code(segment.category),
        segmented_property_type=_code(segment.type),
        algorithm_type="SEMIAUTOMATIC" if label.started_from_model else "MANUAL",
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(red, green, blue),
    )


def _code(term: CodedTerm) -> Code:
    return Code(term.value, term.scheme, term.meaning)


def _uid(kind: str, label_version_id: str) -> str:
    """Return a UID made from a UUID (PS3.5 B.2), the same for the same label."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{kind}:{label_version_id}').int}"
