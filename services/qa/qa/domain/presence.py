"""Checks of what is in a label at all: unknown values, nothing, missing segments."""

from collections.abc import Sequence

import numpy as np

from qa.domain.findings import Finding, ReturnReason, Severity, finding
from qa.domain.label import Label, Segment
from radloop.imaging import segment_voxels
from radloop.references import SegmentState


def check_values(label: Label, segments: Sequence[Segment]) -> list[Finding]:
    """Find values the project does not know, and values whose segment the label itself calls absent or not annotated."""
    known = {segment.value for segment in segments}
    denied = {value for value, state in label.states.items() if state != SegmentState.ANNOTATED}
    return [
        finding(
            ReturnReason.UNKNOWN_VALUE,
            Severity.RETURN,
            value,
            voxels=int(np.count_nonzero(segment_voxels(label.array[box], value))),
        )
        for value, box in label.boxes.items()
        if value not in known or value in denied
    ]


def check_segments(label: Label, segments: Sequence[Segment]) -> list[Finding]:
    """Find a label without anything, and segments that should have voxels but have none.

    A segment is missing when the label says it is annotated, or when the project says every case contains it and the label
    does not say "not annotated". A label of nothing is fine where no segment is always present and all are said to be absent.
    """
    missing = []
    for segment in segments:
        state = label.states.get(segment.value, SegmentState.ANNOTATED)
        expected = state == SegmentState.ANNOTATED or (segment.always_present and state == SegmentState.ABSENT)
        if expected and segment.value not in label.boxes:
            missing.append(segment)
    if missing and not label.boxes and any(segment.always_present for segment in segments):
        return [finding(ReturnReason.EMPTY, Severity.RETURN)]
    return [finding(ReturnReason.MISSING_SEGMENT, Severity.RETURN, segment.value) for segment in missing]
