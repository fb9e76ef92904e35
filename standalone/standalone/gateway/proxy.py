"""Passes requests on to the services, streaming both ways: ``/<service>/path`` goes to the service's ``/path``."""

from collections.abc import AsyncIterator, Mapping

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

# Headers that belong to one connection (RFC 9110 section 7.6.1), and the length, which streaming sets anew.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
    }
)
_PREFIX = "x-forwarded-prefix"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def problem(status: int, code: str, *, expected: str = "", got: str = "", do: str = "") -> JSONResponse:
    """Answer an error in the words every service uses."""
    headers = {"Retry-After": "1"} if status == 503 else {}
    return JSONResponse({"error": code, "expected": expected, "got": got, "do": do}, status, headers=headers)


def is_foreign(request: Request) -> bool:
    """Whether a page of another origin makes a browser send this request with our cookie.

    The cookie is ``SameSite=Strict``, but a site ignores the port: another program's page on this machine would pass. So
    what changes something must come from our own origin; a client that is no browser sends no Origin at all.
    """
    origin = request.headers.get("origin")
    return request.method not in _SAFE and bool(origin) and origin != f"http://{request.headers.get('host', '')}"


async def forward(request: Request, client: httpx.AsyncClient, services: Mapping[str, str]) -> Response:
    """Pass one request on and stream the answer back.

    Parameters
    ----------
    request
        For ``/<service>/<path>``.
    client
        Its pool of connections to the services.
    services
        Address of each service by name.
    """
    name, path = request.path_params["service"], request.path_params.get("path", "")
    if name not in services:
        return problem(
            404, "service-unknown", expected=f"one of {', '.join(services)}", got="another name", do="mend the path"
        )
    if is_foreign(request):
        return problem(403, "foreign-origin", expected="a request from this page", got="one from another origin")
    headers = [
        (key, value) for key, value in request.headers.raw if key.decode().lower() not in {*_HOP_BY_HOP, _PREFIX}
    ]
    # What is cut off the path stands in the addresses that DICOMweb answers with.
    headers += [(_PREFIX.encode(), f"/{name}".encode()), (b"host", request.headers.get("host", "").encode())]
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    onward = client.build_request(
        request.method,
        httpx.URL(services[name]).copy_with(raw_path=_raw_path(request, name, path)),
        headers=headers,
        content=request.stream() if has_body else None,
    )
    try:
        answer = await client.send(onward, stream=True)
    except httpx.TransportError as error:
        return problem(
            503,
            "service-away",
            expected=f"an answer from {name}",
            got=type(error).__name__,
            do=f"try again in a moment; if it stays so, read logs/{name}.log in the data folder",
        )
    response = StreamingResponse(_body(answer), answer.status_code)
    response.raw_headers = [
        (key, value) for key, value in answer.headers.raw if key.lower().decode() not in _HOP_BY_HOP
    ]
    return response


def _raw_path(request: Request, name: str, path: str) -> bytes:
    """Cut the service's name off the path as it was sent, so that what is percent-encoded stays so."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    rest = raw.removeprefix(f"/{name}".encode()) or b"/"
    query = request.scope.get("query_string", b"")
    return rest + (b"?" + query if query else b"")


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
