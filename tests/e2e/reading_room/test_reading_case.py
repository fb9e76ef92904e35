"""A whole case from the worklist to approval by two readers, with mouse and keyboard; what was painted against what was stored."""

from pathlib import Path

import numpy as np
import pytest

from radloop.imaging import Volume, dice, write_nifti
from standalone.demo.cohort import find_real_source, load_cohort, phantom_source
from standalone.demo.dicom_series import series
from tests.e2e.reading_room.projects import READER, SECOND, project
from tests.e2e.reading_room.room import Room, painted
from tests.e2e.reading_room.site import entropy_around, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "hippocampus"
SEGMENTS = (("anterior", "#e6550d"), ("posterior", "#3182bd"))


@pytest.fixture(scope="module")
def cohort():
    source = find_real_source({}, Path(__file__).parents[3]) or phantom_source()
    return load_cohort(source, seed=3, test=1, validation=1, start=1, pool=6)


@pytest.fixture(scope="module")
def cases(site, cohort):
    """Cases of the project, each with the experts' mask; a prediction that is two voxels off is shown with each."""
    reading = {"second_reading_share": 1.0, "agreement_threshold": 0.8, "lease_s": 600}
    body = project(modality="MR", description="hippocampus", segments=SEGMENTS, reading=reading)
    site.configure(PROJECT, body)
    made = []
    for rank, patient in enumerate(cohort.pool[:4], start=1):
        volume = patient.volumes[0]
        site.send(series(patient, volume, 1))
        [case] = site.cases(PROJECT, volume.series_instance_uid)
        expert = volume.load_mask().array
        proposal = np.roll(expert, 2, axis=1)
        prediction = site.predict(PROJECT, case, proposal, entropy_around(proposal))
        site.flag(PROJECT, case, prediction, rank=rank)
        made.append((case, site.task_of(PROJECT, case), expert, proposal))
    return made


def test_a_whole_case_by_two_readers_to_its_approval(site, cases, visitor):
    case, task, expert, proposal = cases[0]
    anna = visitor(READER)
    page = anna.go(f"worklist/{PROJECT}")
    page.get_by_role("button", name="Next case").wait_for()
    anna.picture("worklist")
    # One key hands out the most urgent case; nothing but keys from here on.
    page.keyboard.press("n")
    room = Room(page).ready()
    assert room.look("room.taskId") == task
    room.waits_for("room.proposal !== null && room.heat !== null && room.doubts.length > 0")
    room.key("u")
    room.key("n")
    anna.picture("uncertainty")
    room.key("u")
    room.key("a")
    np.testing.assert_array_equal(room.labels(), proposal)
    # The model is two voxels off: what the expert sees is put right, here by a key at a time.
    room.key("Control+z")
    assert not room.labels().any()
    room.key("Control+y")
    room.key("Control+Enter")
    room.waits_for(f"room.taskId !== '{task}'", within_s=30)
    [version] = [v for v in site.versions(task) if v["kind"] == "submitted"]
    assert version["started_from_model"] is True
    assert version["active_time_s"] > 0
    np.testing.assert_array_equal(site.label(version["label_version_id"]), proposal)

    # The second reader is blind: no proposal, no reasons, the same label by the mouse from the expert's mask.
    second = site.task_of(PROJECT, case, "second")
    ben = visitor(SECOND)
    room = Room(ben.go(f"task/{second}")).ready()
    ben.page.get_by_text("This case is read without the model").wait_for()
    assert room.look("room.proposal") is None
    assert room.look("room.task.reasons") == []
    paint_by_mouse(room, proposal)
    drawn = room.labels()
    assert dice(drawn, proposal, 1) > 0.85 and dice(drawn, proposal, 2) > 0.85
    ben.picture("interpolated")
    room.key("Control+Enter")

    def approved():
        review = site.operator.get("/qa/v1/reviews", project_id=PROJECT)["reviews"]
        return [r for r in review if r["case_id"] == case.case_id and r["state"] == "approved"]

    [review] = until(approved)
    assert review["approved_label"]
    [version] = [v for v in site.versions(second) if v["kind"] == "submitted"]
    assert version["started_from_model"] is False
    np.testing.assert_array_equal(site.label(version["label_version_id"]), drawn)
    state = site.operator.get(f"/labeling/v1/tasks/{task}")["state"]
    assert state == "approved"


