"""Reads the manifest that `ingest` writes for each case: which instance and frame each slice came from."""

import json
from dataclasses import dataclass
from typing import Any

from radloop.errors import PermanentError
from radloop.references import ObjectRef


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a case: its de-identified instance in the object store, and the frame in it, from 1.

    ``pixels`` says how its stored values are to be read, where the manifest does; else the instance's header does.
    """

    sop_instance_uid: str
    instance: ObjectRef
    frame: int
    pixels: "Pixels | None" = None


@dataclass(frozen=True, slots=True)
class Pixels:
    """How stored values are encoded, and what they mean: value x slope + intercept is the volume's quantity."""

    bits_allocated: int
    signed: bool
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class Origin:
    """Which series a case came from, pseudonymous, and which of its phases it is."""

    study_instance_uid: str
    series_instance_uid: str
    phase: int
    phase_count: int


def origin(manifest: bytes) -> Origin:
    """Return which series the first channel came from; empty texts where an old manifest does not say.

    Raises
    ------
    PermanentError
        ``manifest-unreadable``.
    """
    try:
        told = json.loads(manifest)
        series = [str(key) for key in told.get("series_keys", [])]
        return Origin(
            str(told.get("study_key", "")),
            next(iter(series), ""),
            int(told.get("phase", 0)),
            int(told.get("phase_count", 1)),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise _unreadable("a JSON object") from error


def slices(manifest: bytes) -> list[Slice]:
    """Return the slices of the first channel, in order of k.

    Raises
    ------
    PermanentError
        ``manifest-unreadable``.
    """
    try:
        return [
            Slice(
                item["sop_instance_uid"], ObjectRef(**item["object"]), int(item["frame"]), _pixels(item.get("pixels"))
            )
            for item in json.loads(manifest)["slices"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable("slices, each with sop_instance_uid, object and frame") from error


def _pixels(told: dict[str, Any] | None) -> Pixels | None:
    return None if told is None else Pixels(**told)


def _unreadable(expected: str) -> PermanentError:
    return PermanentError(
        "manifest-unreadable",
        expected=expected,
        got="something else",
        do="ingest and labeling are of different releases: update both",
    )
