"""Who is asking, and what they may do.

`RADLOOP_AUTH_URL=token:<file>`: bearer tokens signed with the secret in that file (embedded, loopback only).
"""

import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import jwt

from radloop.errors import Forbidden, PermanentError, Unauthenticated

EVERY_PROJECT = "*"
_AUDIENCE = "radloop"


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
    """

    subject: str
    roles: Mapping[str, frozenset[Role]]

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

    def authenticate(self, token: str) -> Principal:
        """Return who presents the token, or raise `Unauthenticated`."""
        ...


class TokenAuthenticator:
    """Tokens signed by this site itself (HS256), for one machine.

    Parameters
    ----------
    secret : str
        At least 32 characters.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def authenticate(self, token: str) -> Principal:
        """Return who presents the token, or raise `Unauthenticated`."""
        try:
            claims = jwt.decode(
                token, self._secret, algorithms=["HS256"], audience=_AUDIENCE, options={"require": ["exp", "sub"]}
            )
            roles = {project: frozenset(Role(name) for name in names) for project, names in claims["roles"].items()}
        except (jwt.InvalidTokenError, KeyError, ValueError, AttributeError) as error:
            raise Unauthenticated(
                "unauthenticated",
                expected="a valid token",
                got=type(error).__name__,
                do="make one with `radloop token`",
            ) from error
        return Principal(subject=claims["sub"], roles=roles)

    def issue(self, subject: str, roles: Mapping[str, Iterable[Role]], *, lifetime_s: float) -> str:
        """Sign a token for a subject with these roles by project."""
        claims = {
            "sub": subject,
            "roles": {project: sorted(names) for project, names in roles.items()},
            "aud": _AUDIENCE,
            "exp": int(time.time() + lifetime_s),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")


def open_authenticator(url: str) -> TokenAuthenticator:
    """Open the authenticator at ``token:<file>``; the file with the secret is made (mode 0600) when missing.

    Raises
    ------
    PermanentError
        When the URL names no known way to authenticate.
    """
    if not url.startswith("token:"):
        raise PermanentError(
            "auth-url-unknown", expected="token:<file>", got=url.split(":", 1)[0] + ":…", do="set RADLOOP_AUTH_URL"
        )
    return TokenAuthenticator(secret_of(Path(url.removeprefix("token:"))))


def secret_of(file: Path) -> str:
    """Return the secret in a file, making both (mode 0600) when missing; safe when several processes start at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    if not file.exists():
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_hex(32))
        try:
            file.hardlink_to(unfinished)
        except FileExistsError:
            pass  # another process was first: its secret stands
        finally:
            unfinished.unlink()
    return file.read_text().strip()


def pseudonym(subject: str) -> str:
    """Return the name under which a person appears in events: ``reader-<12 hex digits>``, the same everywhere at the site."""
    return f"reader-{hashlib.sha256(f'radloop-reader:{subject}'.encode()).hexdigest()[:12]}"
