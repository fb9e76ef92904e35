"""The HTTP API in one router; its parts stand in the modules named ``http_…`` beside this one."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from labeling.adapters import (
    http_drafts,
    http_images,
    http_imports,
    http_labels,
    http_operations,
    http_tasks,
    http_versions,
    http_worklist,
)
from labeling.adapters.access import EVERYBODY, member
from labeling.adapters.api import Api
from labeling.domain.states import TaskState
from labeling.ports import project_of
from radloop.auth import EVERY_PROJECT, Principal
from radloop.errors import NotFound
from radloop.http import authenticated


class InstructionsView(BaseModel):
    """How to read, in Markdown, as one version of a project says; a label names the version it was made under."""

    project_id: str
    project_version: int
    instructions: str


Who = Annotated[Principal, Depends(authenticated)]


def router(api: Api) -> APIRouter:
    """Return all endpoints of the service."""
    routes = APIRouter()

    @routes.get("/v1/status", tags=["status"])
    def status(principal: Who, project_id: str = "") -> dict[str, Any]:
        """Count the tasks by state, of one project or (for a role that holds for the whole site) of all."""
        with api.unit_of_work(read_only=True) as uow:
            if project_id:
                member(principal, project_id, uow, *EVERYBODY)
            else:
                principal.require(EVERY_PROJECT, *EVERYBODY)
            counts = uow.tasks.count(project_id)
        return {"tasks": {state.value: counts.get(state, 0) for state in TaskState}}

    @routes.get("/v1/projects/{project_id}/segments", tags=["projects"])
    def segments(principal: Who, project_id: str) -> dict[str, Any]:
        """Return the segments a label of the project may hold, and how long a lease lasts."""
        with api.unit_of_work(read_only=True) as uow:
            member(principal, project_id, uow, *EVERYBODY)
            project = uow.projects.get(project_id)
        return {
            "project_id": project.project_id,
            "project_version": project.version,
            "lease_s": project.lease_s,
            "overlapping_segments": project.overlapping_segments,
            "segments": [
                {
                    "value": s.value,
                    "name": s.name,
                    "color": s.color,
                    "type": {"value": s.type.value, "scheme": s.type.scheme, "meaning": s.type.meaning},
                    "category": {"value": s.category.value, "scheme": s.category.scheme, "meaning": s.category.meaning},
                    "always_present": s.always_present,
                }
                for s in project.segments
            ],
        }

    @routes.get("/v1/projects/{project_id}/instructions", tags=["projects"])
    def instructions(
        principal: Who, project_id: str, version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
    ) -> InstructionsView:
        """Return how the project's cases are to be read, in Markdown; by default as its newest version says."""
        with api.unit_of_work(read_only=True) as uow:
            member(principal, project_id, uow, *EVERYBODY)
            wanted = version or project_of(project_id, uow).version
            text = uow.projects.instructions(project_id, wanted)
        if text is None:
            raise NotFound(
                "version-unknown",
                expected="a version of the project that was announced while this site listened",
                got=str(wanted),
                do="leave version out for the newest",
            )
        return InstructionsView(project_id=project_id, project_version=wanted, instructions=text)

    for part in (
        http_tasks,
        http_worklist,
        http_images,
        http_drafts,
        http_operations,
        http_versions,
        http_labels,
        http_imports,
    ):
        routes.include_router(part.router(api))
    return routes
