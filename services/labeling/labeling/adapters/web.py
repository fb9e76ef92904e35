"""Serves the reading room's own files: the page that a browser loads, and what it is made of. They hold no data, so no token is asked.

Single routes and no mount: a mount under ``/`` would answer for every path of the API that has another method.
"""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from radloop.errors import NotFound

BUILT = Path(__file__).resolve().parents[2] / "web" / "dist"
"""Where the set-up of the source tree builds the reading room."""

_REVALIDATED = "no-cache"
# The name of an asset has a digest of its content.
_FOR_EVER = "public, max-age=31536000, immutable"

# What a system's own table may lack or have otherwise: a module or a wasm file of another type is not run.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}

_MISSING = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>radloop: the reading room is not built</title></head>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto; line-height: 1.5">
<h1>The reading room is not built</h1>
<p>The service runs, and its API answers (<a href="openapi.json">what it offers</a>); only the pages are missing.</p>
<p>Run <code>scripts/bootstrap</code> in the source tree: it builds them, and they are served at once. If they are somewhere
else, set <code>LABELING_WEB_FOLDER</code> and start the service again.</p>
</body></html>
"""


def web_router(folder: Path) -> APIRouter:
    """Return the routes of the reading room's files; looked up at each request, so that a new build needs no restart.

    Parameters
    ----------
    folder : pathlib.Path
        With ``index.html`` and ``assets/``; where a file has one with ``.gz`` beside it, that is sent to who takes gzip.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/", methods=["GET", "HEAD"])
    @routes.api_route("/index.html", methods=["GET", "HEAD"])
    def page(request: Request) -> Response:
        if not (folder / "index.html").is_file():
            return HTMLResponse(_MISSING, status_code=503, headers={"Cache-Control": "no-store"})
        return _file(request, folder, "index.html", _REVALIDATED)

    @routes.api_route("/assets/{name:path}", methods=["GET", "HEAD"])
    def asset(request: Request, name: str) -> Response:
        return _file(request, folder / "assets", name, _FOR_EVER)

    @routes.api_route("/{name}", methods=["GET", "HEAD"])
    def other(request: Request, name: str) -> Response:
        return _file(request, folder, name, _REVALIDATED)

    return routes


def _file(request: Request, folder: Path, name: str, cache_control: str) -> Response:
    """Answer with a file below a folder.

    Raises
    ------
    NotFound
        ``page-unknown``: there is none, it lies elsewhere, or is of a kind no page is made of.
    """
    try:
        inside = folder.resolve()
        file = (inside / name).resolve()
        served = file.is_relative_to(inside) and file.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        served = False
    if not served or file.suffix not in _MEDIA_TYPES:
        raise NotFound("page-unknown", expected="a page of the reading room", got="another", do="go to its first page")
    headers = {"Cache-Control": cache_control, "Vary": "Accept-Encoding"}
    packed = file.with_name(f"{file.name}.gz")
    media_type = _MEDIA_TYPES[file.suffix]
    if "gzip" in request.headers.get("accept-encoding", "") and packed.is_file():
        return FileResponse(packed, media_type=media_type, headers=headers | {"Content-Encoding": "gzip"})
    return FileResponse(file, media_type=media_type, headers=headers)
