"""What the service needs: repositories in its unit of work, and a server that runs models."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from inference.domain.messages import PredictionFailure
from inference.domain.model import (
    Case,
    Model,
    PendingDeployment,
    Prediction,
    PredictionSettings,
    Project,
    Traffic,
)
from radloop.errors import PermanentError, TemporaryError
from radloop.uow import UnitOfWork


class Projects(Protocol):
    """Projects heard of."""

    def get(self, project_id: str) -> Project | None:
        """Return a project, or None."""
        ...

    def save(self, project: Project) -> None:
        """Insert or replace a project."""
        ...


class Models(Protocol):
    """Bundles by project and digest."""

    def get(self, project_id: str, model_digest: str) -> Model | None:
        """Return a model, or None."""
        ...

    def save(self, model: Model) -> None:
        """Insert or replace a model."""
        ...

    def all(self, project_id: str | None = None) -> list[Model]:
        """Return all models, of one project if given, in the order they came."""
        ...

    def first_of_run(self, run_id: str) -> bool:
        """Remember a training run; return whether this is the first that is heard of it."""
        ...


class TrafficTable(Protocol):
    """Who serves."""

    def get(self, project_id: str) -> Traffic:
        """Return a project's traffic; that of a project nobody served yet is empty."""
        ...

    def save(self, traffic: Traffic) -> None:
        """Insert or replace."""
        ...

    def all(self) -> list[Traffic]:
        """Return the traffic of every project that ever had any."""
        ...


class Deployments(Protocol):
    """Candidates that wait to be loaded."""

    def add(self, candidate: PendingDeployment) -> None:
        """Queue a candidate; its id is given here."""
        ...

    def get(self, deployment_id: int) -> PendingDeployment | None:
        """Return a candidate that still waits, or None."""
        ...

    def next(self) -> PendingDeployment | None:
        """Return the one that waits longest, or None."""
        ...

    def of_project(self, project_id: str) -> list[PendingDeployment]:
        """Return a project's candidates, in the order they came."""
        ...

    def remove(self, deployment_id: int) -> None:
        """Take a candidate out of the queue."""
        ...


class Cases(Protocol):
    """Cases that can be predicted on."""

    def get(self, case_id: str) -> Case | None:
        """Return a case, or None."""
        ...

    def add(self, case: Case) -> None:
        """Keep a case; one that is there stays as it is."""
        ...

    def withdraw(self, study_key: str) -> None:
        """Remember that a study is to be forgotten, remove its cases and predictions, and queue its objects for deletion."""
        ...

    def is_withdrawn(self, study_key: str) -> bool:
        """Whether a study is to stay forgotten."""
        ...


class Predictions(Protocol):
    """Predictions, made or waiting."""

    def get(self, prediction_id: str) -> Prediction | None:
        """Return a prediction, or None."""
        ...

    def save(self, prediction: Prediction) -> None:
        """Insert or replace a prediction; releases it if a worker held it."""
        ...

    def wait_for(self, prediction_id: str, round_id: str) -> None:
        """Remember that a round waits for a prediction."""
        ...

    def waiting_rounds(self, prediction_id: str) -> list[str]:
        """Return the rounds that wait for a prediction, sorted, and forget that they do."""
        ...


class InferenceUnitOfWork(UnitOfWork, Protocol):
    """One transaction over everything the service owns."""

    projects: Projects
    models: Models
    traffic: TrafficTable
    deployments: Deployments
    cases: Cases
    predictions: Predictions


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model's program said of one image."""

    mask: np.ndarray
    """Label map (uint8) or, where the settings say so, segment bits (uint32), shape ``(I, J, K)``."""
    uncertainty: np.ndarray
    """Predictive entropy in nats, float32, shape ``(I, J, K)``."""
    embedding: np.ndarray
    """float32, shape ``(F,)``; empty where the network gives none."""
    scores: dict[str, float] = field(default_factory=dict)
    """Named scores, higher is worse."""


class ProgramFailed(PermanentError):
    """A model's program answered that it cannot predict on this image."""

    def __init__(self, reason: PredictionFailure, detail: str) -> None:
        super().__init__(reason.value, got="an error of the bundle's program")
        self.reason = reason
        self.detail = detail


class ModelBroken(PermanentError):
    """The server is well, and cannot load this bundle."""

    def __init__(self, detail: str) -> None:
        super().__init__("model-not-loadable", expected="a bundle that loads", got="an error of its program")
        self.detail = detail


class ModelNotLoaded(TemporaryError):
    """The server is well, and does not have this model (any more)."""


class ProgramDied(TemporaryError):
    """The server is well, and the model's process ended without an answer, or gave none in time."""


class ModelServer(Protocol):
    """A server that runs bundles: Triton, however many there are of it.

    All of it raises `TemporaryError` when the server is away.
    """

    def is_ready(self) -> bool:
        """Whether the server answers. Never raises."""
        ...

    def loaded(self) -> set[str]:
        """Return the names of the models that are ready everywhere."""
        ...

    def held(self) -> set[str]:
        """Return the names of the models that are ready anywhere, and take memory there."""
        ...

    def load(self, name: str, bundle: bytes) -> None:
        """Load a bundle under a name, which is made of its digest; when this returns it is ready everywhere.

        Raises
        ------
        ModelBroken
            The bundle cannot be loaded somewhere.
        """
        ...

    def unload(self, name: str) -> None:
        """Unload a model; one that is not there is no error."""
        ...

    def predict(
        self, name: str, image: np.ndarray, affine_ras: np.ndarray, seed: int, settings: PredictionSettings
    ) -> Answer:
        """Run a model on one image.

        Parameters
        ----------
        name : str
            As it was loaded.
        image : numpy.ndarray
            float32, shape ``(C, I, J, K)``.
        affine_ras : numpy.ndarray
            float64, shape ``(4, 4)``, voxel index to RAS in mm.
        seed : int
            0..2**63-1.
        settings : PredictionSettings

        Raises
        ------
        ProgramFailed
            The program says that it cannot.
        ModelNotLoaded, ProgramDied
            Worth another try.
        """
        ...


class PredictionQueue(Protocol):
    """The waiting predictions, as workers take them."""

    def claim(self) -> "Claimed | None":
        """Take the next one for this process, or None."""
        ...

    def put_back(self, prediction_id: str, delay_s: float, *, counts: bool) -> int:
        """Give one back, not to be taken for `delay_s`; return how often it failed, this time included if it counts."""
        ...


@dataclass(frozen=True, slots=True)
class Claimed:
    """A prediction to make, with everything that is needed."""

    prediction: Prediction
    case: Case
    model: Model
    project: Project
