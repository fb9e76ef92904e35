"""The HTTP API: predictions a person waits for, predictions made, models, status.

A reader gets no prediction here: which proposal a reader may see is for `labeling` to say, which knows what must stay blind.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, Response, UploadFile
from pydantic import BaseModel, Field

from inference.domain.bundle import check_bundle
from inference.domain.messages import AskForPrediction, ImportModel
from inference.domain.model import Model, Prediction, PredictionSettings, PredictionState, prediction_id_of
from radloop.auth import Principal, Role
from radloop.errors import Busy, Invalid, NotFound
from radloop.http import authenticated
from radloop.messages import Message
from radloop.objects import Objects
from radloop.objects.serving import Presigned, object_response
from radloop.references import ObjectRef, Score

_POLL_S = 0.05
_SEES_PREDICTIONS = (Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN)
_SEES_MODELS = (*_SEES_PREDICTIONS, Role.READER, Role.AUDITOR)

Who = Annotated[Principal, Depends(authenticated)]


class InferRequest(BaseModel):
    """``InferRequest`` of the contract."""

    project_id: str
    case_id: str
    model_digest: str = Field(default="", description="Digest of the bundle that predicts; empty for what serves.")


class InferApi:
    """What the endpoints do, apart from how they are routed.

    Parameters
    ----------
    dispatch : callable
        Handles a command and commits.
    unit_of_work : callable
        ``unit_of_work(read_only=True)`` for queries.
    objects : Objects
    server_ready : callable
        Whether Triton answers.
    settings : PredictionSettings
        The site's.
    wait_s : float
        Longest time a request waits for its prediction.
    bundle_limit_bytes : int
        Largest bundle that may be brought.
    """

    def __init__(
        self,
        dispatch: Callable[[Message], list[Message]],
        unit_of_work: Callable[..., Any],
        objects: Objects,
        server_ready: Callable[[], bool],
        *,
        settings: PredictionSettings,
        wait_s: float,
        bundle_limit_bytes: int,
    ) -> None:
        self._dispatch, self._unit_of_work, self._objects = dispatch, unit_of_work, objects
        self._server_ready, self._settings = server_ready, settings
        self._wait_s, self._bundle_limit_bytes = wait_s, bundle_limit_bytes

    def infer(self, request: InferRequest, principal: Principal) -> dict[str, Any]:
        """Queue a prediction before the others, wait for it, return it.

        Raises
        ------
        NotFound
            Unknown case, unknown model, or no model serves.
        Busy
            Not made in time (Triton away, long queue); it stays queued, asking again picks it up.
        """
        self.require(principal, request.project_id, *_SEES_PREDICTIONS)
        self._dispatch(AskForPrediction(request.project_id, request.case_id, request.model_digest, principal.subject))
        deadline, pause = time.monotonic() + self._wait_s, threading.Event()
        while True:
            with self._unit_of_work(read_only=True) as uow:
                digest = request.model_digest or uow.traffic.get(request.project_id).serving_digest
                settings = self._settings.of_project(uow.projects.get(request.project_id))
                prediction = uow.predictions.get(prediction_id_of(request.case_id, digest, settings.digest))
                if prediction is not None and prediction.state is not PredictionState.WAITING:
                    return self._shown(prediction, uow)
            if time.monotonic() > deadline:
                raise Busy(
                    "prediction-waits",
                    delay_s=5.0,
                    expected=f"a prediction within {self._wait_s:g} s",
                    got="Triton is busy" if self._server_ready() else "Triton is away",
                    do="ask again: the prediction stays queued",
                )
            pause.wait(_POLL_S)

    def prediction(self, prediction_id: str, principal: Principal) -> dict[str, Any]:
        """Return one prediction."""
        with self._unit_of_work(read_only=True) as uow:
            return self._shown(self._find(prediction_id, principal, uow), uow)

    def predictions(self, case_id: str, model_digest: str | None, principal: Principal) -> dict[str, Any]:
        """Return a case's predictions, oldest first."""
        with self._unit_of_work(read_only=True) as uow:
            found = uow.predictions.of_case(case_id, model_digest)
            for project_id in {prediction.project_id for prediction in found}:
                self.require(principal, project_id, *_SEES_PREDICTIONS)
            return {"predictions": [self._shown(prediction, uow) for prediction in found]}

    def volume(self, prediction_id: str, part: str, principal: Principal, *, presigned: bool) -> Response:
        """Answer with the mask or the uncertainty map as NIfTI; an audited view."""
        with self._unit_of_work() as uow:
            prediction = self._find(prediction_id, principal, uow)
            ref: ObjectRef | None = getattr(prediction, part)
            if ref is None:
                raise NotFound(f"{part}-missing", expected=f"a prediction with its {part}", got=prediction.state.value)
            uow.audit(principal.subject, f"view-{part}", prediction.case_id)
            uow.commit()
        return object_response(self._objects, ref, "application/x-nifti", presigned=presigned)

    def models(self, project_id: str | None, principal: Principal) -> dict[str, Any]:
        """Return the models of the projects the principal has a role in."""
        with self._unit_of_work(read_only=True) as uow:
            visible = [
                _shown_model(model)
                for model in uow.models.all(project_id)
                if self._roles(principal, model.project_id, uow) & set(_SEES_MODELS)
            ]
        return {"models": visible}

    def bring(self, file: UploadFile, project_id: str, model_name: str, serve: bool, principal: Principal) -> Any:
        """Check and store a brought bundle, and announce it.

        Raises
        ------
        Forbidden
            Not a site administrator: a bundle is code.
        Invalid
            Too large, or not a sound bundle; the message names what is missing.
        NotFound
            Unknown project.
        """
        self.require(principal, project_id, Role.SITE_ADMIN)
        with self._unit_of_work(read_only=True) as uow:
            if uow.projects.get(project_id) is None:
                raise NotFound(
                    "project-unknown", expected="a project of this site", got="none", do="configure the project first"
                )
        archive = file.file.read(self._bundle_limit_bytes + 1)
        if len(archive) > self._bundle_limit_bytes:
            raise Invalid(
                "bundle-too-large", expected=f"at most {self._bundle_limit_bytes} bytes", got="more", do="shrink it"
            )
        check_bundle(archive)
        hexdigest = hashlib.sha256(archive).hexdigest()
        ref = self._objects.put(f"inference/models/{hexdigest}.zip", archive)
        self._dispatch(ImportModel(project_id, model_name, ref.digest, ref, serve, principal.subject))
        with self._unit_of_work(read_only=True) as uow:
            return _shown_model(uow.models.get(project_id, ref.digest))

    def status(self) -> dict[str, Any]:
        """Return how much waits and what serves."""
        with self._unit_of_work(read_only=True) as uow:
            waiting, in_flight = uow.predictions.counts()
            serving = {of.project_id: of.serving_digest for of in uow.traffic.all()}
        return {
            "waiting": waiting,
            "in_flight": in_flight,
            "serving": serving,
            "triton": "ready" if self._server_ready() else "away",
        }

    def require(self, principal: Principal, project_id: str, *roles: Role) -> None:
        """Check that one of the roles is held, by token or by membership of the project."""
        with self._unit_of_work(read_only=True) as uow:
            self._with_members(principal, project_id, uow).require(project_id, *roles)

    def _find(self, prediction_id: str, principal: Principal, uow: Any) -> Prediction:
        prediction = uow.predictions.get(prediction_id)
        if prediction is None:
            raise NotFound("prediction-unknown", expected="a prediction of this site", got="none")
        self._with_members(principal, prediction.project_id, uow).require(prediction.project_id, *_SEES_PREDICTIONS)
        return prediction

    @staticmethod
    def _with_members(principal: Principal, project_id: str, uow: Any) -> Principal:
        project = uow.projects.get(project_id)
        return principal.with_members(project_id, project.members if project else ())

    def _roles(self, principal: Principal, project_id: str, uow: Any) -> frozenset[Role]:
        return self._with_members(principal, project_id, uow).roles_in(project_id)

    @staticmethod
    def _shown(prediction: Prediction, uow: Any) -> dict[str, Any]:
        """Return ``InferResponse`` of the contract."""
        model = uow.models.get(prediction.project_id, prediction.model_digest)
        return {
            "prediction_id": prediction.prediction_id,
            "case_id": prediction.case_id,
            "project_id": prediction.project_id,
            "model_name": model.model_name,
            "model_digest": prediction.model_digest,
            "settings_digest": prediction.settings_digest,
            "state": prediction.state.value,
            "mask": _shown_ref(prediction.mask),
            "uncertainty": _shown_ref(prediction.uncertainty),
            "embedding": _shown_ref(prediction.embedding),
            "scores": _shown_scores(prediction.scores),
            "volumes": _shown_scores(prediction.volumes),
            "reason": prediction.reason.value if prediction.reason else None,
            "detail": prediction.detail,
        }