def test_what_was_painted_is_what_is_stored(site, cases, visitor):
    case, task, *_ = cases[1]
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    middle = [n // 2 for n in case.shape]
    spacing = room.look("room.frames.spacing_mm")
    expected = np.zeros(case.shape, np.uint8)
    # A disc on each plane, drawn along a way that bends; then a ball; then some of it rubbed out.
    for plane, axis, segment in (("axial", 2, 1), ("sagittal", 0, 2), ("coronal", 1, 1)):
        room.go_to(middle)
        room.key(str(segment))
        way = []
        for step in (-6, -2, 3):
            at = list(middle)
            u, v = [n for n in (0, 1, 2) if n != axis]
            at[u] += step
            at[v] += step // 2
            way.append(at)
        points = room.stroke(plane, way)
        expected[painted(case.shape, spacing, points, room.look("room.radiusMm"), axis)] = segment
    room.key("g")
    room.key("2")
    room.go_to(middle)
    points = room.stroke("axial", [[middle[0] + 8, middle[1] + 8, middle[2]]] * 2)
    expected[painted(case.shape, spacing, points, room.look("room.radiusMm"), None)] = 2
    room.key("e")
    points = room.stroke("axial", [[middle[0] + 9, middle[1] + 8, middle[2]]] * 2)
    rubbed = painted(case.shape, spacing, points, room.look("room.radiusMm"), None)
    expected[rubbed & (expected == 2)] = 0
    np.testing.assert_array_equal(room.labels(), expected)

    # Undone and done again, to the voxel.
    room.key("Control+z")
    room.key("Control+z")
    assert (room.labels() != expected).any()
    room.key("Control+Shift+z")
    room.key("Control+y")
    np.testing.assert_array_equal(room.labels(), expected)

    room.saved()
    room.key("Control+s")
    room.waits_for("room.notice === 'Saved as a version.'")
    [version] = site.versions(task)
    assert version["kind"] == "saved"
    np.testing.assert_array_equal(site.label(version["label_version_id"]), expected)

    # The page is lost; the draft is not, and neither is what can be undone.
    anna.page.reload()
    room.ready()
    np.testing.assert_array_equal(room.labels(), expected)
    assert room.look("room.history.nextUndo") == "Eraser"
    anna.picture("reading")


def paint_by_mouse(room: Room, wanted: np.ndarray) -> None:
    """Paint every third axial slice of a label, row by row, by real pointer events, and let the service fill what lies between."""
    room.look("(room.setRadius(0.1), room.sphere = false, room.tool = 'brush', room.changed())")
    for value in np.unique(wanted[wanted > 0]):
        room.key(str(value))
        slices = np.unique(np.nonzero(wanted == value)[2])
        for k in sorted({*slices[::3], slices[-1]}):
            rows = wanted[:, :, k] == value
            room.go_to([rows.shape[0] // 2, rows.shape[1] // 2, int(k)])
            for j in np.nonzero(rows.any(axis=0))[0]:
                inside = np.concatenate([[False], rows[:, j], [False]]).astype(int)
                steps = np.diff(inside)
                for first, last in zip(np.nonzero(steps == 1)[0], np.nonzero(steps == -1)[0] - 1, strict=True):
                    room.stroke("axial", [[int(first), int(j), int(k)], [int(last), int(j), int(k)]])
        room.key("i")
        room.waits_for("room.history.nextUndo === 'Interpolate'")


def test_versions_are_brought_back_and_files_taken(site, cases, visitor, tmp_path):
    # The third case was handed to the second reader when he had submitted.
    case, task, expert, proposal = cases[3]
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    room.waits_for("room.proposal !== null")
    room.key("a")
    room.key("Control+s")
    room.waits_for("room.notice === 'Saved as a version.'")
    room.key("Shift+Delete")
    assert not (room.labels() == 1).any()
    room.key("v")
    dialog = anna.page.get_by_role("dialog", name="Versions of this label")
    dialog.get_by_text("from the model").wait_for()
    anna.picture("versions")
    dialog.get_by_role("button", name="Restore").first.click()
    dialog.wait_for(state="detached")
    np.testing.assert_array_equal(room.labels(), proposal)

    # A file of another case is refused in words, and nothing is changed by it; one of this case is an edit like any other.
    other = cases[2][0]
    for name, volume in (
        ("other.nii", Volume(np.zeros(other.shape, np.uint8), other.image.affine_lps)),
        ("right.nii", Volume(expert, case.image.affine_lps)),
    ):
        (tmp_path / name).write_bytes(write_nifti(volume))
    room.key("v")
    dialog.locator("input[type=file]").set_input_files(tmp_path / "other.nii")
    refused = dialog.get_by_role("alert")
    refused.wait_for()
    assert "expected shape" in refused.inner_text().lower() and "got shape" in refused.inner_text().lower()
    np.testing.assert_array_equal(room.labels(), proposal)
    dialog.locator("input[type=file]").set_input_files(tmp_path / "right.nii")
    dialog.wait_for(state="detached")
    np.testing.assert_array_equal(room.labels(), expert)
    room.key("Control+z")
    np.testing.assert_array_equal(room.labels(), proposal)
    room.saved()
