"""The gateway's application: the page, the login, the proxy."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from radloop.auth import Principal, Role, TokenAuthenticator
from radloop.browser import COOKIE, Browser
from radloop.errors import Unauthenticated
from standalone.gateway.page import Readiness, api_page, login_page, status_page
from standalone.gateway.proxy import forward, is_foreign, problem

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_SESSION_S = 12 * 3600


def build(
    services: Mapping[str, str], authenticator: TokenAuthenticator, login_code: str, *, data_folder: str
) -> Starlette:
    """Make the application.

    Parameters
    ----------
    services
        Address of each service by name.
    authenticator
        Signs the browser's session; the same secret the services check.
    login_code
        The first code that opens a session, printed at the start. Each code works once.
    data_folder
        Shown in the commands on the page.
    """
    codes = {login_code}

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=4)
        # No time limit on an answer: synchronous inference and large uploads take what they take.
        timeout = httpx.Timeout(None, connect=5)
        # Cookies are the browsers', each its own: what a service sets for one must never go out with another's request.
        none = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        async with httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False, cookies=none) as client:
            app.state.client = client
            yield

    def principal(request: Request) -> Principal | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.cookies.get(COOKIE, "")
        try:
            return authenticator.authenticate(token)
        except Unauthenticated:
            return None

    async def home(request: Request) -> Response:
        code = request.query_params.get("token", "")
        if code:
            return login(code)
        if principal(request) is None:
            return HTMLResponse(login_page(), 401)
        return HTMLResponse(status_page(await readiness(request.app.state.client, services), data_folder))

    async def api(request: Request) -> Response:
        name = request.path_params["service"]
        if principal(request) is None:
            return HTMLResponse(login_page(), 401)
        if name not in services:
            return problem(404, "service-unknown", expected=f"one of {', '.join(services)}", got="another name")
        try:
            answer = await request.app.state.client.get(f"{services[name]}/openapi.json", timeout=5)
            return HTMLResponse(api_page(name, answer.json()))
        except (httpx.TransportError, ValueError):
            return problem(503, "service-away", expected=f"an answer from {name}", got="none", do="try again")

    def login(code: str) -> Response:
        if code not in codes:
            return HTMLResponse(login_page(), 401)
        codes.discard(code)
        roles = {"*": [Role.SITE_ADMIN, Role.PROJECT_LEAD, Role.REVIEWER, Role.READER, Role.AUDITOR]}
        session = authenticator.issue("operator", roles, lifetime_s=_SESSION_S)
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, session, max_age=_SESSION_S, httponly=True, samesite="strict")
        return response

    async def new_code(request: Request) -> Response:
        who = principal(request)
        if who is None or Role.SITE_ADMIN not in who.roles_in("*") or is_foreign(request):
            return problem(403, "forbidden", expected="the role site-admin", got="another", do="use `radloop token`")
        code = secrets.token_urlsafe(24)
        codes.add(code)
        return JSONResponse({"code": code})

    async def status(request: Request) -> Response:
        states = await readiness(request.app.state.client, services)
        ready = all(state.ready for state in states.values())
        body = {name: {"ready": state.ready, "detail": state.detail} for name, state in states.items()}
        return JSONResponse({"ready": ready, "services": body}, 200 if ready else 503)

    async def live(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def proxy(request: Request) -> Response:
        return await forward(request, request.app.state.client, services)

    return Starlette(
        routes=[
            Route("/", home),
            Route("/livez", live),
            Route("/readyz", status),
            Route("/login-codes", new_code, methods=["POST"]),
            Route("/api/{service}", api),
            Route("/{service}", proxy, methods=_METHODS),
            Route("/{service}/{path:path}", proxy, methods=_METHODS),
        ],
        # A name that somebody points at this machine must not reach it (DNS rebinding).
        middleware=[
            Middleware(Browser),
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
        ],
        lifespan=lifespan,
    )


async def readiness(client: httpx.AsyncClient, services: Mapping[str, str]) -> dict[str, Readiness]:
    """Ask every service whether it is ready, all at once, two seconds at most."""
    answers = await asyncio.gather(*(_ready(client, address) for address in services.values()))
    return dict(zip(services, answers, strict=True))


async def _ready(client: httpx.AsyncClient, address: str) -> Readiness:
    try:
        answer = await client.get(f"{address}/readyz", timeout=2)
        if answer.status_code == 200:
            return Readiness(True, "ready")
        failed = [name for name, fine in answer.json().get("checks", {}).items() if not fine]
    except (httpx.TransportError, ValueError):
        return Readiness(False, "does not answer")
    return Readiness(False, f"not ready: {', '.join(failed) or 'no reason given'}")
