"""The one door: a real gateway before a real service, over sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from radloop.auth import Role, TokenAuthenticator
from radloop.browser import CONTENT_SECURITY_POLICY, COOKIE
from standalone.gateway.app import build
from standalone.gateway.page import Readiness, status_page
from standalone.layout import SERVICES

pytestmark = pytest.mark.integration

AUTHENTICATOR = TokenAuthenticator("s" * 32)
CODE = "once"
CHUNK = b"x" * 65536


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # a request that comes before the server is up waits instead of being refused
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def upstream() -> Starlette:
    async def echo(request: Request) -> Response:
        body = await request.body()
        return JSONResponse(
            {
                "method": request.method,
                "path": request.scope["raw_path"].decode(),
                "query": request.url.query,
                "authorization": request.headers.get("authorization", ""),
                "size": len(body),
                "cookie": request.headers.get("cookie", ""),
                "x-radloop": request.headers.get("x-radloop", ""),
            },
            headers={"x-kept": "yes"},
        )

    async def stream(request: Request) -> Response:
        async def chunks():
            for _ in range(64):
                yield CHUNK

        return StreamingResponse(chunks())

    async def empty(request: Request) -> Response:
        return Response(status_code=204)

    async def refused(request: Request) -> Response:
        return JSONResponse({"error": "teapot", "expected": "", "got": "", "do": ""}, 422)

    async def cookies(request: Request) -> Response:
        response = Response(headers={"content-security-policy": "default-src 'none'"})
        response.set_cookie("one", "1")
        response.set_cookie("two", "2")
        return response

    async def ready(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def openapi(request: Request) -> Response:
        call = {"summary": "Case", "description": "One <case> ``blind``.\n\nRaises\n------"}
        return JSONResponse({"paths": {"/v1/cases/{case_id}": {"get": call}}})

    methods = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(
        routes=[
            Route("/readyz", ready),
            Route("/openapi.json", openapi),
            Route("/stream", stream),
            Route("/empty", empty),
            Route("/cookies", cookies),
            Route("/refused", refused),
            Route("/{path:path}", echo, methods=methods),
        ]
    )


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served(upstream()) as service:
        nobody = "http://127.0.0.1:9"
        services = dict.fromkeys(SERVICES, service) | {"qa": nobody}
        with served(build(services, AUTHENTICATOR, CODE, data_folder="DIR")) as url:
            yield url


@pytest.fixture
def client(gateway: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway, trust_env=False, timeout=10) as opened:
        yield opened


def bearer(*roles: Role) -> dict[str, str]:
    token = AUTHENTICATOR.issue("somebody", {"*": roles}, lifetime_s=60)
    return {"authorization": f"Bearer {token}"}


def test_a_request_reaches_the_service_without_its_name(client: httpx.Client) -> None:
    answer = client.put("/ingest/v1/a%2Fb?x=1&y=%20", content=b"12345", headers=bearer(Role.READER))
    assert answer.json() == {
        "method": "PUT",
        "path": "/v1/a%2Fb",
        "query": "x=1&y=%20",
        "authorization": bearer(Role.READER)["authorization"],
        "size": 5,
        "cookie": "",
        "x-radloop": "",
    }
    assert answer.headers["x-kept"] == "yes"


def test_bodies_stream_both_ways(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield CHUNK

    assert client.post("/ingest/v1/uploads", content=chunks()).json()["size"] == 64 * len(CHUNK)
    assert len(client.get("/ingest/stream").content) == 64 * len(CHUNK)


def test_answers_without_a_body_and_errors_come_through(client: httpx.Client) -> None:
    assert client.get("/ingest/empty").status_code == 204
    refused = client.get("/ingest/refused")
    assert (refused.status_code, refused.json()["error"]) == (422, "teapot")


def test_a_service_that_is_away_is_said_to_be_so(client: httpx.Client) -> None:
    answer = client.get("/qa/v1/status")
    assert (answer.status_code, answer.json()["error"]) == (503, "service-away")
    assert "logs/qa.log" in answer.json()["do"]


def test_an_unknown_service_is_not_found(client: httpx.Client) -> None:
    assert client.get("/nobody/v1").json()["error"] == "service-unknown"


def test_readiness_is_that_of_all_services(client: httpx.Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["services"]["qa"] == {"ready": False, "detail": "does not answer"}
    assert answer.json()["services"]["ingest"]["ready"]


def test_the_printed_address_logs_a_browser_in_once(client: httpx.Client) -> None:
    assert client.get("/").status_code == 401
    first = client.get("/", params={"token": CODE})
    assert first.status_code == 303
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "samesite=strict" in first.headers["set-cookie"].lower()
    assert AUTHENTICATOR.authenticate(client.cookies[COOKIE]).subject == "operator"
    page = client.get("/")
    assert page.status_code == 200
    assert "6 of 7 services are ready" in page.text and 'href="/labeling/"' in page.text
    # What the page needs is what a browser is told to allow it: a style of its own, and nothing from elsewhere.
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "<script" not in page.text and " onclick" not in page.text
    client.cookies.clear()
    assert client.get("/", params={"token": CODE}).status_code == 401


def test_a_service_shows_its_calls_to_who_is_logged_in(client: httpx.Client) -> None:
    assert client.get("/api/ingest").status_code == 401
    page = client.get("/api/ingest", headers=bearer(Role.READER))
    assert page.status_code == 200
    assert "/ingest/v1/cases/{case_id}" in page.text and "One &lt;case&gt; <code>blind</code>." in page.text
    assert "Raises" not in page.text
    assert client.get("/api/nobody", headers=bearer(Role.READER)).status_code == 404
    assert client.get("/api/qa", headers=bearer(Role.READER)).status_code == 503


def test_an_administrator_gets_a_new_address(client: httpx.Client) -> None:
    assert client.post("/login-codes", headers=bearer(Role.READER)).status_code == 403
    code = client.post("/login-codes", headers=bearer(Role.SITE_ADMIN)).json()["code"]
    assert client.get("/", params={"token": code}).status_code == 303


def test_a_page_of_another_origin_cannot_use_the_cookie(client: httpx.Client, gateway: str) -> None:
    assert client.post("/ingest/v1/x", headers={"origin": "http://127.0.0.1:1"}).status_code == 403
    assert client.post("/ingest/v1/x", headers={"origin": gateway}).status_code == 200
    client.get("/", params={"token": client.post("/login-codes", headers=bearer(Role.SITE_ADMIN)).json()["code"]})
    for told in ({}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}):
        refused = client.post("/ingest/v1/x", headers=told)
        assert (refused.status_code, refused.json()["error"]) == (403, "foreign-origin")
        assert client.get("/ingest/v1/x", headers=told).status_code == 200
    for told in ({"sec-fetch-site": "same-origin"}, {"x-radloop": "1"}, bearer(Role.READER)):
        assert client.post("/ingest/v1/x", headers=told).status_code == 200


def test_cookies_and_what_a_service_sets_come_through(client: httpx.Client) -> None:
    seen = client.get("/ingest/v1/x", headers={"cookie": f"{COOKIE}=abc; other=1", "x-radloop": "1"}).json()
    assert (seen["cookie"], seen["x-radloop"]) == (f"{COOKIE}=abc; other=1", "1")
    answer = client.get("/ingest/cookies")
    assert [each.partition("=")[0] for each in answer.headers.get_list("set-cookie")] == ["one", "two"]
    assert answer.headers["content-security-policy"] == "default-src 'none'"  # the service's own word stands


def test_what_a_service_sets_for_one_browser_goes_out_with_no_others_request(client: httpx.Client) -> None:
    assert client.get("/ingest/cookies").cookies["one"] == "1"
    with httpx.Client(base_url=client.base_url, trust_env=False) as another:
        assert another.get("/ingest/v1/x").json()["cookie"] == ""


def test_a_foreign_name_for_this_machine_is_refused(client: httpx.Client) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_half_a_platform_has_a_page_too() -> None:
    page = status_page({"control-plane": Readiness(True, "ready")}, "DIR")
    assert "Everything is ready" in page and "/labeling/" not in page
