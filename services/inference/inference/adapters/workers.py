"""The work that takes time, done beside the events: predicting, loading models, deleting objects.

Each is a step a `radloop.service.Worker` calls again and again. What there is to do stands in the tables, so whatever is
interrupted is simply done again, and studies that come faster than Triton answers wait there and nowhere else.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from prometheus_client import Counter, Gauge, Histogram

from inference.adapters import images
from inference.domain.bundle import check_bundle
from inference.domain.messages import (
    ConcludeDeployment,
    ConcludePrediction,
    GiveUpPrediction,
    PredictionFailure,
)
from inference.domain.model import Model, PredictionSettings, Project, seed_of
from inference.domain.promotion import digests_to_keep, names_to_unload
from inference.ports import (
    Answer,
    Claimed,
    ModelBroken,
    ModelNotLoaded,
    ModelServer,
    PredictionQueue,
    ProgramDied,
    ProgramFailed,
)
from radloop.errors import PermanentError, TemporaryError
from radloop.messages import Message
from radloop.objects import Objects
from radloop.telemetry import logger

log = logger(__name__)

PREDICTIONS = Counter("radloop_inference_predictions_total", "Predictions by what became of them", ["outcome"])
PREDICTION_SECONDS = Histogram(
    "radloop_inference_prediction_seconds",
    "Seconds from taking a prediction to its objects being stored",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
WAITING = Gauge("radloop_inference_waiting_predictions", "Predictions that wait for Triton")
LOADED = Gauge("radloop_inference_loaded_models", "Models that are ready in Triton, in every replica of it")

MAX_ATTEMPTS = 3
"""How often a model's process may die on a case before the prediction is given up."""

TRIAL_EDGE = 24
"""Edge in voxels of the random image every candidate must predict on."""

RELOAD_PAUSE_S = 30.0
"""Pause before a serving model that would not load again is tried once more."""

Dispatch = Callable[[Message], list[Message]]


class ModelLoader:
    """Brings bundles from the object store into Triton, one at a time.

    Parameters
    ----------
    server : ModelServer
    objects : Objects
    settings : PredictionSettings
        The site's, used for the trial.
    """

    def __init__(self, server: ModelServer, objects: Objects, settings: PredictionSettings) -> None:
        self._server, self._objects, self._settings = server, objects, settings
        self._one_at_a_time = threading.Lock()

    def ensure(self, model: Model) -> None:
        """Load a model unless it is loaded.

        Raises
        ------
        ModelBroken
            The bundle is missing, damaged or not loadable.
        TemporaryError
            Triton or the object store is away.
        """
        with self._one_at_a_time:
            if model.triton_name not in self._server.loaded():
                self._server.load(model.triton_name, self._bundle(model))

    def try_out(self, model: Model, project: Project) -> None:
        """Let a loaded model predict on a small random image, as it will have to in its project.

        Raises
        ------
        ModelBroken
            It cannot.
        """
        try:
            facts = check_bundle(self._bundle(model))
            settings = self._settings.of_project(project)
            generator = np.random.default_rng(seed_of("trial", model.model_digest, settings.digest))
            image = generator.normal(100.0, 25.0, (facts.channels or 1, TRIAL_EDGE, TRIAL_EDGE, TRIAL_EDGE))
            self._server.predict(model.triton_name, image.astype(np.float32), np.eye(4), 0, settings)
        except (ProgramFailed, ProgramDied) as error:
            raise ModelBroken(getattr(error, "detail", "") or str(error)) from error
        except ModelBroken:
            raise
        except PermanentError as error:
            raise ModelBroken(str(error)) from error

    def _bundle(self, model: Model) -> bytes:
        try:
            return self._objects.get(model.bundle)
        except PermanentError as error:
            raise ModelBroken(str(error)) from error


