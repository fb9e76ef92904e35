"""The prebuilt OHIF viewer in Chromium over our DICOMweb: the list, a study's images, and a segmentation over them."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from pydicom.uid import CTImageStorage

from radloop.auth import Role
from radloop.testing.databases import ONE_ENGINE
from tests.e2e.reading_room.conftest import CHROMIUM_FLAGS, SCREENSHOTS
from tests.integration.ingest.viewer import needs_ohif, ohif
from tests.integration.ingest.ward import ABSENT, ANNOTATED, WHY, Ward

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SLICES, SIZE = 24, 128
PATIENCE_MS = 60_000


@pytest.fixture
def page(chromium_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        yield page
        browser.close()


@pytest.fixture
def phantom(slice_of) -> list[pydicom.Dataset]:
    """A bright ball in a dark box."""
    place = {
        "Rows": SIZE,
        "Columns": SIZE,
        "PixelSpacing": [1, 1],
        "SliceThickness": 1.5,
        "FrameOfReferenceUID": "1.2.826.4242.9",
    }
    shown = {
        "Modality": "CT",
        "SOPClassUID": CTImageStorage,
        "SeriesNumber": 1,
        "WindowCenter": 650,
        "WindowWidth": 1300,
    }
    named = {"StudyTime": "120000", "StudyID": "1", "PatientSex": "F", "Manufacturer": "ACME"}
    return [
        slice_of(number, InstanceNumber=number + 1, PixelData=values.tobytes(), **place, **shown, **named)
        for number, values in enumerate(np.where(ball(), 1200, 100).astype("<u2"))
    ]


def ball() -> np.ndarray:
    """Where the ball is, shape ``(K, J, I)``."""
    k, j, i = np.mgrid[0:SLICES, 0:SIZE, 0:SIZE]
    return ((k - 12) / 8) ** 2 + ((j - 64) / 30) ** 2 + ((i - 64) / 30) ** 2 < 1


class NoArchive:
    def store(self, file: bytes) -> None:
        """Nobody keeps it."""


@needs_ohif
@ONE_ENGINE
def test_a_study_and_a_label_of_ours(site, send, phantom, slice_of, page):
    ward = Ward(site, NoArchive(), slice_of).receive(send, phantom, modality="CT")
    ward.approve(ball().astype(np.uint8).transpose(2, 1, 0), states=(ANNOTATED, ABSENT))
    exported = site.http.post(f"/v1/cases/{ward.case_id}/export", json={"form": "seg", **WHY})
    # As the archive, which has it under the study's own UIDs now, would send it.
    assert [answer.Status for answer in send([pydicom.dcmread(io.BytesIO(exported.content))])] == [0]
    [study] = site.http.get("/dicom-web/studies", params={"includefield": "all"}).json()
    key, patient = study["0020000D"]["Value"][0], study["00100020"]["Value"][0]
    with ohif(site.service.http, site.client(Role.SITE_ADMIN).headers) as url:
        frames: list[str] = []
        troubles: list[str] = []
        page.on("request", lambda request: frames.append(request.url) if "/frames/" in request.url else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("response", lambda answer: troubles.append(answer.url) if answer.status >= 400 else None)

        page.goto(url)
        row = page.get_by_role("row").filter(has_text=patient)
        expect(row).to_contain_text("CT", timeout=PATIENCE_MS)
        expect(row).to_contain_text(str(SLICES + 1))

        page.goto(f"{url}/viewer?StudyInstanceUIDs={key}")
        page.get_by_text("Skip all").click(timeout=PATIENCE_MS)
        page.wait_for_function("expected => performance.getEntriesByType('resource').filter(e => "
                               "e.name.includes('/frames/')).length >= expected", arg=SLICES)  # fmt: skip
        assert len(set(frames)) == SLICES
        page.locator('[data-cy="study-browser-thumbnail-no-image"]').dblclick()
        page.locator('[data-cy="yes-hydrate-btn"]').click(timeout=PATIENCE_MS)
        page.locator('[data-cy="panelSegmentation-btn"]').click()
        expect(page.get_by_text("liver")).to_be_visible(timeout=PATIENCE_MS)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        picture = page.screenshot(path=SCREENSHOTS / "ohif-segmentation.png")
    assert troubles == []
    red, _, blue = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=int)[425, 700]
    assert red > blue + 30, "the segment's colour, #dd8265, over grey"