def _shown_ref(ref: ObjectRef | None) -> dict[str, Any] | None:
    return {"key": ref.key, "digest": ref.digest, "size_bytes": ref.size_bytes} if ref else None


def _shown_scores(scores: tuple[Score, ...]) -> list[dict[str, Any]]:
    return [{"name": score.name, "value": score.value} for score in scores]


def _shown_model(model: Model) -> dict[str, Any]:
    return {
        "project_id": model.project_id,
        "model_name": model.model_name,
        "model_digest": model.model_digest,
        "state": model.state.value,
        "triton_name": model.triton_name,
        "size_bytes": model.bundle.size_bytes,
        "detail": model.detail,
    }


def router(api: InferApi) -> APIRouter:
    """Return the endpoints."""
    routes = APIRouter(prefix="/v1", tags=["inference"])

    @routes.post("/infer")
    def infer(request: InferRequest, principal: Who) -> dict[str, Any]:
        """Predict on a case now; waits until it is made."""
        return api.infer(request, principal)

    @routes.get("/predictions")
    def predictions(
        principal: Who, case_id: Annotated[str, Query()], model_digest: Annotated[str | None, Query()] = None
    ) -> dict[str, Any]:
        """List a case's predictions."""
        return api.predictions(case_id, model_digest, principal)

    @routes.get("/predictions/{prediction_id}")
    def prediction(prediction_id: str, principal: Who) -> dict[str, Any]:
        """Show one prediction."""
        return api.prediction(prediction_id, principal)

    @routes.get("/predictions/{prediction_id}/mask", response_class=Response)
    def mask(prediction_id: str, principal: Who, presigned: Presigned = False) -> Response:
        """Return the mask as NIfTI: a label map, or segment bits where the project's segments may overlap."""
        return api.volume(prediction_id, "mask", principal, presigned=presigned)

    @routes.get("/predictions/{prediction_id}/uncertainty", response_class=Response)
    def uncertainty(prediction_id: str, principal: Who, presigned: Presigned = False) -> Response:
        """Return the uncertainty map (entropy in nats) as NIfTI."""
        return api.volume(prediction_id, "uncertainty", principal, presigned=presigned)

    @routes.get("/models")
    def models(principal: Who, project_id: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        """List models."""
        return api.models(project_id, principal)

    @routes.post("/models", status_code=201)
    def bring(
        principal: Who,
        file: Annotated[UploadFile, File(description="MONAI Bundle, zip")],
        project_id: Annotated[str, Form()],
        model_name: Annotated[str, Form(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")],
        serve: Annotated[bool, Form()] = False,
    ) -> dict[str, Any]:
        """Bring a model: stored, announced, and with `serve` loaded and put in front."""
        return api.bring(file, project_id, model_name, serve, principal)

    @routes.get("/status")
    def status(principal: Who) -> dict[str, Any]:
        """Show how much waits and what serves."""
        return api.status()

    return routes