class ModelKeeper:
    """Loads candidates, keeps in Triton what serves, and unloads what nobody needs.

    Parameters
    ----------
    server : ModelServer
    loader : ModelLoader
    unit_of_work : callable
        ``unit_of_work(read_only=True)``.
    dispatch : callable
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        server: ModelServer,
        loader: ModelLoader,
        unit_of_work: Callable[..., Any],
        dispatch: Dispatch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._loader, self._clock = server, loader, clock
        self._unit_of_work, self._dispatch = unit_of_work, dispatch
        self._not_before: dict[str, float] = {}

    def step(self) -> bool:
        """Take the next candidate to its end; with none, put Triton into the state the tables ask for."""
        if not self._server.is_ready():
            return False
        with self._unit_of_work(read_only=True) as uow:
            candidate = uow.deployments.next()
            project = uow.projects.get(candidate.project_id) if candidate else None
            models = uow.models.all()
            traffic = uow.traffic.all()
            asked_for = uow.predictions.asked_for()
            waiting, _ = uow.predictions.counts()
        WAITING.set(waiting)
        by_digest = {(model.project_id, model.model_digest): model for model in models}
        if candidate is not None:
            assert project is not None  # a candidate is queued with its project
            model = by_digest[candidate.project_id, candidate.model_digest]
            self._dispatch(self._try_candidate(candidate.deployment_id, model, project))
            return True
        loaded = self._server.loaded()
        for of_project in traffic:
            serving = by_digest.get((of_project.project_id, of_project.serving_digest))
            if serving is not None and serving.triton_name not in loaded:
                self._load_again(serving)
        for name in sorted(names_to_unload(models, digests_to_keep(traffic, asked_for), self._server.held())):
            self._server.unload(name)
            log.info("model unloaded", model=name)
        LOADED.set(len(self._server.loaded()))
        return False

    def _try_candidate(self, deployment_id: int, model: Model, project: Project) -> ConcludeDeployment:
        started = time.perf_counter()
        try:
            self._loader.ensure(model)
            self._loader.try_out(model, project)
        except ModelBroken as error:
            self._server.unload(model.triton_name)
            log.warning("candidate cannot be loaded", model=model.triton_name)
            return ConcludeDeployment(deployment_id, model.model_digest, False, error.detail)
        log.info("candidate loaded", model=model.triton_name, seconds=round(time.perf_counter() - started, 2))
        return ConcludeDeployment(deployment_id, model.model_digest, True, "")

    def _load_again(self, model: Model) -> None:
        """Load what serves after Triton was restarted. It loaded once, so a failure is not its end: it is tried again."""
        if self._clock() < self._not_before.get(model.triton_name, 0.0):
            return
        try:
            self._loader.ensure(model)
            log.info("serving model loaded again", model=model.triton_name)
        except ModelBroken:
            self._not_before[model.triton_name] = self._clock() + RELOAD_PAUSE_S
            log.error("serving model cannot be loaded, trying again", model=model.triton_name)


class PredictionWorker:
    """Takes one waiting prediction at a time; as many of these run as may be in flight.

    Parameters
    ----------
    queue : PredictionQueue
    server : ModelServer
    loader : ModelLoader
    objects : Objects
    dispatch : callable
    settings : PredictionSettings
        The site's.
    keep_uncertainty, keep_embedding : bool
        Whether the map and the embedding are stored; the mask always is.
    """

    def __init__(
        self,
        queue: PredictionQueue,
        server: ModelServer,
        loader: ModelLoader,
        objects: Objects,
        dispatch: Dispatch,
        settings: PredictionSettings,
        *,
        keep_uncertainty: bool,
        keep_embedding: bool,
    ) -> None:
        self._queue, self._server, self._loader, self._objects = queue, server, loader, objects
        self._dispatch, self._settings = dispatch, settings
        self._keep_uncertainty, self._keep_embedding = keep_uncertainty, keep_embedding

    def step(self) -> bool:
        """Make the next prediction; while Triton is away, take none."""
        if not self._server.is_ready():
            return False
        claimed = self._queue.claim()
        if claimed is None:
            return False
        prediction_id = claimed.prediction.prediction_id
        try:
            with PREDICTION_SECONDS.time():
                conclusion = self._make(claimed)
        except ProgramDied as error:
            attempts = self._queue.put_back(prediction_id, error.delay_s, counts=True)
            if attempts < MAX_ATTEMPTS:
                log.warning("model process died on a case, trying again", attempt=attempts)
                return True
            conclusion = GiveUpPrediction(prediction_id, PredictionFailure.PROGRAM_RAISED, str(error))
        except TemporaryError as error:
            self._queue.put_back(prediction_id, error.delay_s, counts=False)
            log.warning("prediction waits", reason=error.code)
            return True
        PREDICTIONS.labels("made" if isinstance(conclusion, ConcludePrediction) else conclusion.reason.value).inc()
        self._dispatch(conclusion)
        return True

    def _make(self, claimed: Claimed) -> ConcludePrediction | GiveUpPrediction:
        prediction_id = claimed.prediction.prediction_id
        try:
            image = images.read_case(self._objects, claimed.case)
        except PermanentError as error:
            return GiveUpPrediction(prediction_id, PredictionFailure.UNREADABLE, str(error))
        try:
            answer = self._ask(claimed, image)
        except ProgramFailed as error:
            return GiveUpPrediction(prediction_id, error.reason, error.detail)
        except ModelBroken as error:
            return GiveUpPrediction(prediction_id, PredictionFailure.PROGRAM_RAISED, error.detail)
        return images.store_answer(
            self._objects,
            claimed,
            image,
            answer,
            keep_uncertainty=self._keep_uncertainty,
            keep_embedding=self._keep_embedding,
        )

    def _ask(self, claimed: Claimed, image: images.CaseImage) -> Answer:
        name, settings = claimed.model.triton_name, self._settings.of_project(claimed.project)
        prediction = claimed.prediction
        seed = seed_of(prediction.case_id, prediction.model_digest, prediction.settings_digest)
        try:
            return self._server.predict(name, image.channels, image.affine_ras, seed, settings)
        except ModelNotLoaded:
            self._loader.ensure(claimed.model)
            return self._server.predict(name, image.channels, image.affine_ras, seed, settings)


class ObjectSweeper:
    """Deletes what the service stored of withdrawn studies.

    Parameters
    ----------
    objects : Objects
    unit_of_work : callable
    """

    def __init__(self, objects: Objects, unit_of_work: Callable[..., Any]) -> None:
        self._objects, self._unit_of_work = objects, unit_of_work

    def step(self) -> bool:
        """Delete the objects of every study withdrawn since; an interrupted deletion is done again."""
        with self._unit_of_work(read_only=True) as uow:
            studies = uow.cases.objects_to_delete()
        for study_key in studies:
            for key in self._objects.keys(f"inference/{study_key}/"):
                self._objects.delete(key)
            with self._unit_of_work() as uow:
                uow.cases.objects_deleted(study_key)
                uow.commit()
        return False
