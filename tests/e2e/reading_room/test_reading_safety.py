"""Nothing a reader did is lost: a cut network, a dead page, an ended lease, two windows, a withdrawn study, no WebGL."""

from pathlib import Path

import numpy as np
import pytest

from standalone.demo.cohort import find_real_source, load_cohort, phantom_source
from standalone.demo.dicom_series import series
from tests.e2e.reading_room.projects import READER, SECOND, project
from tests.e2e.reading_room.room import Room
from tests.e2e.reading_room.site import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "safety"
SEGMENTS = (("anterior", "#e6550d"), ("posterior", "#3182bd"))
LEASE_S = 600


@pytest.fixture(scope="module")
def tasks(site):
    """Tasks of one project, not yet taken: (case, task id)."""
    source = find_real_source({}, Path(__file__).parents[3]) or phantom_source()
    cohort = load_cohort(source, seed=5, test=1, validation=1, start=1, pool=6)
    body = project(modality="MR", description="hippocampus", segments=SEGMENTS, lease_s=LEASE_S)
    site.configure(PROJECT, body)
    made = []
    for rank, patient in enumerate(cohort.pool[:5], start=1):
        volume = patient.volumes[0]
        site.send(series(patient, volume, 1))
        [case] = site.cases(PROJECT, volume.series_instance_uid)
        site.flag(PROJECT, case, rank=rank)
        made.append((case, site.task_of(PROJECT, case)))
    return made


