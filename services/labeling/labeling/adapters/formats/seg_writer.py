"""Writes a label as DICOM SEG on the de-identified instances its case was made from."""

from collections.abc import Sequence

import numpy as np
import pydicom

from labeling.domain.model import LabelVersion, Project
from radloop.dicom.files import written
from radloop.dicom.segmentations import Made, segmentation, uid_of
from radloop.references import SegmentState

_SERIES_NUMBER = 900


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
    made = Made(
        series_instance_uid=uid_of("series", label.label_version_id),
        sop_instance_uid=uid_of("instance", label.label_version_id),
        series_number=_SERIES_NUMBER,
        series_description="Label, for research use only",
        content_label="LABEL",
        model_name="labeling",
        algorithm_type="SEMIAUTOMATIC" if label.started_from_model else "MANUAL",
        algorithm=("radloop proposal, corrected by a reader", "1") if label.started_from_model else (),
    )
    return written(segmentation(array, sources, frames, looked_for or known, made))
