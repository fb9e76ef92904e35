"""Runs and their states, and what a run is made of."""

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from radloop.errors import IllegalTransition
from radloop.references import Arm, ObjectRef, SegmentStatus, Split
from trainer.domain.messages import DatasetItem, TrainingFailure, TrainingWait

_RUNS = uuid.UUID("3c1f0a4e-6c0e-5b8e-9d53-0f5ad1b4f2a1")


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    TRAINED = "trained"
    """The model is said; `inference` has not yet answered what became of it."""
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Step(StrEnum):
    """What happens to a run."""

    START = "start"
    SUCCEED = "succeed"
    ANSWER = "answer"
    FAIL = "fail"
    CANCEL = "cancel"


TRANSITIONS: dict[tuple[RunState, Step], RunState] = {
    (RunState.QUEUED, Step.START): RunState.RUNNING,
    (RunState.RUNNING, Step.START): RunState.RUNNING,  # the job died and starts again
    (RunState.RUNNING, Step.SUCCEED): RunState.TRAINED,
    (RunState.TRAINED, Step.SUCCEED): RunState.TRAINED,
    (RunState.ANSWERED, Step.SUCCEED): RunState.ANSWERED,
    (RunState.TRAINED, Step.ANSWER): RunState.ANSWERED,
    (RunState.ANSWERED, Step.ANSWER): RunState.ANSWERED,
    (RunState.RUNNING, Step.FAIL): RunState.FAILED,
    (RunState.QUEUED, Step.FAIL): RunState.FAILED,
    (RunState.FAILED, Step.FAIL): RunState.FAILED,
    (RunState.QUEUED, Step.CANCEL): RunState.CANCELLED,
    (RunState.RUNNING, Step.CANCEL): RunState.CANCELLED,
    (RunState.CANCELLED, Step.CANCEL): RunState.CANCELLED,
}

ACTIVE = (RunState.QUEUED, RunState.RUNNING)
UNFINISHED = (*ACTIVE, RunState.TRAINED)
"""While a run of a project is in one of these, no other starts: the next one begins from the model that serves."""


def run_id_of(site: str, project_id: str, run_number: int) -> str:
    """Return the identity of a run: a second creation of it is seen to be the same."""
    return str(uuid.uuid5(_RUNS, f"{site}/{project_id}/{run_number}"))


def bundle_key(project_id: str, bundle_digest: str) -> str:
    """Return the key a run's bundle is stored under."""
    return f"trainer/{project_id}/models/{bundle_digest.removeprefix('sha256:')}.zip"


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """A case as the trainer knows it."""

    case_id: str
    study_key: str
    project_id: str
    patient_key: str
    split: Split
    volumes: tuple[ObjectRef, ...]


@dataclass(frozen=True, slots=True)
class ApprovedLabel:
    """The newest approved label of a case."""

    case_id: str
    study_key: str
    project_id: str
    label_version_id: str
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    arm: Arm | None
    sequence: int


@dataclass(frozen=True, slots=True)
class ServingModel:
    """The model that serves a project; both empty when none does."""

    model_digest: str
    bundle: ObjectRef | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes behind an item of a dataset version are."""

    case_id: str
    volumes: tuple[ObjectRef, ...]
    mask: ObjectRef


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A frozen list of labels; the digest is that of its canonical JSON, which is stored under `manifest`.

    `sources` are in the order of `items`; they are this site's and no part of the identity.
    """

    digest: str
    project_id: str
    items: tuple[DatasetItem, ...]
    sources: tuple[Source, ...]
    manifest: ObjectRef


@dataclass(frozen=True, slots=True)
class Wait:
    """What a run's job waits for, as it was said.

    Attributes
    ----------
    scheduler_said : str
        The part of the scheduler's words that may leave the site.
    since_s : int
        When the job was first seen to wait, for this or another reason; seconds since the epoch.
    """

    waits_for: TrainingWait
    scheduler_said: str
    since_s: int


@dataclass(frozen=True, slots=True)
class Run:
    """One training.

    Attributes
    ----------
    plan : str
        Canonical JSON of the plan; its digest is ``plan_digest``.
    attempts : int
        How often the job was started.
    job_ended : bool
        Whether nothing of the job is left; of interest after a cancellation.
    wait : Wait or None
        While the job waits, for something worth saying.
    waits_said : int
        How often that was said, over all waits of the run.
    """

    run_id: str
    project_id: str
    run_number: int
    dataset_version: str
    plan_digest: str
    plan: str
    model_name: str
    request_id: str
    state: RunState = RunState.QUEUED
    attempts: int = 0
    model_digest: str = ""
    failure: TrainingFailure | None = None
    job_ended: bool = False
    wait: Wait | None = None
    waits_said: int = 0

    def after(self, step: Step) -> "Run":
        """Return the run after a step.

        Raises
        ------
        IllegalTransition
            When the table knows no such step from here.
        """
        state = TRANSITIONS.get((self.state, step))
        if state is None:
            raise IllegalTransition(
                "run-step-illegal",
                expected=f"a run that can {step}",
                got=f"one that is {self.state}",
                do="look at the run: GET /v1/runs/{run_id}",
            )
        return replace(self, state=state, wait=self.wait if state in ACTIVE else None)
