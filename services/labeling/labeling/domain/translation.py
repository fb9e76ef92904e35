"""From the values of a label made elsewhere to those of the project, as somebody said: nothing is guessed, nothing dropped unsaid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from labeling.domain.model import Project
from radloop.errors import Invalid


@dataclass(frozen=True, slots=True)
class Terms:
    """How a label made elsewhere is to be understood.

    Attributes
    ----------
    values : Mapping of int to int, or None
        The project's value for each of theirs (voxel value, segment or ROI number); 0 leaves one out. None: theirs are the
        project's, or are found by code and name where the format has them.
    threshold : float or None
        Share of the maximum from which a fractional segment counts, above 0 up to 1. None: fractional labels are refused.
    """

    values: Mapping[int, int] | None = None
    threshold: float | None = None


def check_terms(terms: Terms, project: Project) -> None:
    """Check that every value somebody named is the project's.

    Raises
    ------
    Invalid
        ``label-value-unknown``, ``threshold-invalid``.
    """
    if unknown := sorted(set((terms.values or {}).values()) - {0, *project.values}):
        raise _unknown_of_project(unknown, project)
    if terms.threshold is not None and not 0 < terms.threshold <= 1:
        raise Invalid("threshold-invalid", expected="a share above 0, up to 1", got=f"{terms.threshold:g}")


def translated(array: np.ndarray, terms: Terms) -> np.ndarray:
    """Return a label map with the project's values.

    Parameters
    ----------
    array : numpy.ndarray
        Whole numbers (floats with integral values, too), any shape.
    terms : Terms
        With values; without, the array is returned as it is.

    Returns
    -------
    numpy.ndarray
        uint8, the same shape.

    Raises
    ------
    Invalid
        ``label-values`` (no whole numbers), ``segment-unknown`` (values that nobody named; each is said).
    """
    if terms.values is None:
        return array
    if array.dtype.kind not in "iuf":
        raise Invalid("label-values", expected="whole numbers", got=f"values of type {array.dtype}")
    found, places = np.unique(array, return_inverse=True)
    if not (np.isfinite(found).all() and (found == np.round(found)).all()):
        raise Invalid(
            "label-values",
            expected="whole numbers",
            got="fractions, or values that are not finite",
            do="send the label map itself, not probabilities",
        )
    named = {0: 0, **terms.values}
    if unknown := [int(value) for value in found if int(value) not in named]:
        raise unnamed(unknown)
    table = np.array([named[int(value)] for value in found], dtype=np.uint8)
    return table[places].reshape(array.shape)


def unnamed(numbers: list[int]) -> Invalid:
    """Return the error for values or segments that nobody said what they are."""
    return Invalid(
        "segment-unknown",
        expected="a segment of the project for each value or segment in the file",
        got=f"none for {', '.join(map(str, sorted(numbers)))}",
        do="say which segment each is, or that it is left out",
    )


def _unknown_of_project(values: list[int], project: Project) -> Invalid:
    known = ", ".join(f"{s.value} {s.name}" for s in sorted(project.segments, key=lambda s: s.value))
    return Invalid(
        "label-value-unknown",
        expected=f"0 and the project's segments: {known}",
        got=f"value{'s' * (len(values) > 1)} {', '.join(map(str, values))}",
        do="relabel with the project's values: GET /v1/projects/{project_id}/segments lists them",
    )
