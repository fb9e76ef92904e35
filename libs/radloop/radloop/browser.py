"""What a browser is told with every answer, and what is not taken from it: the security headers, and foreign pages' requests.

Pure ASGI, so that answers stream as they did.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "radloop_token"
"""Holds the bearer token of a browser."""

COOKIES = "radloop_"
"""Every cookie of ours begins so."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Change nothing (RFC 9110, section 9.2.1)."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        # The viewer's libraries set styles by attribute.
        "style-src 'self' 'unsafe-inline'",
        # Decoders are WebAssembly; nothing is evaluated as script.
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)

SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Addresses here hold ids of tasks and cases.
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_NEVER_STORED = ("/v1/", "/session/", "/dicom-web/")
"""Answers with somebody's data or session; pages and scripts may be kept."""


class Browser:
    """Middleware: every answer has the security headers, and a foreign page's request with our cookie gets none but 403.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(_NEVER_STORED):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        if is_foreign(scope["method"], Headers(scope=scope)):
            await foreign_origin()(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)


def is_foreign(method: str, headers: Headers) -> bool:
    """Whether a request that changes something may come from another site's page, by way of a browser that has our cookie.

    The cookie is ``SameSite=Strict``, but a site ignores the port and, in some browsers, the first minutes of a cookie. So
    what changes something says itself that it comes from our page: by ``Sec-Fetch-Site``, which no page can set, or by a
    header of ours, which no foreign page may send. A bearer token is never sent by a browser of its own accord.
    """
    if method in SAFE_METHODS or headers.get("authorization", "").lower().startswith("bearer "):
        return False
    if not has_our_cookie(headers):
        return False
    return headers.get("sec-fetch-site") != "same-origin" and headers.get("x-radloop") != "1"


def has_our_cookie(headers: Headers) -> bool:
    """Whether a request carries a cookie of ours."""
    return any(COOKIES in cookies for cookies in headers.getlist("cookie"))


def foreign_origin() -> JSONResponse:
    """Answer such a request."""
    body = {
        "error": "foreign-origin",
        "expected": "a request from this site's own page, or the header X-Radloop: 1",
        "got": "one that another page may have sent",
        "do": "use the platform's own pages; a program sends its token in the header Authorization",
    }
    return JSONResponse(body, status_code=403)
