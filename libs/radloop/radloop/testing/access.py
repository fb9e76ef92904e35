"""Who may ask what: a table written by hand, held against every endpoint a service has and everybody who could ask."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from radloop.auth import EVERY_PROJECT, Role

Endpoint = tuple[str, str]
"""Method, and path as the OpenAPI document has it."""

PROJECT, OTHER = "p", "q"
"""The project whose things are asked for, and one that has nothing to do with them."""

OVERSEERS = (Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR)
EVERYBODY = tuple(Role)


@dataclass(frozen=True)
class Rule:
    """Who may use an endpoint, and a request for it.

    Attributes
    ----------
    site, project : frozenset[Role]
        Roles that are enough when held for the whole site, and when held in the project only.
    known : bool
        Whether any valid token is enough, with no role at all.
    request : Mapping[str, Any]
        Arguments of the request: ``json``, ``params``, ``files``.
    """

    site: frozenset[Role]
    project: frozenset[Role]
    known: bool = False
    request: Mapping[str, Any] = field(default_factory=dict)


def in_project(*roles: Role, **request: Any) -> Rule:
    """Make a rule: one of the roles, for the site or in the project."""
    return Rule(frozenset(roles), frozenset(roles), request=request)


def of_site(*roles: Role, **request: Any) -> Rule:
    """Make a rule: one of the roles for the whole site; in one project it is not enough."""
    return Rule(frozenset(roles), frozenset(), request=request)


def of_oneself(**request: Any) -> Rule:
    """Make a rule: whoever has a token."""
    return Rule(frozenset(Role), frozenset(Role), known=True, request=request)


def endpoints(document: Mapping[str, Any]) -> set[Endpoint]:
    """List what an OpenAPI document describes."""
    return {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}


Ask = Callable[[str, str, Mapping[str, tuple[Role, ...]] | None, Mapping[str, Any]], Any]
"""``ask(method, path, roles by project or None for no token, request)`` returns the answer."""


def wrong_answers(table: Mapping[Endpoint, Rule], ids: Mapping[str, str], ask: Ask) -> list[str]:
    """Ask everything as everybody; return what was answered otherwise than the table says, in words.

    Parameters
    ----------
    table : Mapping[Endpoint, Rule]
    ids : Mapping[str, str]
        Of things that exist, for the paths' parameters.
    ask : callable
        See `Ask`.
    """
    wrong = []
    for (method, path), rule in table.items():
        for who, roles, may in _everybody(rule):
            status = ask(method, path.format(**ids), roles, rule.request).status_code
            refused = status == (401 if roles is None else 403)
            if refused is may or status >= 500:
                wrong.append(f"{method} {path} as {who}: {status}, {'allowed' if may else 'forbidden'} by the table")
    return wrong


def _everybody(rule: Rule) -> Iterator[tuple[str, Mapping[str, tuple[Role, ...]] | None, bool]]:
    yield "nobody", None, False
    yield "somebody without a role", {}, rule.known
    yield "everything elsewhere", {OTHER: EVERYBODY}, rule.known
    for role in Role:
        yield f"{role} of the project", {PROJECT: (role,)}, role in rule.project
        yield f"{role} of the site", {EVERY_PROJECT: (role,)}, role in rule.site
