"""One platform and one browser for all tests of the reading room that a worker runs."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from radloop.auth import Role
from tests.e2e.reading_room.site import ReadingSite

# As Chrome starts by itself where there is no graphics card: WebGL in software, the page put together by the processor.
CHROMIUM_FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run"]
SCREENSHOTS = Path(__file__).parents[3] / ".radloop" / "screenshots"
"""Every page as the tests saw it; the best are copied to docs/images by hand."""


# For this package and no longer: a platform that idles beside the rest of the suite takes half a core.
@pytest.fixture(scope="package")
def site(chromium_path) -> Iterator[ReadingSite]:
    folder = Path(tempfile.mkdtemp(prefix="radloop-reading-", dir="/tmp"))
    # Every label asks for a gold case, where a project has one that its reader has not read.
    site = ReadingSite(folder / "data", {"LABELING_EXPIRY_INTERVAL_S": "0.2", "QA_GOLD_SHARE": "1"})
    try:
        yield site
    finally:
        site.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def browser(chromium_path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


class Visitor:
    """A person at a browser of their own; what the browser complains of fails the test."""

    def __init__(self, site: ReadingSite, browser: Browser, subject: str, roles: dict[str, tuple[Role, ...]]) -> None:
        self.site, self.subject = site, subject
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 720})
        self.context.add_cookies([{"name": "radloop_token", "value": site.token(subject, roles), "url": site.url}])
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._said)

    def _said(self, message) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def go(self, route: str) -> Page:
        """Open a page of the reading room."""
        self.page.goto(f"{self.site.url}/labeling/#/{route}")
        return self.page

    def picture(self, name: str) -> None:
        """Keep a picture of the page as it is."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def visitor(site, browser):
    """Make visitors: ``visitor("anna")``, ``visitor("erik", {"*": (Role.AUDITOR,)})``."""
    made: list[Visitor] = []

    def make(subject: str, roles: dict[str, tuple[Role, ...]] | None = None) -> Visitor:
        made.append(Visitor(site, browser, subject, roles or {}))
        return made[-1]

    yield make
    for visitor in made:
        visitor.context.close()
    assert [text for visitor in made for text in visitor.complaints] == []
