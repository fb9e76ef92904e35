"""The HTTP API: runs with their progress, dataset versions and their export, what withdrawn studies were in."""

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.background import BackgroundTask

from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.dispatch import Dispatcher
from radloop.errors import Conflict, NotFound
from radloop.http import authenticated
from radloop.objects import Objects
from trainer.adapters.export import ExportFormat, export
from trainer.domain.messages import CancelRun
from trainer.domain.model import DatasetVersion, Run

Caller = Annotated[Principal, Depends(authenticated)]

OVERSEERS = (Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR)
DECIDERS = (Role.PROJECT_LEAD, Role.SITE_ADMIN)


def create_router(
    dispatcher: Dispatcher,
    unit_of_work: Callable[..., AbstractContextManager[Any]],
    objects: Objects,
    progress: Callable[[Run], dict[str, Any]],
    logs: Callable[[Run], bytes],
    work_dir: Path,
) -> APIRouter:
    """Make the endpoints.

    Parameters
    ----------
    dispatcher, unit_of_work
        Commands, and transactions (``read_only=True`` for questions).
    objects
        For exports.
    progress
        What a run's job last wrote, or what it waits for.
    logs
        What a run's job wrote on its outputs.
    work_dir
        Folder an export is written to before it is sent.
    """
    router = APIRouter(prefix="/v1")

    def with_membership(uow: Any, principal: Principal, project_id: str) -> Principal:
        project = uow.projects.get(project_id)
        return principal.with_members(project_id, project.members if project else ())

    def visible_run(uow: Any, principal: Principal, run_id: str, *roles: Role) -> Run:
        run = uow.runs.get(run_id)
        if run is None:
            raise NotFound("run-unknown", expected="the id of a run", got="another id", do="GET /v1/runs")
        with_membership(uow, principal, run.project_id).require(run.project_id, *roles)
        return run

    def visible_dataset(uow: Any, principal: Principal, digest: str, *roles: Role) -> DatasetVersion:
        dataset = uow.runs.dataset(digest)
        if dataset is None:
            raise NotFound(
                "dataset-unknown", expected="the digest of a dataset version", got="another", do="GET /v1/runs"
            )
        with_membership(uow, principal, dataset.project_id).require(dataset.project_id, *roles)
        return dataset

    @router.get("/runs")
    def list_runs(principal: Caller, project_id: str | None = None) -> dict[str, Any]:
        """List the runs of a project, oldest first; of all projects for who may see the whole site."""
        with unit_of_work(read_only=True) as uow:
            asked = project_id or EVERY_PROJECT
            with_membership(uow, principal, asked).require(asked, *OVERSEERS)
            runs = uow.runs.of_project(project_id)
        return {"runs": [_run(run, progress(run)) for run in runs]}

    @router.get("/runs/{run_id}")
    def get_run(principal: Caller, run_id: str) -> dict[str, Any]:
        """Return a run with its progress."""
        with unit_of_work(read_only=True) as uow:
            run = visible_run(uow, principal, run_id, *OVERSEERS)
        return _run(run, progress(run))

    @router.get("/runs/{run_id}/log")
    def get_log(principal: Caller, run_id: str) -> PlainTextResponse:
        """Return what a run's job wrote on its outputs; it holds counts and places in the code, no identifiers."""
        with unit_of_work(read_only=True) as uow:
            run = visible_run(uow, principal, run_id, *OVERSEERS)
        return PlainTextResponse(logs(run))

    @router.post("/runs/{run_id}/cancel")
    def cancel(principal: Caller, run_id: str) -> dict[str, Any]:
        """End a run; its dataset version stays, its labels count as used."""
        with unit_of_work(read_only=True) as uow:
            visible_run(uow, principal, run_id, *DECIDERS)
        dispatcher.dispatch(CancelRun(run_id, principal.subject))
        return get_run(principal, run_id)

    @router.get("/datasets/{digest}")
    def get_dataset(principal: Caller, digest: str) -> dict[str, Any]:
        """Return a dataset version: every case, label version, weight and why."""
        with unit_of_work(read_only=True) as uow:
            dataset = visible_dataset(uow, principal, digest, *OVERSEERS)
        return asdict(dataset)

    @router.get("/datasets/{digest}/export")
    def export_dataset(principal: Caller, digest: str, format: ExportFormat = ExportFormat.MONAI) -> FileResponse:
        """Return a dataset version as a zip: NIfTI with a MONAI datalist, or nnU-Net's layout."""
        with unit_of_work() as uow:
            dataset = visible_dataset(uow, principal, digest, *DECIDERS)
            project = uow.projects.get(dataset.project_id)
            gone = [item.case_id for item in dataset.items if uow.labels.case(item.case_id) is None]
            uow.audit(principal.subject, "dataset-exported", digest)
            uow.commit()
        if gone:
            raise Conflict(
                "dataset-withdrawn",
                expected="a dataset version whose studies are all there",
                got=f"one with {len(gone)} cases of withdrawn studies",
                do="export a newer version: GET /v1/runs names them",
            )
        work_dir.mkdir(parents=True, exist_ok=True)
        path = work_dir / f"export-{uuid.uuid4().hex}.zip"
        try:
            export(path, format, dataset, project, objects)
        except BaseException:
            path.unlink(missing_ok=True)  # images of half a dataset must not stay behind
            raise
        name = f"{dataset.project_id}-{digest.removeprefix('sha256:')[:12]}-{format}.zip"
        return FileResponse(
            path, media_type="application/zip", filename=name, background=BackgroundTask(path.unlink, missing_ok=True)
        )

    @router.get("/withdrawn")
    def list_withdrawn(principal: Caller, project_id: str) -> dict[str, Any]:
        """List the dataset versions and models that contained a study withdrawn since."""
        with unit_of_work(read_only=True) as uow:
            with_membership(uow, principal, project_id).require(project_id, *OVERSEERS)
            return {"withdrawn": uow.withdrawn.listed(project_id)}

    @router.get("/status")
    def status(principal: Caller) -> dict[str, Any]:
        """Return how many runs stand in each state."""
        with unit_of_work(read_only=True) as uow:
            runs = uow.runs.of_project(None)
        counts: dict[str, int] = {}
        for run in runs:
            counts[run.state.value] = counts.get(run.state.value, 0) + 1
        return {"runs": counts}

    return router


def _run(run: Run, progress: dict[str, Any]) -> dict[str, Any]:
    content = asdict(run)
    del content["plan"]
    return content | {"progress": progress}
