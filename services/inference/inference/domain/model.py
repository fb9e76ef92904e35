"""What the service owns: projects as it knows them, models, who serves, cases, predictions. Frozen; handlers save new ones."""

import hashlib
import json
import re
import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from inference.domain.messages import Member, PredictionFailure, PromotionMode
from radloop.references import ObjectRef, Score, digest_of

PROGRAM_VERSION = 1
"""Grows when the Triton program gives other numbers for the same bundle; part of every settings digest."""

_PREDICTIONS = uuid.UUID("6f1d9e2c-6a35-5f0a-9d3c-0f6c3d0c7a11")


def prediction_id_of(case_id: str, model_digest: str, settings_digest: str) -> str:
    """Return the prediction's identity: the same for a retry, and for whoever asks."""
    return str(uuid.uuid5(_PREDICTIONS, f"{case_id}/{model_digest}/{settings_digest}"))


def seed_of(case_id: str, model_digest: str, settings_digest: str) -> int:
    """Return the seed of everything random in a prediction, 0..2**63-1, from its identity alone."""
    content = f"seed/{case_id}/{model_digest}/{settings_digest}".encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1


def triton_name(model_name: str, digest: str) -> str:
    """Return the name a bundle has in Triton, ``<name>-<digest12>``: loading a new one never touches the one that serves."""
    return f"{re.sub(r'[^a-z0-9-]+', '-', model_name.lower())}-{digest.removeprefix('sha256:')[:12]}"


@dataclass(frozen=True, slots=True)
class Project:
    """What this service needs to know of a project."""

    project_id: str
    project_version: int
    model_name: str
    promotion: PromotionMode
    segment_values: tuple[int, ...]
    overlapping_segments: bool
    """Whether masks are segment bits; never changes."""
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PredictionSettings:
    """What is chosen for the site or follows from the project, and not by the bundle; part of a prediction's identity."""

    members: int = 0
    """Members (weights files) that predict; 0 for all there are."""
    overlap: float | None = None
    """Overlap of sliding windows, 0..0.9; None for the bundle's own."""
    segment_bits: bool = False
    """Whether masks are segment bits and no label maps; the project's."""

    def of_project(self, project: Project) -> "PredictionSettings":
        """Return the site's settings as they are in a project."""
        return replace(self, segment_bits=project.overlapping_segments)

    @property
    def digest(self) -> str:
        """Digest of the settings and of the program's version, ``sha256:<hex>``."""
        content: dict[str, object] = {"members": self.members, "overlap": self.overlap, "program": PROGRAM_VERSION}
        if self.segment_bits:  # only then, so that label maps keep the identities they had before there were bits
            content["segment_bits"] = True
        return digest_of(json.dumps(content, sort_keys=True).encode())


class ModelState(StrEnum):
    """What became of a model in its project."""

    WAITING = "waiting"
    """To be loaded and tried."""
    SERVING = "serving"
    RETIRED = "retired"
    """Served once; may be promoted again."""
    KEPT = "kept"
    """Loads, but was not taken."""
    LOAD_FAILED = "load-failed"
    IMPORTED = "imported"
    """Stored and never tried."""


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle in a project; its digest is its identity."""

    project_id: str
    model_digest: str
    model_name: str
    bundle: ObjectRef
    state: ModelState
    detail: str = ""
    """Why it could not be loaded; stays at the site."""

    @property
    def triton_name(self) -> str:
        """Its name in Triton."""
        return triton_name(self.model_name, self.model_digest)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Which model answers for a project, and the counters that order what is said about it."""

    project_id: str
    serving_digest: str = ""
    previous_digest: str = ""
    """What served before; stays loaded, so that what it was asked for is answered and a roll-back is instant."""
    sequence: int = 0
    """Number of `model-deployed` events said for the project."""
    wish_sequence: int = 0
    """Newest `model-promoted` heard of; an older wish is stale."""

    def moved_to(self, digest: str) -> "Traffic":
        """Return the traffic after it moved to another model (or to none)."""
        return replace(self, serving_digest=digest, previous_digest=self.serving_digest, sequence=self.sequence + 1)

    def unmoved(self) -> "Traffic":
        """Return the traffic after something was said that left it where it was."""
        return replace(self, sequence=self.sequence + 1)


class DeploymentCause(StrEnum):
    """Why a candidate is loaded."""

    TRAINED = "trained"
    PROMOTED = "promoted"
    IMPORTED = "imported"
    """A brought bundle that was to serve at once."""


@dataclass(frozen=True, slots=True)
class PendingDeployment:
    """A candidate that waits to be loaded; taken in the order of ids."""

    deployment_id: int
    project_id: str
    model_digest: str
    cause: DeploymentCause
    passes: bool
    """Of a trained one: whether the trainer's comparison passes."""
    compared_with: str
    """Of a trained one: digest of the model it was compared with; empty if none served."""
    wish_sequence: int
    """Of a promoted one, its own; else the newest heard of when it was queued."""

    @property
    def answers_wish(self) -> int:
        """Sequence of the `model-promoted` behind it; 0 if there is none."""
        return self.wish_sequence if self.cause is DeploymentCause.PROMOTED else 0


@dataclass(frozen=True, slots=True)
class Case:
    """What a model predicts on."""

    case_id: str
    study_key: str
    project_id: str
    volumes: tuple[ObjectRef, ...]


class PredictionState(StrEnum):
    """How far a prediction is."""

    WAITING = "waiting"
    MADE = "made"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One (case, model, settings)."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    settings_digest: str
    state: PredictionState = PredictionState.WAITING
    urgent: bool = False
    """A person waits for it: it goes before the others."""
    attempts: int = 0
    """How often Triton failed on it without saying why."""
    mask: ObjectRef | None = None
    uncertainty: ObjectRef | None = None
    embedding: ObjectRef | None = None
    scores: tuple[Score, ...] = ()
    volumes: tuple[Score, ...] = ()
    reason: PredictionFailure | None = None
    detail: str = ""

    @classmethod
    def of(cls, case: Case, model_digest: str, settings_digest: str, *, urgent: bool = False) -> "Prediction":
        """Return a prediction that waits to be made."""
        return cls(
            prediction_id=prediction_id_of(case.case_id, model_digest, settings_digest),
            case_id=case.case_id,
            study_key=case.study_key,
            project_id=case.project_id,
            model_digest=model_digest,
            settings_digest=settings_digest,
            urgent=urgent,
        )
