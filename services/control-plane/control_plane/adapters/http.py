"""The REST API: parse, check who asks, build the command or read a view, answer."""

import uuid
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from control_plane.adapters.project_body import CODE_LIKE, ProjectBody, PromoteBody
from control_plane.adapters.sql import SETTINGS, SqlControlPlane
from control_plane.domain import messages
from control_plane.domain.project import Project, known
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.dispatch import Dispatcher
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]
ProjectId = Annotated[str, Path(pattern=CODE_LIKE, max_length=48)]
LEADS = (Role.PROJECT_LEAD, Role.SITE_ADMIN)
ANYONE = tuple(Role)


def with_membership(principal: Principal, project: Project | None) -> Principal:
    """Add the roles a project's own membership table gives."""
    if project is None:
        return principal
    return principal.with_members(project.project_id, project.settings.members)


def router(dispatcher: Dispatcher, unit_of_work: Callable[..., SqlControlPlane]) -> APIRouter:
    """Make the endpoints.

    Parameters
    ----------
    dispatcher : Dispatcher
        Carries out commands.
    unit_of_work : callable
        ``unit_of_work(read_only=True)`` for queries.
    """
    api = APIRouter(prefix="/v1")

    def reading() -> SqlControlPlane:
        return unit_of_work(read_only=True)

    def require_lead(principal: Principal, project_id: str) -> None:
        with reading() as uow:
            with_membership(principal, uow.projects.get(project_id)).require(project_id, *LEADS)

    def readable(principal: Principal, uow: SqlControlPlane, project_id: str | None) -> list[str]:
        """List the projects the principal has any role in; with a project named, that one or an error."""
        if project_id is not None:
            project = known(uow.projects.get(project_id), project_id)
            with_membership(principal, project).require(project_id, *ANYONE)
            return [project_id]
        every = [uow.projects.get(name) for name in uow.views.project_ids()]
        return [
            project.project_id
            for project in every
            if project and with_membership(principal, project).roles_in(project.project_id)
        ]

    @api.put("/projects/{project_id}")
    def put_project(project_id: ProjectId, body: ProjectBody, principal: Asking) -> dict[str, Any]:
        """Set a project up, or set it up anew; the same body again changes nothing."""
        with reading() as uow:
            before = uow.projects.get(project_id)
        allowed = with_membership(principal, before)
        allowed.require(project_id, *LEADS)
        dispatcher.dispatch(
            messages.ConfigureProject(
                project_id=project_id,
                settings=body.settings(),
                by=principal.subject,
                by_site_admin=Role.SITE_ADMIN in allowed.roles_in(project_id),
            )
        )
        with reading() as uow:
            return _identity(known(uow.projects.get(project_id), project_id))

    @api.get("/projects")
    def list_projects(principal: Asking) -> dict[str, Any]:
        """List the projects the caller has a role in."""
        with reading() as uow:
            listed = [known(uow.projects.get(project_id), project_id) for project_id in readable(principal, uow, None)]
            return {
                "projects": [_identity(each) | {"model_name": each.settings.model_name} for each in listed],
            }

    @api.get("/projects/{project_id}")
    def get_project(
        project_id: ProjectId, principal: Asking, version: Annotated[int | None, Query(ge=1, lt=2**31)] = None
    ) -> dict[str, Any]:
        """Return a project as it was put, at its newest or a named version."""
        with reading() as uow:
            readable(principal, uow, project_id)
            project = known(uow.projects.get(project_id), project_id)
            if version is None or version == project.version:
                return _identity(project) | SETTINGS.dump_python(project.settings, mode="json")
            identity = {"project_id": project_id, "project_version": version, "sequence": version}
            return identity | uow.views.version(project_id, version)

    @api.get("/projects/{project_id}/counts")
    def get_counts(project_id: ProjectId, principal: Asking) -> dict[str, Any]:
        """Count studies, patients, cases, labels, flags and predictions."""
        with reading() as uow:
            readable(principal, uow, project_id)
            return uow.views.counts(project_id)

    @api.get("/projects/{project_id}/curve")
    def get_curve(project_id: ProjectId, principal: Asking) -> dict[str, Any]:
        """Return the learning curve, and mined against control cases."""
        with reading() as uow:
            readable(principal, uow, project_id)
            return uow.curves.curve(project_id)

    @api.post("/projects/{project_id}/train", status_code=202)
    def train(project_id: ProjectId, principal: Asking) -> dict[str, Any]:
        """Ask for a run now."""
        require_lead(principal, project_id)
        request_id = str(uuid.uuid4())
        dispatcher.dispatch(messages.RequestTraining(project_id, request_id, principal.subject))
        return {"project_id": project_id, "request_id": request_id}

    @api.post("/projects/{project_id}/rollback", status_code=202)
    def roll_back(project_id: ProjectId, principal: Asking) -> dict[str, Any]:
        """Let the model serve that served before."""
        require_lead(principal, project_id)
        return _wish(dispatcher.dispatch(messages.RollBack(project_id, principal.subject)))

    @api.post("/projects/{project_id}/serve-none", status_code=202)
    def serve_none(project_id: ProjectId, principal: Asking) -> dict[str, Any]:
        """Let no model serve the project."""
        require_lead(principal, project_id)
        return _wish(dispatcher.dispatch(messages.ServeNone(project_id, principal.subject)))

    @api.get("/models")
    def list_models(principal: Asking, project_id: str | None = None) -> dict[str, Any]:
        """List models, of one project or of all the caller has a role in."""
        with reading() as uow:
            projects = readable(principal, uow, project_id)
            return {"models": [model for project in projects for model in uow.catalogue.models(project)]}

    @api.get("/models/{digest}")
    def get_model(digest: str, principal: Asking, project_id: str | None = None) -> dict[str, Any]:
        """Return a model's metrics, deployments and lineage."""
        with reading() as uow:
            return uow.catalogue.model(digest, readable(principal, uow, project_id))

    @api.post("/models/{digest}/promote", status_code=202)
    def promote(digest: str, body: PromoteBody, principal: Asking) -> dict[str, Any]:
        """Let a model of the catalogue serve a project."""
        require_lead(principal, body.project_id)
        return _wish(dispatcher.dispatch(messages.PromoteModel(body.project_id, digest, principal.subject)))

    @api.get("/datasets")
    def list_datasets(principal: Asking, project_id: str | None = None) -> dict[str, Any]:
        """List dataset versions, of one project or of all the caller has a role in."""
        with reading() as uow:
            projects = readable(principal, uow, project_id)
            return {"datasets": [dataset for project in projects for dataset in uow.catalogue.datasets(project)]}

    @api.get("/datasets/{digest}")
    def get_dataset(digest: str, principal: Asking, project_id: str | None = None) -> dict[str, Any]:
        """Return a dataset version with its items."""
        with reading() as uow:
            return uow.catalogue.dataset(digest, readable(principal, uow, project_id))

    @api.get("/withdrawals")
    def list_withdrawals(principal: Asking) -> dict[str, Any]:
        """List withdrawn studies with the dataset versions and models that contain them."""
        with reading() as uow:
            return {"withdrawals": uow.catalogue.withdrawals(readable(principal, uow, None))}

    @api.get("/status")
    def status(principal: Asking) -> dict[str, Any]:
        """Count projects, models and what was refused."""
        principal.require(EVERY_PROJECT, *ANYONE)
        with reading() as uow:
            return uow.views.status()

    return api


def _identity(project: Project) -> dict[str, Any]:
    """Name a project and its newest version; the version is the sequence of its announcements."""
    return {
        "project_id": project.project_id,
        "project_version": project.version,
        "sequence": project.version,
    }


def _wish(said: list[Any]) -> dict[str, Any]:
    (promoted,) = said
    return {
        "project_id": promoted.project_id,
        "model_digest": promoted.model_digest,
        "sequence": promoted.sequence,
    }
