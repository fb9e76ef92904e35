"""The HTTP side every service has: errors as JSON, authentication, health, metrics. One table maps errors to statuses."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from radloop.auth import Authenticator, Principal
from radloop.browser import COOKIE, SECURITY_HEADERS, Browser
from radloop.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PermanentError,
    RadloopError,
    TemporaryError,
    Unauthenticated,
)
from radloop.telemetry import logger

log = logger(__name__)

STATUS: dict[type[RadloopError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    PermanentError: 422,
    TemporaryError: 503,
    RadloopError: 500,
}

Check = Callable[[], bool | str]
"""True when ready; else False, or in words why not."""


def create_http(title: str, authenticator: Authenticator, checks: Mapping[str, Check]) -> FastAPI:
    """Make a service's FastAPI application.

    Parameters
    ----------
    title : str
        Shown in the OpenAPI document.
    authenticator : Authenticator
        Asked by the `authenticated` dependency.
    checks : Mapping[str, Check]
        Named checks behind ``/readyz``; all must be true.
    """
    # FastAPI's pages about an API load scripts from elsewhere, which a browser is told not to do here.
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None)
    app.state.authenticator = authenticator
    app.add_middleware(Browser)

    @app.exception_handler(RadloopError)
    def on_error(_request: Request, error: RadloopError) -> JSONResponse:
        status = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
        headers = {"Retry-After": str(max(1, round(error.delay_s)))} if isinstance(error, TemporaryError) else {}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(error.as_dict(), status_code=status, headers=headers)

    @app.exception_handler(RequestValidationError)
    def on_invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        body = Invalid("request-invalid", expected=first["msg"], got=f"something else in {place}").as_dict()
        return JSONResponse(body | {"do": "see what /openapi.json says of this call"}, status_code=422)

    @app.exception_handler(Exception)
    def on_unknown(_request: Request, error: Exception) -> JSONResponse:
        log.error("request failed", cause=error)
        body = {"error": "internal", "expected": "", "got": type(error).__name__, "do": "see the service's log"}
        # Answered outside of every middleware.
        return JSONResponse(body, status_code=500, headers=SECURITY_HEADERS | {"cache-control": "no-store"})

    @app.get("/livez", include_in_schema=False)
    def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    def readyz(response: Response) -> dict[str, Any]:
        results = {name: check() for name, check in checks.items()}
        ready = all(result is True for result in results.values())
        response.status_code = 200 if ready else 503
        return {"status": "ok" if ready else "not ready", "checks": results}

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def authenticated(request: Request) -> Principal:
    """Return who is asking, from the bearer token or the browser's cookie (FastAPI dependency).

    Raises
    ------
    Unauthenticated
        When there is no valid token.
    TemporaryError
        When the identity provider is away and nobody else can say.
    """
    authenticator: Authenticator = request.app.state.authenticator
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.cookies.get(COOKIE, "")
    if not token:
        raise Unauthenticated(
            "unauthenticated",
            expected="the header Authorization: Bearer <token>",
            got="no token",
            do=authenticator.how,
        )
    return authenticator.authenticate(token)
