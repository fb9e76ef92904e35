"""Rounds and what they are made of: the state table, identities and seeds."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge_miner.domain.messages import ConfiguredMember, SelectionPolicy
from radloop.errors import IllegalTransition
from radloop.references import ObjectRef, Split

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://radloop.io/edge-miner/round")


class RoundKind(StrEnum):
    """What a round was opened for."""

    MODEL = "model"
    COLD_START = "cold-start"
    REPORTED = "reported"
    """One case a reader reported; a round of its own, so that it stands in a ledger as every flag does."""


class RoundState(StrEnum):
    """Where a round stands."""

    ANNOUNCED = "announced"
    """A model was deployed; the cases the round is judged on are still to be drawn."""
    REQUESTED = "requested"
    """Predictions that were lacking are asked for and awaited."""
    SCORED = "scored"
    """Every prediction is in, failed, or no longer wanted."""
    FLAGGED = "flagged"
    SUPERSEDED = "superseded"
    EMPTY = "empty"
    """Nobody was eligible; nothing was said."""
    ABANDONED = "abandoned"
    """A newer model came before the batch was composed."""


class Step(StrEnum):
    """What moves a round on."""

    SAMPLE_DRAWN = "sample-drawn"
    ALL_IN = "all-in"
    BATCH_COMPOSED = "batch-composed"
    NOBODY_ELIGIBLE = "nobody-eligible"
    NEXT_FLAGGED = "next-flagged"
    NEWER_MODEL = "newer-model"


TRANSITIONS: dict[tuple[RoundState, Step], RoundState] = {
    (RoundState.ANNOUNCED, Step.SAMPLE_DRAWN): RoundState.REQUESTED,
    (RoundState.ANNOUNCED, Step.NOBODY_ELIGIBLE): RoundState.EMPTY,
    (RoundState.ANNOUNCED, Step.NEWER_MODEL): RoundState.ABANDONED,
    (RoundState.REQUESTED, Step.ALL_IN): RoundState.SCORED,
    (RoundState.REQUESTED, Step.NEWER_MODEL): RoundState.ABANDONED,
    (RoundState.SCORED, Step.BATCH_COMPOSED): RoundState.FLAGGED,
    (RoundState.SCORED, Step.NOBODY_ELIGIBLE): RoundState.EMPTY,
    (RoundState.SCORED, Step.NEWER_MODEL): RoundState.ABANDONED,
    (RoundState.FLAGGED, Step.NEXT_FLAGGED): RoundState.SUPERSEDED,
}

COLLECTING = (RoundState.ANNOUNCED, RoundState.REQUESTED, RoundState.SCORED)
"""States of an open round, of which a project has at most one."""


@dataclass(frozen=True, slots=True)
class Project:
    """What this service keeps of a project.

    Attributes
    ----------
    serving_digest : str
        Digest of the bundle that serves; empty if none does.
    deployment_sequence : int
        Of the newest `model-deployed` heard; 0 before the first.
    """

    project_id: str
    project_version: int
    selection: SelectionPolicy
    always_present: tuple[int, ...]
    members: tuple[ConfiguredMember, ...]
    serving_digest: str = ""
    deployment_sequence: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One case as the pool sees it.

    Attributes
    ----------
    labelled : bool
        A label of it was approved, ever.
    open_in : str
        Round whose flag is before the readers; empty if none is.
    """

    case_id: str
    project_id: str
    study_key: str
    patient_key: str
    split: Split
    labelled: bool = False
    open_in: str = ""

    @property
    def eligible(self) -> bool:
        """Whether it may be flagged, and counts in the pool's statistics."""
        return self.split is Split.TRAIN and not self.labelled and not self.open_in


class EntryState(StrEnum):
    """Where one case of a round stands."""

    TO_ASK = "to-ask"
    WAITING = "waiting"
    """Its prediction was asked for."""
    TO_EXAMINE = "to-examine"
    """Its prediction is in; the parts of its mask are still to be counted."""
    READY = "ready"
    FAILED = "failed"
    GONE = "gone"
    """No longer eligible: labelled, reported or withdrawn while the round was collecting."""


PENDING = (EntryState.TO_ASK, EntryState.WAITING, EntryState.TO_EXAMINE)
"""States a round waits for."""


def entry_state(*, failed: bool, mask_waits: bool) -> EntryState:
    """Return where a case stands whose prediction was heard of."""
    if failed:
        return EntryState.FAILED
    return EntryState.TO_EXAMINE if mask_waits else EntryState.READY


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one model said of one case.

    Attributes
    ----------
    failed : bool
        It could not predict, or gave a number that is not finite.
    mask : ObjectRef or None
        Label map whose parts are still to be counted; None if there is nothing to count.
    """

    case_id: str
    study_key: str
    project_id: str
    model_digest: str
    prediction_id: str
    failed: bool
    scores: Mapping[str, float] = field(default_factory=dict)
    volumes: Mapping[str, float] = field(default_factory=dict)
    mask: ObjectRef | None = None

    @property
    def state(self) -> EntryState:
        """Where a case with this prediction stands in a round of its model."""
        return entry_state(failed=self.failed, mask_waits=self.mask is not None)


@dataclass(frozen=True, slots=True)
class Round:
    """One selection: which model, which pool, which seed, and how far it has come.

    Attributes
    ----------
    round_number : int
        From 1 in its project; 0 for a cold start and for reported cases. A round that was abandoned or empty leaves its
        number to the next one.
    seed : int
        Of all draws and ties; 0..2**63-1.
    up_to_case : int
        Number of the newest case that was in the pool when the sample was drawn; later ones wait for the next round.
    pool_size, patient_count : int
        Eligible cases and their patients when the arms were drawn; before that when the sample was.
    sample_size : int
        Cases predicted for the round.
    opened_at, closed_at : float
        Seconds since the epoch, for people; nothing compares them. 0 while open.
    """

    round_id: str
    project_id: str
    kind: RoundKind
    round_number: int
    state: RoundState
    model_digest: str
    seed: int
    strategy: str
    batch_size: int
    control_fraction: float
    pool_sample: int
    opened_at: float
    closed_at: float = 0.0
    up_to_case: int = 0
    pool_size: int = 0
    patient_count: int = 0
    sample_size: int = 0

    def after(self, step: Step, **changes: object) -> "Round":
        """Return the round one step on, with other fields changed.

        Raises
        ------
        IllegalTransition
            When the table knows no such step.
        """
        state = TRANSITIONS.get((self.state, step))
        if state is None:
            raise IllegalTransition(
                "round-state", expected="a step the round's state allows", got=f"{step}, {self.state}"
            )
        return replace(self, state=state, **changes)  # type: ignore[arg-type]


def round_id_of(site: str, project_id: str, what: str) -> str:
    """Return the id of a project's round at a site for ``what`` (a deployment's sequence, a report): the same for a retry."""
    return str(uuid.uuid5(_NAMESPACE, f"{site}/{project_id}/{what}"))


def round_seed(project_seed: int, round_id: str) -> int:
    """Return the round's own seed, 0..2**63-1: a hash of the project's and of the round's id, so no two rounds share draws."""
    digest = hashlib.sha256(f"{project_seed}/{round_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
