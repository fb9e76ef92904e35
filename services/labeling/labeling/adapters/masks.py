"""From uploaded bytes to a label of a case, and from a stored label to the formats people download."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pydicom

from labeling.adapters import manifest
from labeling.adapters.formats.compression import unpacked
from labeling.adapters.formats.raw import read_raw, write_raw
from labeling.adapters.formats.rtstruct_reader import read_rtstruct
from labeling.adapters.formats.seg_reader import read_seg
from labeling.adapters.forms import LabelForm
from labeling.domain.grids import on_grid, tolerance_mm
from labeling.domain.labels import affine_of, check_geometry, label_values, mask_dtype, segment_states
from labeling.domain.model import Case, LabelVersion, Project
from labeling.domain.translation import check_terms, translated
from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, Volume, read_nifti, says_segment_bits, voxel_counts, write_nifti
from radloop.objects import Objects
from radloop.references import SegmentStatus

_HEADER_BYTES = 2**20
_WIDEST_VOXEL_BYTES = 8
_DICOM_HEADER_BYTES = 2**28
"""Contours, and the functional groups of many frames."""
_DICOM_VOXEL_BYTES = 64
"""As many fractional segments of one byte, or binary ones of one bit eight times over."""
_DICOM = ("dicom-seg", "rtstruct")

MEDIA_TYPES = {"nifti": "application/x-nifti", "raw": "application/octet-stream", "dicom-seg": "application/dicom"}


def read_label(form: LabelForm, case: Case, project: Project) -> tuple[bytes, tuple[SegmentStatus, ...]]:
    """Check an uploaded label and return it as it will be stored.

    Returns
    -------
    mask : bytes
        NIfTI of the project's kind (label map or segment bits) in exactly the case's geometry: the same label, the same bytes.
    segments : tuple of SegmentStatus
        One for each segment of the project.

    Raises
    ------
    Invalid
        When it cannot be read, samples other points, or has values the project does not know.
    """
    volume = _decoded(form, case, project)
    check_geometry(volume, case)
    values = label_values(volume.array, project)
    states = segment_states(values, project, form.segments)
    return write_nifti(Volume(np.asfortranarray(values), affine_of(case))), states


@dataclass(frozen=True, slots=True)
class ForeignLabel:
    """A label made elsewhere, as it would be stored: `read_label` says how; what was different about it; voxels by value."""

    mask: bytes
    segments: tuple[SegmentStatus, ...]
    notes: tuple[str, ...]
    voxels: dict[int, int]


def read_foreign_label(form: LabelForm, case: Case, project: Project) -> ForeignLabel:
    """Check a label that was made elsewhere: as `read_label`, with its own values, and on any part of the case's voxels.

    Raises
    ------
    Invalid
        When it cannot be read, lies between the case's voxels or labels some outside, or has values nobody named.
    """
    check_terms(form.terms, project)
    notes: list[str] = []
    if form.format in _DICOM:
        data = unpacked(form.label, math.prod(case.shape) * _DICOM_VOXEL_BYTES + _DICOM_HEADER_BYTES)
        if form.format == "rtstruct":
            volume = read_rtstruct(data, case, project, form.terms, notes)
        else:
            volume = read_seg(data, case, project, form.terms, tolerance_mm(case), notes)
    else:
        volume = _decoded(form, case, project)
        if form.terms.values is not None and volume.array.dtype == SEGMENT_BITS:
            raise Invalid(
                "values-of-bits",
                expected="no other values for segment bits: bit value-1 is the project's own",
                got="some",
                do="leave values out, or send a label map",
            )
        volume, notes = on_grid(Volume(translated(volume.array, form.terms), volume.affine_lps), case)
    values = label_values(volume.array, project)
    states = segment_states(values, project, form.segments)
    mask = write_nifti(Volume(np.asfortranarray(values), affine_of(case)))
    return ForeignLabel(mask, states, tuple(notes), voxel_counts(values))


def write_label(
    mask: bytes, label_format: str, label: LabelVersion, case: Case, project: Project, objects: Objects
) -> bytes:
    """Return a stored label (NIfTI, label map or segment bits) in a format.

    Raises
    ------
    NotFound
        When the instances its SEG refers to are not in the object store.
    """
    if label_format == "nifti":
        return mask
    array = read_nifti(mask).array
    if label_format == "raw":
        return write_raw(array)
    # highdicom takes a second to import, and only downloads as SEG need it.
    from labeling.adapters.formats.seg_writer import write_seg

    slices = manifest.slices(objects.get(case.manifest))
    return write_seg(array, _instances(slices, objects), [item.frame for item in slices], label, project)


def _decoded(form: LabelForm, case: Case, project: Project) -> Volume:
    voxels = math.prod(case.shape)
    if form.format == "nifti":
        return _from_nifti(unpacked(form.label, voxels * _WIDEST_VOXEL_BYTES + _HEADER_BYTES), project)
    if form.format == "rtstruct":
        raise Invalid(
            "format-unknown",
            expected="a mask of the case",
            got="contours",
            do="contours are imported: POST /v1/cases/{case_id}/labels",
        )
    if form.format == "raw":
        widest = mask_dtype(project)
        return read_raw(unpacked(form.label, voxels * widest.itemsize), form.geometry, widest)
    return read_seg(form.label, case, project)


def _from_nifti(data: bytes, project: Project) -> Volume:
    """Read an uploaded mask. What could be bits or a label map is taken as neither: one read as the other is quite another mask.

    Raises
    ------
    Invalid
        ``nifti-unreadable``, ``nifti-not-3d``, ``label-bits-unnamed``, ``label-bits-unexpected``.
    """
    volume = read_nifti(data)
    if volume.array.dtype.newbyteorder("=") != SEGMENT_BITS:
        return volume
    named = says_segment_bits(data)
    if project.overlapping_segments and not named:
        raise Invalid(
            "label-bits-unnamed",
            expected='uint32 only as segment bits, with "segment bits" as the intent name of its header',
            got="uint32 without that name",
            do="name it so if bit value-1 of a voxel stands for each of its segments; save a label map as uint8",
        )
    if named and not project.overlapping_segments:
        raise Invalid(
            "label-bits-unexpected",
            expected="a label map: the segments of the project do not overlap",
            got="segment bits",
            do="send a label map, uint8: each voxel has the value of its one segment",
        )
    return volume


def _instances(slices: Sequence[manifest.Slice], objects: Objects) -> list[pydicom.Dataset]:
    """Return the instance of each slice, headers only; each object is read once."""
    read: dict[str, pydicom.Dataset] = {}
    for item in slices:
        if item.instance.key not in read:
            data = objects.get(item.instance)
            read[item.instance.key] = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return [read[item.instance.key] for item in slices]
