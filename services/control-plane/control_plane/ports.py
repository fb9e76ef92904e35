"""What the control plane needs to remember. One repository per subject; `adapters/sql.py` has them on SQL."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from control_plane.domain import messages
from control_plane.domain.project import Project
from radloop.references import CaseDice, ObjectRef
from radloop.uow import UnitOfWork as BaseUnitOfWork


class Projects(Protocol):
    """Projects and all their versions."""

    def get(self, project_id: str) -> Project | None:
        """Return a project at its newest version."""
        ...

    def with_model_name(self, model_name: str) -> str | None:
        """Return the id of the project whose models have this name."""
        ...

    def save(self, project: Project, by: str) -> None:
        """Add a version."""
        ...


class WishKind(StrEnum):
    """What a person asked for."""

    PROMOTE = "promote"
    ROLL_BACK = "roll-back"
    SERVE_NONE = "serve-none"


@dataclass(frozen=True)
class Wish:
    """A wish for a model to serve; an empty digest asks for none."""

    sequence: int
    model_digest: str


class Wishes(Protocol):
    """What people asked for: models to serve, runs to start."""

    def newest(self, project_id: str) -> Wish | None:
        """Return the newest wish for a model, or None when there was none."""
        ...

    def add(self, said: messages.ModelPromoted, kind: WishKind, by: str) -> None:
        """Remember a wish for a model."""
        ...

    def add_training_request(self, said: messages.TrainingRequested, by: str) -> None:
        """Remember that a run was asked for."""
        ...


class Studies(Protocol):
    """Studies and cases by their pseudonyms, and which of them are to be forgotten."""

    def add(self, study: messages.StudyIngested) -> None:
        """Remember a study or its next revision; a repeat changes nothing."""
        ...

    def add_rejection(self, rejection: messages.StudyRejected) -> None:
        """Remember a rejection; a repeat changes nothing."""
        ...

    def withdraw(self, withdrawal: messages.StudyWithdrawn) -> None:
        """Remember that a study must be forgotten, for ever."""
        ...

    def is_withdrawn(self, study_key: str) -> bool:
        """Whether the study must be forgotten."""
        ...

    def cases_of(self, study_key: str) -> list[str]:
        """Return the ids of a study's cases, as far as any event has named them."""
        ...

    def withdraw_cases(self, study_key: str, case_ids: Iterable[str]) -> None:
        """Remember which cases belong to a withdrawn study."""
        ...

    def withdrawn_among(self, case_ids: Iterable[str]) -> set[str]:
        """Return those of the cases whose study must be forgotten."""
        ...

    def forget(self, study_key: str) -> None:
        """Delete the study and its cases; the withdrawal itself stays."""
        ...


class Rounds(Protocol):
    """What the loop did case by case: predictions, flags, approved labels."""

    def add_prediction(self, prediction: messages.PredictionMade) -> None:
        """Remember a prediction; it outweighs a failure of the same prediction."""
        ...

    def add_failed_prediction(self, failure: messages.PredictionFailed) -> None:
        """Remember a failure, unless the prediction was made after all."""
        ...

    def add_flag(self, flag: messages.EdgeCaseFlagged) -> None:
        """Remember a flag; a repeat changes nothing."""
        ...

    def add_approval(self, approval: messages.LabelApproved) -> None:
        """Remember an approval; a repeat changes nothing."""
        ...

    def forget(self, study_key: str) -> None:
        """Delete everything about a study."""
        ...


@dataclass(frozen=True)
class RegisteredModel:
    """What is needed to let a model serve."""

    project_id: str
    digest: str
    bundle: ObjectRef


class Registry(Protocol):
    """Dataset versions, runs, models and their deployments."""

    def add_dataset(self, started: messages.TrainingStarted) -> None:
        """Remember a dataset version; the same version again changes nothing."""
        ...

    def run_started(self, started: messages.TrainingStarted) -> None:
        """Remember what a run is; its end may have been heard before."""
        ...

    def run_waits(self, waiting: messages.TrainingWaiting) -> None:
        """Remember what a run's job waits for, unless something newer is known; its start may not have been heard yet."""
        ...

    def run_ended_with_model(self, trained: messages.ModelTrained) -> None:
        """Remember a run's model; its start may not have been heard yet."""
        ...

    def run_failed(self, failed: messages.TrainingFailed) -> None:
        """Remember why a run ended without a model; its start may not have been heard yet."""
        ...

    def add_trained_model(self, trained: messages.ModelTrained) -> None:
        """Remember a model; one that was heard of by its deployment gains its run."""
        ...

    def add_candidate(self, deployed: messages.ModelDeployed) -> None:
        """Remember the candidate of a deployment as a model; one that is known stays as it is."""
        ...

    def add_dice(self, project_id: str, digest: str, part: str, dice: Sequence[CaseDice]) -> None:
        """Remember per-case Dice; `part` is ``validation``, ``serving-validation`` or ``test``."""
        ...

    def forget_dice(self, case_ids: Iterable[str]) -> None:
        """Delete the Dice of these cases, of every model."""
        ...

    def model(self, project_id: str, digest: str) -> RegisteredModel | None:
        """Return a model of a project."""
        ...

    def add_deployment(self, site: str, deployed: messages.ModelDeployed) -> None:
        """Remember a deployment; a repeat changes nothing."""
        ...

    def served(self, project_id: str) -> dict[str, list[str]]:
        """Return by site the digest that served after each deployment, oldest first; empty strings where none did."""
        ...

    def answered(self, project_id: str) -> dict[str, int]:
        """Return by site the sequence of the newest wish it has answered; 0 where it has answered none."""
        ...


class UnitOfWork(BaseUnitOfWork, Protocol):
    """One transaction over everything above."""

    projects: Projects
    wishes: Wishes
    studies: Studies
    rounds: Rounds
    registry: Registry

    @property
    def site(self) -> str:
        """Site whose service said the event being handled; empty for a command."""
        ...