def middle_of(case) -> list[int]:
    return [n // 2 for n in case.shape]


def dab(room: Room, case, shift: int = 0) -> None:
    """Paint one disc on the axial plane."""
    at = middle_of(case)
    room.go_to(at)
    room.stroke("axial", [[at[0] + shift, at[1], at[2]]] * 2)


def server_draft(site, task_id: str, reader: str) -> list[dict]:
    client = site.client(reader)
    try:
        return client.get(f"/labeling/v1/tasks/{task_id}/draft")["entries"]
    finally:
        client.close()


def test_a_change_is_with_the_service_within_two_seconds(site, tasks, visitor):
    case, task = tasks[0]
    room = Room(visitor(READER).go(f"task/{task}")).ready()
    dab(room, case)
    until(lambda: len(server_draft(site, task, READER)) == 1, within_s=2)


def test_the_network_is_cut_in_mid_stroke(site, tasks, visitor):
    case, task = tasks[1]
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    at = middle_of(case)
    room.go_to(at)
    room.stroke("axial", [at, [at[0] + 2, at[1], at[2]]], lift=False)
    anna.context.set_offline(True)
    x, y = room.pixel("axial", [at[0] + 6, at[1] + 3, at[2]])
    anna.page.mouse.move(x, y)
    anna.page.mouse.up()
    dab(room, case, shift=-5)
    expected = room.labels()
    room.waits_for("room.journal.state.kind === 'offline'")
    anna.page.get_by_text("2 steps wait in this browser").wait_for()
    anna.picture("offline")
    assert server_draft(site, task, READER) == []

    # The page dies while there is no network: what was not sent is offered when it opens again.
    anna.page.close(run_before_unload=False)
    anna.context.set_offline(False)
    anna.page = anna.context.new_page()
    room = Room(anna.go(f"task/{task}"))
    anna.page.get_by_role("dialog", name="Some of your work was not sent").wait_for()
    assert not room.labels().any()
    anna.picture("not-sent")
    anna.page.get_by_role("button", name="Take them over").click()
    np.testing.assert_array_equal(room.labels(), expected)
    room.saved()
    assert len(server_draft(site, task, READER)) == 2
    # And while the page lives, it is sent by itself as soon as the network is back.
    anna.context.set_offline(True)
    dab(room, case, shift=5)
    room.waits_for("room.journal.state.kind === 'offline'")
    anna.context.set_offline(False)
    room.saved()
    assert len(server_draft(site, task, READER)) == 3


def test_a_lease_taken_by_somebody_else_is_a_clear_choice(site, tasks, visitor):
    case, task = tasks[2]
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    dab(room, case)
    room.saved()
    # Her lease is given back behind her, and Ben is given the case.
    mine, bens = site.client(READER), site.client(SECOND)
    held = mine.get(f"/labeling/v1/tasks/{task}")["lease"]["lease_id"]
    mine.request("DELETE", f"/labeling/v1/tasks/{task}/lease", params={"lease_id": held})
    bens.post(f"/labeling/v1/tasks/{task}/lease")
    dab(room, case, shift=4)
    painted = room.labels()
    dialog = anna.page.get_by_role("dialog", name="Somebody else has this case now")
    dialog.wait_for()
    anna.picture("somebody-else")
    assert server_draft(site, task, SECOND) == []
    assert len(server_draft(site, task, READER)) == 1
    # Ben gives it back; Anna takes it again, and what waited is sent.
    lease = bens.get(f"/labeling/v1/tasks/{task}")["lease"]["lease_id"]
    bens.request("DELETE", f"/labeling/v1/tasks/{task}/lease", params={"lease_id": lease})
    dialog.get_by_role("button", name="Take it again").click()
    dialog.wait_for(state="detached")
    room.saved()
    assert len(server_draft(site, task, READER)) == 2
    np.testing.assert_array_equal(room.labels(), painted)
    mine.close()
    bens.close()


def test_the_same_case_in_two_windows(site, tasks, visitor):
    case, task = tasks[3]
    anna, again = visitor(READER), visitor(READER)
    first = Room(anna.go(f"task/{task}")).ready()
    second = Room(again.go(f"task/{task}")).ready()
    dab(second, case)
    second.saved()
    dab(first, case, shift=5)
    dialog = anna.page.get_by_role("dialog", name="This case is open in another window")
    dialog.wait_for()
    # What the other window has written is loaded; what only this one had is offered, and both are on the label.
    dialog.get_by_role("button", name="Load the draft as it is now").click()
    anna.page.get_by_role("dialog", name="Some of your work was not sent").wait_for()
    np.testing.assert_array_equal(first.labels(), second.labels())
    anna.page.get_by_role("button", name="Take them over").click()
    first.saved()
    assert len(server_draft(site, task, READER)) == 2
    assert (first.labels() > 0).sum() > (second.labels() > 0).sum()


def test_a_study_withdrawn_while_it_is_open(site, tasks, visitor):
    case, task = tasks[4]
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    dab(room, case)
    room.saved()
    site.operator.post("/ingest/v1/withdraw", {"study_key": case.study_key, "reason": "consent"})
    until(lambda: _withdrawn(site, task))
    dab(room, case, shift=4)
    dialog = anna.page.get_by_role("dialog", name="The study was withdrawn")
    dialog.wait_for()
    anna.picture("withdrawn")
    # What waited in the browser to be sent is gone as well.
    assert anna.page.evaluate(WAITING) == 0
    dialog.get_by_role("button", name="Back to the worklist").click()
    anna.page.get_by_role("button", name="Next case").wait_for()


WAITING = """() => new Promise((resolve) => {
  const opening = indexedDB.open("radloop-drafts");
  opening.onsuccess = () => {
    const counting = opening.result.transaction("unsent").objectStore("unsent").count();
    counting.onsuccess = () => resolve(counting.result);
  };
})"""
"""How many drafts wait in the browser."""


def _withdrawn(site, task_id: str) -> bool:
    try:
        site.operator.get(f"/labeling/v1/tasks/{task_id}/manifest")
    except Exception as error:
        return "withdrawn" in str(error)
    return False


def test_a_browser_without_webgl_says_so(site, tasks, visitor):
    anna = visitor(READER)
    anna.context.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        " return kind === 'webgl2' ? null : get.call(this, kind, ...rest); };"
    )
    page = anna.go(f"task/{tasks[0][1]}")
    page.get_by_role("heading", name="This browser cannot draw the images").wait_for()
    assert "hardware acceleration" in page.inner_text("main")
    anna.picture("no-webgl")
    page.get_by_role("button", name="Back to the worklist").click()
    page.get_by_role("button", name="Next case").wait_for()
