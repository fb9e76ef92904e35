"""Talks to a running platform as any other client would: HTTP, a token, and the errors the services answer with."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from radloop.auth import EVERY_PROJECT, Role, TokenAuthenticator, secret_of
from radloop.errors import (
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PermanentError,
    RadloopError,
    TemporaryError,
    Unauthenticated,
)
from standalone.layout import Layout, read_platform

_ERRORS: dict[int, type[RadloopError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    503: Busy,
}

OPERATOR = "operator"
_OPERATOR_ROLES = (Role.SITE_ADMIN, Role.PROJECT_LEAD, Role.REVIEWER, Role.AUDITOR)
TOKEN_LIFETIME_S = 12 * 3600.0


def issue_token(
    layout: Layout, subject: str, roles: Mapping[str, tuple[Role, ...]], lifetime_s: float = TOKEN_LIFETIME_S
) -> str:
    """Sign a token of this site; who can read the folder's secret can do so.

    Raises
    ------
    NotFound
        The folder has no secret: no platform was ever started in it.
    """
    if not layout.secret_file.exists():
        raise NotFound(
            "no-secret",
            expected=f"a platform's folder in {layout.folder}",
            got="one without a secret",
            do=f"start a platform first: radloop up --data {layout.folder}",
        )
    return TokenAuthenticator(secret_of(layout.secret_file)).issue(subject, roles, lifetime_s=lifetime_s)


def operator_token(layout: Layout) -> str:
    """Sign a token for the person at this machine, who may do everything but read cases."""
    return issue_token(layout, OPERATOR, {EVERY_PROJECT: _OPERATOR_ROLES})


class Client:
    """A platform's HTTP API with somebody's token.

    Parameters
    ----------
    url
        The platform's one door, e.g. ``http://127.0.0.1:8080``.
    token
        Bearer token.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        # Long: the platform answers only when an upload of many instances is durable.
        timeout = httpx.Timeout(300, connect=10)
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=timeout, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Ask, and raise what a service answers as an error.

        Raises
        ------
        RadloopError
            With the service's own code and words, as the class of its status.
        TemporaryError
            The platform does not answer.
        """
        response = self._send(method, path, **arguments)
        if response.is_error:
            raise error_of(response)
        return response

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise TemporaryError(
                "platform-unreachable",
                expected=f"an answer from {self._http.base_url}",
                got=type(error).__name__,
                do="look whether the platform runs: radloop status",
            ) from error

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON behind a path; parameters that are None are left out."""
        return self.request("GET", path, params=_given(parameters)).json()

    def probe(self, path: str) -> Any:
        """Return the JSON behind a path that answers "not ready" as well as "ready" (status 503)."""
        response = self._send("GET", path)
        if response.is_error and response.status_code != 503:
            raise error_of(response)
        return response.json()

    def get_bytes(self, path: str, **parameters: Any) -> bytes:
        """Return the bytes behind a path."""
        return self.request("GET", path, params=_given(parameters)).content

    def post(self, path: str, body: Any = None, **arguments: Any) -> Any:
        """Post JSON, or a form with files; return the JSON answered, None where there is none."""
        if "files" in arguments:
            response = self.request("POST", path, data=body, **arguments)
        else:
            response = self.request("POST", path, json={} if body is None else body, **arguments)
        return response.json() if response.content else None

    def put(self, path: str, body: Any) -> Any:
        """Put JSON and return the JSON answered."""
        response = self.request("PUT", path, json=body)
        return response.json() if response.content else None


def error_of(response: httpx.Response) -> RadloopError:
    """Turn an error answer into the exception it stands for."""
    try:
        body = response.json()
        code, texts = str(body["error"]), {name: str(body.get(name, "")) for name in ("expected", "got", "do")}
    except (ValueError, KeyError, TypeError):
        code, texts = "unexpected-answer", {"got": f"status {response.status_code} from {response.url.path}"}
    default = PermanentError if response.status_code < 500 else TemporaryError
    return _ERRORS.get(response.status_code, default)(code, **texts)


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


@contextmanager
def connect(folder: Path) -> Iterator[Client]:
    """Open the platform that runs in a folder; `RADLOOP_URL` and `RADLOOP_TOKEN` name one elsewhere.

    Raises
    ------
    NotFound
        None runs there.
    """
    url, token = os.environ.get("RADLOOP_URL", ""), os.environ.get("RADLOOP_TOKEN", "")
    if not url:
        layout = Layout(folder)
        url = read_platform(layout).url
        token = token or operator_token(layout)
    client = Client(url, token)
    try:
        yield client
    finally:
        client.close()
