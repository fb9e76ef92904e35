"""What a reader looks at: frames, volumes, the model's mask and its doubts; and the same of a case for who oversees it."""

from collections import OrderedDict
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from labeling.adapters.access import EVERYBODY
from labeling.adapters.api import Api
from labeling.adapters.formats.compression import packed
from labeling.adapters.formats.raw import raw_headers, write_raw, write_raw_image
from labeling.adapters.frames import Frames, FramesView
from labeling.domain.doubts import in_levels, places_of_doubt
from labeling.domain.labels import affine_of, as_mask
from labeling.domain.model import Case, Prediction, Project
from labeling.ports import case_of, project_of
from radloop.auth import Principal
from radloop.errors import Forbidden, Invalid, NotFound
from radloop.http import authenticated
from radloop.imaging import Volume, read_nifti, write_nifti
from radloop.objects.serving import Presigned, object_response
from radloop.references import ObjectRef

Who = Annotated[Principal, Depends(authenticated)]
Form = Annotated[str, Query(alias="format", pattern="^(nifti|raw)$", description="nifti, or raw with its headers.")]
_VOLUME = {
    200: {
        "content": {"application/x-nifti": {}, "application/octet-stream": {}},
        "description": "NIfTI, or raw: X-Dtype, X-Shape and X-Affine-LPS say what it is, i fastest.",
    }
}
_BYTES = {200: {"content": {"application/octet-stream": {}}, "description": "Raw bytes, i fastest."}}
_DOUBTS_KEPT = 256
_FAST = 1


class PlaceView(BaseModel):
    """Where the model is unsure: voxel (i, j, k) and the same in LPS, mm; 0 where it has found no segment there."""

    index: list[int]
    lps_mm: list[float]
    entropy_nats: float
    volume_ml: float
    segment: int


class DoubtsView(BaseModel):
    """Where the model is least sure, most uncertain first."""

    places: list[PlaceView]


