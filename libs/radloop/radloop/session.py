"""A browser's session: sign in, come back, refresh, sign out. Tokens stand in cookies that no script can read.

The service is the client of the identity provider (a backend for its front end), so a page never holds a token. Where tokens
are this machine's own, a page says how to get in. The protocol is in `radloop.auth.code_flow`.
"""

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from radloop.auth import open_authenticator
from radloop.auth.code_flow import SIGN_IN_S, CodeFlow, Tokens
from radloop.auth.oidc import OidcAuthenticator
from radloop.browser import COOKIE
from radloop.errors import NotFound, PermanentError, RadloopError, Unauthenticated
from radloop.settings import SharedSettings

REFRESH_COOKIE = "radloop_refresh"
PROOF_COOKIE = "radloop_sign_in_"
"""Followed by the beginning of the state, so that two tabs may sign in at once."""

_SESSION_S = 12 * 3600
_SAME_AGAIN_S = 30.0
_COOKIE_BYTES = 4000
"""What every browser keeps of one cookie (RFC 6265, section 6.1), less its name."""

_HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}, "description": "A page for a person."}}


def session_router(settings: SharedSettings, service: str) -> APIRouter:
    """Return the endpoints under ``/session`` for a service that browsers see as ``/<service>/``.

    Raises
    ------
    PermanentError
        With an identity provider, when `RADLOOP_PUBLIC_URL` is not set or the secret is short.
    """
    authenticator = open_authenticator(settings.auth_url)
    if isinstance(authenticator, OidcAuthenticator):
        return _oidc(authenticator, settings, service)
    return _embedded(service)


def _embedded(service: str) -> APIRouter:
    router = APIRouter(prefix="/session", tags=["session"])

    @router.get("/sign-in", response_class=HTMLResponse)
    def sign_in() -> HTMLResponse:
        """Say how to sign in."""
        return HTMLResponse(
            _page(
                "Sign in",
                "<p>This platform does not know you yet.</p><p>Open the address that <code>radloop up</code> printed; it "
                "works once. For another one: <code>radloop token --browser</code>.</p>",
            )
        )

    @router.get("/callback", response_class=HTMLResponse)
    def callback() -> None:
        """Nobody comes back here: there is no identity provider."""
        raise NotFound(
            "no-identity-provider", expected="RADLOOP_AUTH_URL=oidc+...", got="token:...", do="radloop token --browser"
        )

    @router.post("/refresh", status_code=204, response_class=Response)
    def refresh() -> None:
        """Answer 401: a token of this machine is not renewed, a new one is made."""
        raise Unauthenticated(
            "session-over", expected="a refresh token", got="none", do="open a new address: radloop token --browser"
        )

    @router.post("/sign-out")
    def sign_out() -> JSONResponse:
        """Forget the token; `location` is where to go."""
        response = JSONResponse({"location": "./"})
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response

    return router


def _oidc(authenticator: OidcAuthenticator, settings: SharedSettings, service: str) -> APIRouter:
    secret = settings.session_secret.get_secret_value() or secrets.token_urlsafe(48)
    if not settings.public_url or len(secret) < 32:
        raise PermanentError(
            "session-settings",
            expected="RADLOOP_PUBLIC_URL, and RADLOOP_SESSION_SECRET of 32 characters or more or none",
            got="no address" if not settings.public_url else "a short secret",
            do="set the environment variable",
        )
    home, path = f"{settings.public_url}/{service}/", f"/{service}/session"
    flow = CodeFlow(
        authenticator,
        redirect_uri=f"{settings.public_url}{path}/callback",
        signing_secret=secret,
        client_secret=settings.client_secret.get_secret_value(),
    )
    jar = _Jar(path, secure=settings.public_url.startswith("https:"))
    once = _Once()
    router = APIRouter(prefix="/session", tags=["session"])

    @router.get("/sign-in", status_code=302, response_class=RedirectResponse)
    def sign_in(
        next: Annotated[str, Query(description="Page to go on to, e.g. #/tasks/42")] = "",
    ) -> Response:
        """Go to the identity provider."""
        try:
            begun = flow.begin(_route(next))
        except RadloopError as error:
            return _sorry(error, 503)
        response = RedirectResponse(begun.location, 302)
        # Lax: the provider's redirect back is a foreign one, and must bring it.
        jar.set(response, PROOF_COOKIE + begun.state[:8], begun.proof, SIGN_IN_S, path=path, samesite="lax")
        return response

    @router.get("/callback", response_class=HTMLResponse, responses=_HTML)
    def callback(request: Request) -> Response:
        """Come back from the identity provider, then go on to the page that was wanted."""
        answer = dict(request.query_params)
        name = PROOF_COOKIE + answer.get("state", "")[:8]
        try:
            tokens = flow.finish(answer, request.cookies.get(name, ""))
            jar.check(tokens)
        except RadloopError as error:
            return _sorry(error, 503 if error.code == "identity-provider-away" else 400)
        # A Strict cookie is not sent while redirects from elsewhere go on; from a page of ours it is.
        address = escape(home + tokens.go_on)
        response = HTMLResponse(
            _page(
                "Signed in",
                f'<p><a href="{address}">Go on to radloop</a></p>',
                head=f'<meta http-equiv="refresh" content="0; url={address}">',
            )
        )
        jar.put(response, tokens)
        jar.drop(response, name, path=path, samesite="lax")
        return response

    @router.post("/refresh", status_code=204, response_class=Response)
    def refresh(request: Request) -> Response:
        """Renew the access token; 401 when the session is over."""
        token = request.cookies.get(REFRESH_COOKIE, "")
        try:
            if not token:
                raise Unauthenticated("session-over", expected="a session", got="none", do="sign in again")
            tokens = once(token, lambda: flow.refresh(token))
            jar.check(tokens)
        except Unauthenticated as error:
            response: Response = JSONResponse(error.as_dict(), 401)
            jar.drop(response, REFRESH_COOKIE, path=path)
            return response
        response = Response(status_code=204)
        jar.put(response, tokens)
        return response

    @router.post("/sign-out")
    def sign_out(request: Request) -> JSONResponse:
        """End the session here; `location` is where to go to end it at the identity provider."""
        response = JSONResponse({"location": flow.end(request.cookies.get(REFRESH_COOKIE, ""), home)})
        jar.drop(response, COOKIE, path="/")
        jar.drop(response, REFRESH_COOKIE, path=path)
        return response

    return router


