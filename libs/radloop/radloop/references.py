"""Pointers and closed sets that several events carry, as the domain sees them.

They mirror `proto/radloop/contracts/references/v1`; `radloop.wire` maps between the two, so that no domain imports protobuf.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum


def digest_of(data: bytes) -> str:
    """Return the digest of bytes as ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An immutable object in the site's object store: key, ``sha256:<hex>`` digest and size."""

    key: str
    digest: str
    size_bytes: int


class Split(StrEnum):
    """Which part of the patients a case belongs to; decided once per project and patient."""

    TRAIN = "train"
    VALIDATION = "validation"
    """Decides promotion; labelled without the model's proposal, never mined."""
    TEST = "test"
    """Only ever reported; labelled without the model's proposal, never mined."""


class Arm(StrEnum):
    """Why a case was put before a reader."""

    MINED = "mined"
    CONTROL = "control"
    """Drawn uniformly from the whole eligible pool before mining; labelled blind to the model."""
    REPORTED = "reported"
    COLD_START = "cold-start"


class SegmentState(StrEnum):
    """What a label says about one segment."""

    ANNOTATED = "annotated"
    ABSENT = "absent"
    """Looked for and not there."""
    NOT_ANNOTATED = "not-annotated"
    """Not looked for; its voxels are ignored in training."""


@dataclass(frozen=True, slots=True)
class SegmentStatus:
    """The state of one segment (its value in the label map, 1..255) in one label."""

    value: int
    state: SegmentState


@dataclass(frozen=True, slots=True)
class Score:
    """One named number; the unit, where there is one, stands in the name."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class CaseDice:
    """Dice (0..1; 1 when both masks are empty) of one segment on one case."""

    case_id: str
    patient_key: str
    segment: int
    dice: float
