"""What a browser is told with every answer, and whose requests are taken from it."""

import pytest
from fastapi import APIRouter, Depends, Response
from fastapi.testclient import TestClient

from radloop.auth import Principal, Role, open_authenticator
from radloop.browser import COOKIE, SECURITY_HEADERS
from radloop.errors import PermanentError
from radloop.http import authenticated, create_http
from radloop.session import session_router
from radloop.settings import SharedSettings

SHARED = {"events_url": "sqlite:////e", "database_url": "sqlite:////d", "objects_url": "file:///o"}
OIDC = "oidc+https://id.example.org?audience=api&client_id=webui"

AWAY = OIDC.replace("https://id.example.org", "http://127.0.0.1:9")
"""Nobody listens there."""


@pytest.fixture
def client(tmp_path) -> TestClient:
    url = f"token:{tmp_path}/secret"
    app = create_http("t", open_authenticator(url), {})
    router = APIRouter()

    @router.get("/v1/thing")
    @router.post("/v1/thing")
    def thing(principal: Principal = Depends(authenticated)) -> dict[str, str]:
        return {"name": principal.name}

    @router.get("/v1/kept")
    def kept() -> Response:
        return Response(headers={"cache-control": "private, max-age=60"})

    @router.get("/v1/broken")
    def broken() -> None:
        raise RuntimeError

    @router.get("/page")
    def page() -> str:
        return "page"

    app.include_router(router)
    app.include_router(session_router(SharedSettings(auth_url=url, **SHARED), "labeling"))
    return TestClient(app, raise_server_exceptions=False)


def token(client: TestClient) -> str:
    return client.app.state.authenticator.issue("ada", {"p": [Role.READER]}, lifetime_s=60, name="Ada L.")


@pytest.mark.parametrize("path", ["/page", "/v1/thing", "/v1/broken", "/nowhere", "/livez", "/session/sign-in"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert (answer.headers.get("cache-control") == "no-store") is path.startswith(("/v1", "/session"))


def test_the_policy_allows_what_the_viewer_needs_and_no_more() -> None:
    policy = dict(part.split(" ", 1) for part in SECURITY_HEADERS["content-security-policy"].split("; "))
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'" and policy["worker-src"] == "'self' blob:"
    assert policy["default-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"


def test_what_an_endpoint_says_of_keeping_stands(client: TestClient) -> None:
    assert client.get("/v1/kept").headers["cache-control"] == "private, max-age=60"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"x-radloop": "0"}, 403),
        ({"authorization": "Basic YTpi"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"x-radloop": "1"}, 200),
    ],
)
def test_a_change_by_cookie_must_come_from_our_own_page(client: TestClient, headers: dict, status: int) -> None:
    cookie = {"cookie": f"other=1; {COOKIE}={token(client)}"}
    assert client.post("/v1/thing", headers=cookie | headers).status_code == status
    assert client.get("/v1/thing", headers=cookie | headers).status_code == 200


def test_a_bearer_token_needs_no_page(client: TestClient) -> None:
    headers = {"authorization": f"Bearer {token(client)}", "sec-fetch-site": "cross-site"}
    assert client.post("/v1/thing", headers=headers).json() == {"name": "Ada L."}
    assert client.post("/v1/thing", headers={"sec-fetch-site": "cross-site"}).status_code == 401


def test_without_a_provider_a_page_says_how_to_get_in(client: TestClient) -> None:
    page = client.get("/session/sign-in")
    assert "radloop token --browser" in page.text and page.headers["content-type"].startswith("text/html")
    assert client.get("/session/callback").status_code == 404
    assert client.post("/session/refresh").json()["error"] == "session-over"
    answer = client.post("/session/sign-out", headers={"cookie": f"{COOKIE}=x", "x-radloop": "1"})
    assert answer.json() == {"location": "./"}
    assert f'{COOKIE}=""' in answer.headers["set-cookie"] and "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize("settings", [{}, {"public_url": "https://x.org", "session_secret": "short"}])
def test_with_a_provider_what_is_missing_stops_the_start(settings: dict) -> None:
    with pytest.raises(PermanentError, match="session-settings"):
        session_router(SharedSettings(auth_url=OIDC, **SHARED, **settings), "labeling")


def test_over_https_cookies_are_for_https_only() -> None:
    settings = SharedSettings(auth_url=AWAY, public_url="https://x.org", **SHARED)
    app = create_http("t", open_authenticator(AWAY), {})
    app.include_router(session_router(settings, "labeling"))
    answer = TestClient(app).post("/session/sign-out")
    dropped = answer.headers.get_list("set-cookie")
    assert len(dropped) == 2 and all("Secure" in each and "HttpOnly" in each for each in dropped)


def test_a_provider_that_is_away_is_said_on_a_page() -> None:
    app = create_http("t", open_authenticator(AWAY), {})
    app.include_router(
        session_router(SharedSettings(auth_url=AWAY, public_url="http://127.0.0.1:1", **SHARED), "labeling")
    )
    page = TestClient(app).get("/session/sign-in")
    assert page.status_code == 503 and "identity provider" in page.text and "text/html" in page.headers["content-type"]
