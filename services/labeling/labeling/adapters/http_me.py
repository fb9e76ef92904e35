"""Who I am: `/v1/me`, what a page shows of the person before it."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from labeling.ports import UnitOfWork
from radloop.auth import EVERY_PROJECT, Principal, Role, pseudonym
from radloop.http import authenticated

Who = Annotated[Principal, Depends(authenticated)]


class MyProject(BaseModel):
    """A project and what I may do in it, roles for the whole site counted in."""

    project_id: str
    project_version: int
    roles: list[Role]


class Me(BaseModel):
    """The person who asks.

    `name` is the identity provider's, for the own screen only; the subject where it gives none. `roles` are by project id, ``*`` for
    the whole site; those that a project's members list gives are among them.
    """

    subject: str
    name: str
    pseudonym: str
    roles: dict[str, list[Role]]
    sign_in: str
    projects: list[MyProject]


def router(unit_of_work: Callable[..., Any]) -> APIRouter:
    """Return the endpoint; ``unit_of_work(read_only=True)`` opens a query."""
    routes = APIRouter(tags=["me"])

    @routes.get("/v1/me")
    def me(principal: Who, request: Request) -> Me:
        """Say who I am, my roles, and the projects I have any role in."""
        uow: UnitOfWork
        with unit_of_work(read_only=True) as uow:
            projects = uow.projects.all()
        for project in projects:
            principal = principal.with_members(project.project_id, project.members)
        return Me(
            subject=principal.subject,
            name=principal.name or principal.subject,
            pseudonym=pseudonym(principal.subject),
            roles={EVERY_PROJECT: []} | {p: sorted(roles) for p, roles in sorted(principal.roles.items()) if roles},
            sign_in=request.app.state.authenticator.sign_in,
            projects=[
                MyProject(project_id=project.project_id, project_version=project.version, roles=sorted(roles))
                for project in projects
                if (roles := principal.roles_in(project.project_id))
            ],
        )

    return routes
