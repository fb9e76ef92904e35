"""Writes a mask as an RT Structure Set (PS3.3 A.19, C.8.8.5, C.8.8.6): closed planar contours on each slice."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pydicom
from contourpy import FillType, contour_generator
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from scipy.spatial.distance import cdist

from radloop.dicom.segmentations import MANUFACTURER, Described, Made, frame_of_reference_uid, rgb, settle_creation
from radloop.imaging import segment_boxes, segment_voxels

_CONTOUR_DATA = Tag(0x30060050)
_EVEN_IN_BYTES = 2


def structure_set(
    mask: np.ndarray,
    affine_lps: np.ndarray,
    sources: Sequence[Dataset],
    frames: Sequence[int],
    segments: Sequence[Described],
    made: Made,
) -> Dataset:
    """Return a mask as an RT Structure Set.

    Parameters
    ----------
    mask : numpy.ndarray
        Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``: columns, rows, slices of the case.
    affine_lps : numpy.ndarray
        float64, shape ``(4, 4)``: voxel index (i, j, k), zero-based, voxel centre, to patient coordinates (LPS, mm).
    sources, frames, segments, made
        As `radloop.dicom.segmentations.segmentation`; ``made.at`` must be given.

    Returns
    -------
    pydicom.dataset.Dataset
        One region of interest for each segment, in their order, also of those without voxels: they have no contours.

    Notes
    -----
    Contours run half-way between the centres of voxels inside and outside, so that every centre is on its own side. A hole is joined to the
    contour around it by a channel of no width ("keyhole", PS3.3 C.8.8.6.3), which every reader of CLOSED_PLANAR understands.
    """
    assert made.at is not None  # an export has a date of its own
    ds = _module(sources[0], made, made.at)
    space = frame_of_reference_uid(sources[0])
    images = [_image(source, frame) for source, frame in zip(sources, frames, strict=True)]
    ds.ReferencedFrameOfReferenceSequence = [_space(space, sources[0], images)]
    rois, contours, observations = [], [], []
    boxes = segment_boxes(mask)
    for number, segment in enumerate(segments, start=1):
        rois.append(_roi(number, segment, space, made))
        item = Dataset()
        item.ROIDisplayColor = list(rgb(segment.color))
        item.ReferencedROINumber = number
        if segment.value in boxes:
            inside = segment_voxels(mask[boxes[segment.value]], segment.value)
            corner = [part.start for part in boxes[segment.value]]
            item.ContourSequence = [_contour(points, images[k]) for k, points in _contours(inside, corner, affine_lps)]
        contours.append(item)
        observations.append(_observation(number, segment))
    ds.StructureSetROISequence, ds.ROIContourSequence = rois, contours
    ds.RTROIObservationsSequence = observations
    return ds


def _contours(inside: np.ndarray, corner: Sequence[int], affine_lps: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Return (k, points) of each contour: k of the case, points float64 of shape ``(n, 3)`` in LPS, mm.

    ``inside`` is bool of shape ``(I, J, K)``, cut out of the case at voxel ``corner``.
    """
    for depth in range(inside.shape[2]):
        for ring in rings(inside[:, :, depth].T):
            places = np.empty((len(ring), 4))
            places[:, :2] = ring + corner[:2]
            places[:, 2:] = corner[2] + depth, 1.0
            yield corner[2] + depth, (places @ affine_lps.T)[:, :3]


def rings(plane: np.ndarray) -> list[np.ndarray]:
    """Return the closed contours of a plane.

    Parameters
    ----------
    plane : numpy.ndarray
        bool, shape ``(rows, columns)``.

    Returns
    -------
    list of numpy.ndarray
        float64, shape ``(n, 2)``: (column, row), zero-based, voxel centre; the last point is not the first again. One for each part, its
        holes joined to it.
    """
    if not plane.any():
        return []
    padded = np.pad(plane, 1).astype(np.float64)
    filled: Any = contour_generator(z=padded, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    found = []
    for chain, cuts in zip(*filled, strict=True):
        parts = [_corners(chain[start : end - 1] - 1.0) for start, end in zip(cuts[:-1], cuts[1:], strict=True)]
        found.append(_keyhole(parts[0], parts[1:]))
    return found


def _corners(ring: np.ndarray) -> np.ndarray:
    """Leave out the points of a closed ring, shape ``(n, 2)``, that lie on a straight line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    return ring[turns]


def _keyhole(outer: np.ndarray, holes: Sequence[np.ndarray]) -> np.ndarray:
    """Join holes to the ring around them, each where the two are nearest."""
    ring = outer
    for hole in holes:
        here, there = divmod(int(cdist(ring, hole).argmin()), len(hole))
        around = np.concatenate([hole[there:], hole[: there + 1]])
        ring = np.concatenate([ring[: here + 1], around, ring[here:]])
    return ring


def _module(source: Dataset, made: Made, at: datetime) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, made.sop_instance_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = source.StudyInstanceUID, made.series_instance_uid
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "RTSTRUCT", made.series_number, 1
    ds.SeriesDescription = made.series_description
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = MANUFACTURER, made.model_name, "1"
    ds.OperatorsName = ""
    ds.FrameOfReferenceUID = frame_of_reference_uid(source)
    ds.PositionReferenceIndicator = ""
    ds.StructureSetLabel = made.content_label
    ds.StructureSetDate, ds.StructureSetTime = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    # Approved for training is not approved for treatment.
    ds.ApprovalStatus = "UNAPPROVED"
    settle_creation(ds, at)
    return ds


def _image(source: Dataset, frame: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if "PerFrameFunctionalGroupsSequence" in source:
        item.ReferencedFrameNumber = frame
    return item


def _space(space: str, source: Dataset, images: Sequence[Dataset]) -> Dataset:
    series, study, item = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = source.SeriesInstanceUID
    series.ContourImageSequence = list(images)
    # Retired as a class, and still what is written here (PS3.3 C.8.8.5.4).
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = source.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    item.FrameOfReferenceUID = space
    item.RTReferencedStudySequence = [study]
    return item


def _roi(number: int, segment: Described, space: str, made: Made) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = number, segment.name
    item.ReferencedFrameOfReferenceUID = space
    item.ROIGenerationAlgorithm = made.algorithm_type
    if made.algorithm:
        item.ROIGenerationDescription = made.algorithm[0][:64]
    return item


def _observation(number: int, segment: Described) -> Dataset:
    concept, item = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator = segment.type.value, segment.type.scheme
    concept.CodeMeaning = segment.type.meaning
    item.ObservationNumber, item.ReferencedROINumber = number, number
    item.RTROIIdentificationCodeSequence = [concept]
    item.RTROIInterpretedType, item.ROIInterpreter = "", ""
    return item


def _contour(points: np.ndarray, image: Dataset) -> Dataset:
    item = pydicom.Dataset()
    item.ContourImageSequence = [image]
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    # As bytes: as values, each of a million numbers would be parsed and written again.
    text = "\\".join(f"{number:.4f}" for number in points.ravel().tolist()).encode("ascii")
    text += b" " * (len(text) % _EVEN_IN_BYTES)
    item[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(text), text, 0, False, True)
    return item
