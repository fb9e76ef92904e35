"""The operator's page with real studies: held, released and formed; broken off and retried; refused and retried; withdrawn."""

import contextlib
import socket
import struct

import pytest
from pydicom.dataset import Dataset

from radloop.auth import Role
from tests.e2e.reading_room.phantom_ct import series
from tests.e2e.reading_room.projects import READER, project
from tests.e2e.reading_room.site import until
from tests.e2e.reading_room.test_reading_pages import serious

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "operated"
WORD = "OPERATED ON"
SHAPE = (48, 40, 9)
ADMIN = {"*": (Role.SITE_ADMIN,)}
WITHDRAWN = 0x0124


def study(name: str, description: str = WORD, **changes: str) -> list[Dataset]:
    """Draw a small CT whose series is described so."""
    instances = list(series(SHAPE, name=name))
    for ds in instances:
        ds.SeriesDescription = description
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
    return instances


@pytest.fixture(scope="module")
def operated(site):
    """The project that takes these studies."""
    body = project(modality="CT", description=WORD, segments=(("liver", "#e6550d"),))
    site.configure(PROJECT, body)
    return body


class Intake:
    """The operator's page in a browser."""

    def __init__(self, person) -> None:
        self.page = person.go("operator")
        self.rows = self.page.locator('[role="row"].line:has([role="gridcell"])')

    def tab(self, name: str):
        self.page.get_by_role("tab", name=name).click()
        return self

    def row(self, text: str):
        """Return the row that says this, once it is there: the page looks every 10 s, `U` looks now."""
        row = self.rows.filter(has_text=text).first

        def shown() -> bool:
            self.page.keyboard.press("u")
            self.page.wait_for_timeout(300)
            return row.is_visible()

        until(shown)
        return row


def studies_of(site) -> dict[str, dict]:
    return {
        one["study_key"]: one for one in site.operator.get("/ingest/v1/studies", order="newest", limit=50)["studies"]
    }


def key_of_new(site, before: dict[str, dict]) -> str:
    [key] = until(lambda: set(studies_of(site)) - set(before))
    return key


def test_a_held_study_is_shown_released_as_a_whole_and_becomes_a_case(site, operated, visitor):
    before = studies_of(site)
    held = study("held", BurnedInAnnotation="YES")
    site.send(held)
    key = key_of_new(site, before)
    erik = visitor("erik", ADMIN)
    intake = Intake(erik).tab("Quarantined")
    row = intake.row(key)
    assert "may carry burned-in text" in row.inner_text() and "Burned In Annotation is YES" in row.inner_text()
    assert intake.rows.filter(has_text=key).count() == SHAPE[2]
    erik.picture("operator-quarantined")
    last = row.get_by_role("button", name="Withdraw …").bounding_box()
    whole = intake.page.get_by_role("grid").bounding_box()
    assert last["x"] + last["width"] < whole["x"] + whole["width"]
    row.get_by_role("button", name="Release …").click()
    dialog = intake.page.get_by_role("dialog")
    dialog.get_by_role("button", name=f"release all {SHAPE[2]}").wait_for()
    assert f"{SHAPE[2]} instances of study {key} held: may carry burned-in text" in dialog.inner_text()
    assert serious(intake.page) == []
    dialog.get_by_role("button", name=f"release all {SHAPE[2]}").click()
    dialog.wait_for(state="detached")
    [case] = site.cases(PROJECT, held[0].SeriesInstanceUID)
    assert case.shape == SHAPE
    assert "ingested" in intake.tab("Received").row(key).inner_text()
    assert site.operator.get("/ingest/v1/quarantine", search=key)["total"] == 0


def test_what_broke_off_and_what_no_project_wanted_is_retried(site, operated, visitor):
    erik = visitor("erik", ADMIN)
    # Its sender went away in the middle: it would wait ten minutes for the rest.
    before = studies_of(site)
    broken = study("broken-off")
    site.send(broken[:5], break_off=True)
    key = key_of_new(site, before)
    intake = Intake(erik).tab("Incomplete")
    row = intake.row(key)
    assert "sending broke off" in row.inner_text() and "formed after" in row.inner_text()
    erik.picture("operator-incomplete")
    row.get_by_role("button", name="Retry").click()
    assert "1 case" in intake.tab("Received").row(f"{key}1 case").inner_text()
    [case] = site.cases(PROJECT, broken[0].SeriesInstanceUID)
    assert case.shape == (*SHAPE[:2], 5)

    # Nobody had set up a project for it.
    before = studies_of(site)
    unwanted = study("unwanted", description="WANTED LATER")
    site.send(unwanted)
    key = key_of_new(site, before)
    row = intake.tab("Rejected").row(key)
    assert "no project wants it" in row.inner_text()
    site.configure(
        "wanted-later", operated | {"routing": [operated["routing"][0] | {"description_contains": "WANTED LATER"}]}
    )
    row.get_by_role("button", name="Retry").click()
    [case] = site.cases("wanted-later", unwanted[0].SeriesInstanceUID)
    assert case.shape == SHAPE


def test_a_study_is_withdrawn_everywhere(site, operated, visitor):
    before = studies_of(site)
    sent = study("withdrawn")
    site.send(sent)
    key = key_of_new(site, before)
    [case] = site.cases(PROJECT, sent[0].SeriesInstanceUID)
    site.flag(PROJECT, case)
    task = site.task_of(PROJECT, case)
    erik = visitor("erik", ADMIN)
    intake = Intake(erik).tab("Received")
    intake.row(key).get_by_role("button", name="Show").click()
    shown = intake.page.get_by_role("dialog")
    shown.get_by_role("button", name="What was changed").click()
    shown.get_by_text(f"radloop profile 1: {SHAPE[2]} instances, DCM 113100, 113107").wait_for()
    shown.get_by_text("attributes removed").click()
    assert "SeriesDescription" in shown.inner_text() and WORD not in shown.inner_text()
    assert serious(intake.page) == []
    intake.page.keyboard.press("Escape")
    intake.row(key).get_by_role("button", name="Withdraw …").click()
    dialog = intake.page.get_by_role("dialog")
    assert "Nothing brings it back." in dialog.inner_text()
    for_good = dialog.get_by_role("button", name="Withdraw for good")
    dialog.get_by_label("Reason").select_option(label="It was sent in error")
    assert for_good.is_disabled()
    dialog.get_by_label("to confirm").fill("withdraw")
    assert serious(intake.page) == []
    erik.picture("operator-withdraw")
    for_good.click()
    dialog.wait_for(state="detached")
    row = intake.tab("Withdrawn").row(key)
    assert "sent in error" in row.inner_text()
    intake.row(f"{key}sent in errordeleted")
    assert key not in studies_of(site)
    # Its reader is told, whether the case was open or not; a sender is refused.
    anna = visitor(READER)
    anna.go(f"task/{task}").get_by_text("withdrawn").first.wait_for()
    site.send(sent[:1], expected=WITHDRAWN)


def test_a_sender_that_was_turned_away_is_shown(site, operated, visitor):
    port = site.operator.get("/ingest/v1/status")["dicom"]["port"]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(100))
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass
    erik = visitor("erik", ADMIN)
    intake = Intake(erik)
    intake.page.get_by_text("Senders turned away: object too large 1").wait_for()
    erik.picture("operator-turned-away")
    assert serious(intake.page) == []