@dataclass(frozen=True, slots=True)
class _Jar:
    """How our cookies are set: never for scripts, over https only where the platform is."""

    session_path: str
    secure: bool

    def check(self, tokens: Tokens) -> None:
        """Raise where a browser would drop a cookie without a word."""
        if max(len(tokens.access), len(tokens.refresh)) > _COOKIE_BYTES:
            raise PermanentError(
                "token-too-large",
                expected=f"tokens of at most {_COOKIE_BYTES} characters",
                got="a longer one",
                do="the operator has the identity provider leave claims out that radloop does not need",
            )

    def put(self, response: Response, tokens: Tokens) -> None:
        self.set(response, COOKIE, tokens.access, tokens.lifetime_s, path="/")
        if tokens.refresh:
            self.set(response, REFRESH_COOKIE, tokens.refresh, _SESSION_S, path=self.session_path)

    def set(
        self, response: Response, name: str, value: str, lifetime_s: int, *, path: str, samesite: Any = "strict"
    ) -> None:
        response.set_cookie(
            name, value, max_age=lifetime_s, path=path, secure=self.secure, httponly=True, samesite=samesite
        )

    def drop(self, response: Response, name: str, *, path: str, samesite: Any = "strict") -> None:
        response.delete_cookie(name, path=path, secure=self.secure, httponly=True, samesite=samesite)


@dataclass
class _Renewal:
    begun_at: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    tokens: Tokens | None = None


class _Once:
    """Renews a refresh token once for all tabs that ask at the same time.

    A provider that hands out a new refresh token each time takes the second use of an old one for theft, and ends the session.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._renewals: dict[bytes, _Renewal] = {}

    def __call__(self, token: str, renew: Callable[[], Tokens]) -> Tokens:
        now, key = time.monotonic(), hashlib.sha256(token.encode()).digest()
        with self._lock:
            self._renewals = {k: r for k, r in self._renewals.items() if now - r.begun_at < _SAME_AGAIN_S}
            renewal = self._renewals.setdefault(key, _Renewal(now))
        with renewal.lock:
            if renewal.tokens is None:
                renewal.tokens = renew()
            return renewal.tokens


def _route(wanted: str) -> str:
    """Return a place inside our page, ``#/...``, whatever was asked for: what stands behind ``#`` never leaves the page."""
    route = wanted.removeprefix("#")
    if not re.fullmatch(r"/[\x21-\x7e]{0,500}", route):
        return ""
    return "#" + quote(route, safe="/?=&-_.~%:,@+")


def _sorry(error: RadloopError, status: int) -> HTMLResponse:
    said = "".join(
        f"<dt>{word}</dt><dd>{escape(text)}</dd>"
        for word, text in (("expected", error.expected), ("got", error.got), ("do", error.do))
        if text
    )
    link = '<p><a href="sign-in">Sign in again</a></p>'
    return HTMLResponse(_page("Not signed in", f"<dl>{said}</dl>{link}"), status)


def _page(title: str, body: str, *, head: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"{head}<title>{title} - radloop</title><style>:root{{color-scheme:light dark}}"
        "body{font:16px/1.5 system-ui,sans-serif;margin:4rem auto;max-width:36rem;padding:0 1rem}"
        "dt{font-weight:600}</style></head>"
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