def router(api: Api) -> APIRouter:
    """Return the endpoints of images, masks and doubts."""
    routes = APIRouter(prefix="/v1", tags=["images"])
    frames, kept = Frames(api.objects), OrderedDict[str, DoubtsView]()

    @routes.get("/tasks/{task_id}/frames")
    def task_frames(principal: Who, task_id: str, phase: Annotated[int | None, Query(ge=0)] = None) -> FramesView:
        """Return which instance each slice is, how its stored values read, and what window to begin with."""
        _, case = api.viewed(task_id, principal, "frames-viewed", *EVERYBODY)
        return frames.of(_of_phase(case, phase))

    @routes.get("/cases/{case_id}/frames")
    def case_frames(principal: Who, case_id: str, phase: Annotated[int | None, Query(ge=0)] = None) -> FramesView:
        """Return the same of a case, for who oversees it and is not reading it blind."""
        return frames.of(_of_phase(api.overseen(case_id, principal, "frames-viewed"), phase))

    @routes.get("/tasks/{task_id}/image", responses=_VOLUME, response_class=Response)
    def image(
        request: Request,
        principal: Who,
        task_id: str,
        channel: Annotated[int, Query(ge=0)] = 0,
        form: Form = "nifti",
        presigned: Presigned = False,
    ) -> Response:
        """Return one channel of the case; raw is little-endian int16, or float32 where that does not hold it."""
        _, case = api.viewed(task_id, principal, "image-viewed", *EVERYBODY)
        if channel >= len(case.volumes):
            raise Invalid("channel-unknown", expected=f"a channel below {len(case.volumes)}", got=str(channel))
        if form == "nifti":
            return object_response(api.objects, case.volumes[channel], "application/x-nifti", presigned=presigned)
        data, dtype = write_raw_image(read_nifti(api.objects.get(case.volumes[channel])).array)
        return _bytes(request, data, raw_headers(case, dtype))

    @routes.get("/tasks/{task_id}/manifest", response_class=Response)
    def manifest(principal: Who, task_id: str) -> Response:
        """Return the case's manifest: instance and frame of each slice, affine, channels, quantity."""
        _, case = api.viewed(task_id, principal, "manifest-viewed", *EVERYBODY)
        return Response(api.objects.get(case.manifest), media_type="application/json")

    @routes.get("/tasks/{task_id}/proposal", responses=_VOLUME, response_class=Response)
    def proposal(
        request: Request, principal: Who, task_id: str, form: Form = "nifti", presigned: Presigned = False
    ) -> Response:
        """Return the model's mask to start from. 403 ``blind`` where the reading must not be influenced, 404 where there is none."""
        case, prediction = _offered(task_id, principal, "proposal-viewed")
        return _mask(request, case, prediction, form, presigned)

    @routes.get("/cases/{case_id}/prediction", responses=_VOLUME, response_class=Response)
    def case_prediction(
        request: Request, principal: Who, case_id: str, form: Form = "nifti", presigned: Presigned = False
    ) -> Response:
        """Return the newest prediction's mask, for who oversees the case and is not reading it blind."""
        case = api.overseen(case_id, principal, "prediction-viewed")
        with api.unit_of_work(read_only=True) as uow:
            prediction = uow.predictions.newest_of_case(case_id)
        if prediction is None:
            raise NotFound("prediction-missing", expected="a prediction of the case", got="none", do="go on without it")
        return _mask(request, case, prediction, form, presigned)

    @routes.get("/tasks/{task_id}/uncertainty", responses=_BYTES, response_class=Response)
    def uncertainty(request: Request, principal: Who, task_id: str) -> Response:
        """Return the entropy of the model's answer, uint8: a value times the header X-Scale is in nats."""
        case, prediction = _offered(task_id, principal, "uncertainty-viewed")
        levels, scale = in_levels(_entropy(prediction))
        return _bytes(request, write_raw(levels), raw_headers(case, "uint8") | {"X-Scale": repr(scale)})

    @routes.get("/tasks/{task_id}/doubts")
    def doubts(principal: Who, task_id: str) -> DoubtsView:
        """Return the places where the model is least sure, most uncertain first, 20 at most."""
        case, prediction = _offered(task_id, principal, "doubts-viewed")
        found = kept.get(prediction.prediction_id)
        if found is None:
            found = kept[prediction.prediction_id] = _doubts(case, prediction)
            if len(kept) > _DOUBTS_KEPT:
                kept.popitem(last=False)
        return found

    def _of_phase(case: Case, phase: int | None) -> Case:
        """Return the case of another phase of the same series."""
        if phase is None or phase == case.phase:
            return case
        with api.unit_of_work(read_only=True) as uow:
            known = dict(uow.cases.phases(case.project_id, [case.series_key]).get(case.series_key, []))
            if not case.series_key or phase not in known:
                raise NotFound(
                    "phase-unknown",
                    expected=f"a phase of the series: {', '.join(map(str, known or [case.phase]))}",
                    got=str(phase),
                    do="GET /v1/tasks/{task_id} lists the phases",
                )
            return case_of(known[phase], uow)

    def _offered(task_id: str, principal: Principal, action: str) -> tuple[Case, Prediction]:
        task, case = api.viewed(task_id, principal, action, *EVERYBODY)
        if task.blind(case):
            raise Forbidden(
                "blind",
                expected="a task that shows a proposal",
                got="one that is read blind",
                do="contour without it: GET /v1/tasks/{task_id} says blind true",
            )
        with api.unit_of_work(read_only=True) as uow:
            prediction = uow.predictions.get(task.offered_prediction(case))
        if prediction is None:
            missing = "proposal-missing" if action == "proposal-viewed" else "uncertainty-missing"
            raise NotFound(missing, expected="a prediction", got="none", do="contour without it")
        return case, prediction

    def _entropy(prediction: Prediction) -> np.ndarray:
        """Return the map in nats as it was stored, float, shape ``(I, J, K)``."""
        ref: ObjectRef | None = prediction.uncertainty
        try:
            if ref is not None:
                return read_nifti(api.objects.get(ref)).array
        except NotFound:
            pass  # maps are kept for a while only
        raise NotFound("uncertainty-missing", expected="the map of the model's doubts", got="none", do="go on without")

    def _doubts(case: Case, prediction: Prediction) -> DoubtsView:
        entropy, mask = _entropy(prediction), _as_kept(case, prediction).array
        voxel_ml = float(np.prod(case.spacing_mm)) / 1000
        i, j, k = case.spacing_mm
        affine = affine_of(case)
        return DoubtsView(
            places=[
                PlaceView(
                    index=list(place.index),
                    lps_mm=[float(n) for n in (affine @ [*place.index, 1])[:3]],
                    entropy_nats=place.entropy_nats,
                    volume_ml=place.voxels * voxel_ml,
                    segment=place.segment,
                )
                for place in places_of_doubt(entropy, mask, (i, j, k))
            ]
        )

    def _project(case: Case) -> Project:
        with api.unit_of_work(read_only=True) as uow:
            return project_of(case.project_id, uow)

    def _as_kept(case: Case, prediction: Prediction) -> Volume:
        """Return the model's mask in the kind of the project's masks: also of a model that knows of no overlap."""
        mask = read_nifti(api.objects.get(prediction.mask))
        return Volume(as_mask(mask.array, _project(case)), mask.affine_lps)

    def _mask(request: Request, case: Case, prediction: Prediction, form: str, presigned: bool) -> Response:
        if form == "nifti":
            if not _project(case).overlapping_segments:
                return object_response(api.objects, prediction.mask, "application/x-nifti", presigned=presigned)
            # The stored one may be a label map, so it goes through the service.
            return Response(write_nifti(_as_kept(case, prediction)), media_type="application/x-nifti")
        mask = _as_kept(case, prediction).array
        return _bytes(request, write_raw(mask), raw_headers(case, mask.dtype.name))

    return routes


def _bytes(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """Answer with raw bytes, gzip where it is accepted."""
    if "gzip" in request.headers.get("accept-encoding", ""):
        data, headers = packed(data, _FAST), headers | {"Content-Encoding": "gzip"}
    return Response(data, media_type="application/octet-stream", headers=headers | {"Vary": "Accept-Encoding"})
