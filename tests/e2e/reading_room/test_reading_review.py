"""The reviewer's part: readers over one another, a label returned with words pinned to a slice, an adjudication by merging."""

from pathlib import Path

import numpy as np
import pytest

from standalone.demo.cohort import find_real_source, load_cohort, phantom_source
from standalone.demo.dicom_series import series
from tests.e2e.reading_room.projects import READER, REVIEWER, SECOND, project
from tests.e2e.reading_room.room import Room

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "reviewed"
SEGMENTS = (("anterior", "#e6550d"), ("posterior", "#3182bd"))


@pytest.fixture(scope="module")
def flagged(site):
    """Two cases that two readers are to read: (case, task of the first reading, the experts' mask)."""
    source = find_real_source({}, Path(__file__).parents[3]) or phantom_source()
    cohort = load_cohort(source, seed=9, test=1, validation=1, start=1, pool=6)
    # Readers who differ by a voxel are put before a third.
    reading = {"second_reading_share": 1.0, "agreement_threshold": 0.97, "lease_s": 600}
    site.configure(PROJECT, project(modality="MR", description="hippocampus", segments=SEGMENTS, reading=reading))
    made = []
    for rank, patient in enumerate(cohort.pool[:2], start=1):
        volume = patient.volumes[0]
        site.send(series(patient, volume, 1))
        [case] = site.cases(PROJECT, volume.series_instance_uid)
        expert = volume.load_mask().array
        prediction = site.predict(PROJECT, case, expert)
        site.flag(PROJECT, case, prediction, rank=rank)
        made.append((case, site.task_of(PROJECT, case), expert))
    return made


def test_a_label_is_returned_with_words_pinned_to_a_slice(site, flagged, visitor):
    case, task, expert = flagged[0]
    site.submit(READER, task, np.where(expert == 1, 1, expert), case)
    review = site.review_of(PROJECT, case, "awaiting-second")
    carla = visitor(REVIEWER)
    page = carla.go(f"review/{review['review_id']}")
    page.locator(".review-viewer[data-stage=ready]").wait_for()
    page.wait_for_timeout(1500)
    box = page.locator("[data-plane=axial] .picture").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.press("x")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("The tail reaches two slices further.")
    carla.picture("return")
    page.keyboard.press("Control+Enter")
    dialog.wait_for(state="detached")
    returned = site.review_of(PROJECT, case, "returned")
    [label] = site.operator.get(f"/qa/v1/reviews/{returned['review_id']}")["labels"]
    assert label["comment"] == "The tail reaches two slices further."
    pinned = label["pin"]["index"]

    # Its reader sees the words, and where they point.
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    anna.page.get_by_text("The tail reaches two slices further.").wait_for()
    room.waits_for("room.comment !== null")
    assert room.look("room.crosshair") == pinned
    anna.picture("returned")


def test_an_adjudicator_takes_each_segment_from_whom_they_agree_with(site, flagged, visitor):
    case, task, expert = flagged[1]
    first, second = np.roll(expert, 1, axis=1), expert
    site.submit(READER, task, first, case)
    site.submit(SECOND, site.task_of(PROJECT, case, "second"), second, case)
    adjudication = site.task_of(PROJECT, case, "adjudication")
    review = site.review_of(PROJECT, case, "awaiting-adjudication")
    carla = visitor(REVIEWER)
    page = carla.go(f"review/{review['review_id']}")
    page.locator(".review-viewer[data-stage=ready]").wait_for()
    page.wait_for_timeout(1500)
    carla.picture("review")
    page.keyboard.press("v")
    page.wait_for_timeout(1500)
    carla.picture("side-by-side")
    page.keyboard.press("d")
    room = Room(page).ready()
    assert room.look("room.taskId") == adjudication
    room.waits_for("room.others.length === 3")
    titles = room.look("room.others.map((other) => other.title)")
    assert titles == ["Reader A", "Reader B", "Model"]
    carla.picture("adjudication")
    # The front from the first reader, the back from the second; whoever comes later wins a voxel both have.
    room.key("1")
    room.key("Alt+q")
    room.key("2")
    room.key("Alt+w")
    shown = [np.asarray(room.look(f"[...room.others[{n}].labels.data]"), np.uint8) for n in (0, 1)]
    readers = [flat.reshape(case.shape, order="F") for flat in shown]
    expected = np.where(readers[0] == 1, 1, 0)
    expected[readers[1] == 2] = 2
    np.testing.assert_array_equal(room.labels(), expected)
    room.key("Control+Enter")
    approved = site.review_of(PROJECT, case, "approved")
    assert approved["approved_label"]
