"""Reads the manifest that `ingest` writes for each case: which instance and frame each slice came from."""

import json
from dataclasses import dataclass

from radloop.errors import PermanentError
from radloop.references import ObjectRef


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a case: its de-identified instance in the object store, and the frame in it, from 1."""

    sop_instance_uid: str
    instance: ObjectRef
    frame: int


def slices(manifest: bytes) -> list[Slice]:
    """Return the slices of the first channel, in order of k.

    Raises
    ------
    PermanentError
        ``manifest-unreadable``.
    """
    try:
        return [
            Slice(item["sop_instance_uid"], ObjectRef(**item["object"]), int(item["frame"]))
            for item in json.loads(manifest)["slices"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(
            "manifest-unreadable",
            expected="slices, each with sop_instance_uid, object and frame",
            got="something else",
            do="ingest and labeling are of different releases: update both",
        ) from error
