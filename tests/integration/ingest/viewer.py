"""The OHIF viewer as a web server in a hospital would give it out: its files, and `ingest`'s DICOMweb behind the same address."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from standalone.supervisor.ports import free_ports

FILES = Path(__file__).parents[3] / ".engines" / "ohif" / "dist"
needs_ohif = pytest.mark.skipif(not (FILES / "index.html").exists(), reason="needs OHIF: scripts/dicom-peers")

_SOURCE = {
    "name": "radloop",
    "friendlyName": "radloop",
    "qidoRoot": "/ingest/dicom-web",
    "wadoRoot": "/ingest/dicom-web",
    "wadoUriRoot": "/ingest/dicom-web",
    "qidoSupportsIncludeField": True,
    "supportsFuzzyMatching": False,
    "supportsWildcard": True,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "singlepart": "bulkdata",
    "bulkDataURI": {"enabled": True},
    "omitQuotationForMultipartRequest": True,
}
_CONFIGURATION = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "radloop",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "radloop",
            "configuration": _SOURCE,
        }
    ],
}


@contextmanager
def ohif(service: ASGIApp, headers: Mapping[str, str]) -> Iterator[str]:
    """Give out the viewer, and a service as somebody who is signed in; yields the address."""
    app = FastAPI()
    app.mount("/ingest", _SignedIn(service, headers))

    @app.get("/app-config.js")
    def configuration() -> Response:
        return Response(f"window.config = {json.dumps(_CONFIGURATION)}", media_type="text/javascript")

    @app.get("/{path:path}")
    def file(path: str) -> FileResponse:
        named = (FILES / path).resolve()
        return FileResponse(named if named.is_file() and named.is_relative_to(FILES) else FILES / "index.html")

    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


class _SignedIn:
    """What a gateway adds to the requests of a browser that has signed in."""

    def __init__(self, service: ASGIApp, headers: Mapping[str, str]) -> None:
        self._service = service
        self._added = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/ingest")
        added = [*self._added, (b"x-forwarded-prefix", b"/ingest")]
        changed = {
            **scope,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "headers": [*scope["headers"], *added],
        }
        await self._service(changed, receive, send)
