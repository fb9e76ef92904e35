"""From uploaded bytes to a label of a case, and from a stored label to the formats people download."""

import io
import math
from collections.abc import Sequence

import numpy as np
import pydicom

from labeling.adapters import manifest
from labeling.adapters.formats.compression import unpacked
from labeling.adapters.formats.raw import read_raw, write_raw
from labeling.adapters.formats.seg_reader import read_seg
from labeling.adapters.formats.seg_writer import write_seg
from labeling.adapters.forms import LabelForm
from labeling.domain.labels import affine_of, check_geometry, label_values, segment_states
from labeling.domain.model import Case, LabelVersion, Project
from radloop.errors import Invalid
from radloop.imaging import Volume, read_nifti, write_nifti
from radloop.objects import Objects
from radloop.references import SegmentStatus

_HEADER_BYTES = 2**20
_WIDEST_VOXEL_BYTES = 8

MEDIA_TYPES = {"nifti": "application/x-nifti", "raw": "application/octet-stream", "dicom-seg": "application/dicom"}


def read_label(form: LabelForm, case: Case, project: Project) -> tuple[bytes, tuple[SegmentStatus, ...]]:
    """Check an uploaded label and return it as it will be stored.

    Returns
    -------
    mask : bytes
        uint8 NIfTI in exactly the case's geometry: the same label always gives the same bytes.
    segments : tuple of SegmentStatus
        One for each segment of the project.

    Raises
    ------
    Invalid
        When it cannot be read, samples other points, or has values the project does not know.
    """
    if project.overlapping_segments:
        raise Invalid(
            "overlap-unsupported",
            expected="a project without overlapping segments",
            got="one with",
            do="use a project for each layer until layers are supported",
        )
    volume = _decoded(form, case, project)
    check_geometry(volume, case)
    values = label_values(volume.array, project)
    states = segment_states(values, project, form.segments)
    return write_nifti(Volume(np.asfortranarray(values), affine_of(case))), states


def write_label(
    mask: bytes, label_format: str, label: LabelVersion, case: Case, project: Project, objects: Objects
) -> bytes:
    """Return a stored label (uint8 NIfTI) in a format.

    Raises
    ------
    NotFound
        When the instances its SEG refers to are not in the object store.
    """
    if label_format == "nifti":
        return mask
    array = np.asarray(read_nifti(mask).array, dtype=np.uint8)
    if label_format == "raw":
        return write_raw(array)
    slices = manifest.slices(objects.get(case.manifest))
    return write_seg(array, _instances(slices, objects), [item.frame for item in slices], label, project)


def _decoded(form: LabelForm, case: Case, project: Project) -> Volume:
    voxels = math.prod(case.shape)
    if form.format == "nifti":
        return read_nifti(unpacked(form.label, voxels * _WIDEST_VOXEL_BYTES + _HEADER_BYTES))
    if form.format == "raw":
        return read_raw(unpacked(form.label, voxels), form.geometry)
    return read_seg(form.label, case, project)


def _instances(slices: Sequence[manifest.Slice], objects: Objects) -> list[pydicom.Dataset]:
    """Return the instance of each slice, headers only; each object is read once."""
    read: dict[str, pydicom.Dataset] = {}
    for item in slices:
        if item.instance.key not in read:
            data = objects.get(item.instance)
            read[item.instance.key] = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return [read[item.instance.key] for item in slices]
