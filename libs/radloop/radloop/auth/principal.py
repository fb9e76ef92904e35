"""Who is asking, and what they may do: roles by project, from a token and from a project's own members."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from radloop.errors import Forbidden

EVERY_PROJECT = "*"


class Role(StrEnum):
    """What a person may do, per project."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"


class Member(Protocol):
    """A row of a project's membership table, as each service's domain has it: its enum has the names of `Role`."""

    @property
    def subject(self) -> str:
        """Return whom it is about."""
        ...

    @property
    def role(self) -> StrEnum:
        """Return the role."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or program that has proven who it is.

    Attributes
    ----------
    subject : str
        As the identity provider names it.
    roles : Mapping[str, frozenset[Role]]
        By project id; ``"*"`` holds for every project.
    name : str
        For the person's own screen; empty where the token has none. Never in a log, an event or an audit entry.
    """

    subject: str
    roles: Mapping[str, frozenset[Role]]
    name: str = field(default="", repr=False, compare=False)

    def roles_in(self, project_id: str) -> frozenset[Role]:
        """Return the roles in a project."""
        return self.roles.get(EVERY_PROJECT, frozenset()) | self.roles.get(project_id, frozenset())

    def require(self, project_id: str, *any_of: Role) -> None:
        """Check that one of the roles is held in the project (``"*"``: for the whole site).

        Raises
        ------
        Forbidden
            When none is.
        """
        if not self.roles_in(project_id) & set(any_of):
            raise Forbidden(
                "forbidden",
                expected=f"one of the roles {', '.join(any_of)}",
                got=", ".join(sorted(self.roles_in(project_id))) or "no role",
                do="ask the project's lead or the site's administrator for the role",
            )

    def with_members(self, project_id: str, members: Iterable[Member]) -> "Principal":
        """Add the roles a project's membership table gives this subject."""
        added = frozenset(Role(member.role.value) for member in members if member.subject == self.subject)
        return replace(self, roles={**self.roles, project_id: self.roles.get(project_id, frozenset()) | added})

    @property
    def projects(self) -> frozenset[str]:
        """Projects in which any role is held; ``"*"`` among them for the whole site."""
        return frozenset(project for project, roles in self.roles.items() if roles)


class Authenticator(Protocol):
    """Turns a bearer token into a principal."""

    sign_in: str
    """How a person gets a token: ``token`` or ``oidc``."""

    how: str
    """What somebody without a token is told to do."""

    def authenticate(self, token: str) -> Principal:
        """Return who presents the token, or raise `Unauthenticated`; `TemporaryError` when nobody can say now."""
        ...


def pseudonym(subject: str) -> str:
    """Return the name under which a person appears in events: ``reader-<12 hex digits>``, the same everywhere at the site."""
    return f"reader-{sha256(f'radloop-reader:{subject}'.encode()).hexdigest()[:12]}"
