"""The reading room's own files: what a browser gets, how long it may keep it, and that the API's paths win."""

import gzip
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from labeling.adapters.web import BUILT, web_router
from radloop.auth import open_authenticator
from radloop.http import create_http

pytestmark = pytest.mark.integration

SCRIPT = b"export const reading = 'room'\n" * 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dist = tmp_path / "dist"
    (dist / "assets" / "deep").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>radloop</title>")
    (dist / "favicon.svg").write_text("<svg/>")
    (dist / "assets" / "main-0a1b.js").write_bytes(SCRIPT)
    (dist / "assets" / "main-0a1b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (dist / "assets" / "deep" / "codec-2c.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("not a page")
    (dist / "assets" / "notes.pem").write_text("not a page")
    return dist


@pytest.fixture
def browser(tmp_path: Path, folder: Path) -> TestClient:
    app: FastAPI = create_http("radloop test", open_authenticator(f"token:{tmp_path}/secret"), {})

    @app.post("/v1/things")
    def things() -> dict[str, str]:
        return {"made": "yes"}

    app.include_router(web_router(folder))
    return TestClient(app, raise_server_exceptions=False)


def test_the_page_is_asked_for_again_and_assets_are_kept(browser: TestClient) -> None:
    page = browser.get("/")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache")
    assert page.headers["content-type"].startswith("text/html")
    assert browser.get("/index.html").content == page.content
    asset = browser.get("/assets/deep/codec-2c.wasm")
    assert asset.headers["content-type"] == "application/wasm"
    assert "immutable" in asset.headers["cache-control"] and "max-age=31536000" in asset.headers["cache-control"]
    assert browser.get("/favicon.svg").headers["cache-control"] == "no-cache"


def test_what_is_compressed_already_is_sent_so(browser: TestClient) -> None:
    packed = browser.get("/assets/main-0a1b.js", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 200
    plain = browser.get("/assets/main-0a1b.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for response in (packed, plain):
        assert response.content == SCRIPT
        assert response.headers["content-type"].startswith("text/javascript")
        assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/nobody.js",
        "/assets/",
        "/nothing.html",
        "/assets/notes.pem",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/%00.js",
        "/assets/" + "x" * 5000 + ".js",
    ],
)
def test_nothing_else_is_served(browser: TestClient, path: str) -> None:
    response = browser.get(path)
    assert response.status_code == 404
    assert "not a page" not in response.text


def test_the_paths_of_the_api_win(browser: TestClient) -> None:
    assert browser.post("/v1/things").json() == {"made": "yes"}
    assert browser.get("/v1/things").status_code == 405
    assert browser.get("/v1/unknown").status_code == 404
    assert browser.get("/livez").json() == {"status": "ok"}
    assert list(browser.get("/openapi.json").json()["paths"]) == ["/v1/things"]


def test_a_reading_room_that_is_not_built_says_what_to_do(browser: TestClient, folder: Path) -> None:
    (folder / "index.html").unlink()
    page = browser.get("/")
    assert page.status_code == 503
    assert "scripts/bootstrap" in page.text
    (folder / "index.html").write_text("built")
    assert browser.get("/").text == "built", "and needs no restart"


def test_the_service_serves_it(site) -> None:
    assert BUILT.parts[-4:] == ("services", "labeling", "web", "dist")
    response = site.http.get("/")
    assert response.status_code == (200 if (BUILT / "index.html").is_file() else 503)
