"""Gold cases: named by a lead in the browser, read by a reader who cannot tell, counted where only the reader and the lead look."""

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from radloop.errors import PermanentError
from standalone.demo.cohort import find_real_source, load_cohort, phantom_source
from standalone.demo.dicom_series import series
from tests.e2e.reading_room.projects import LEAD, READER, SECOND, project
from tests.e2e.reading_room.room import Room
from tests.e2e.reading_room.site import until
from tests.e2e.reading_room.test_reading_pages import serious

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "measured"
SEGMENTS = (("anterior", "#e6550d"), ("posterior", "#3182bd"))
GROUP = 3
"""A reader's own score has whole groups of so many gold readings."""


@pytest.fixture(scope="module")
def read(site):
    """Three cases with an approved label of the other reader, and three that the reader reads first: (case, task, expert)."""
    source = find_real_source({}, Path(__file__).parents[3]) or phantom_source()
    cohort = load_cohort(source, seed=21, test=1, validation=1, start=1, pool=2 * GROUP)
    reading = {"second_reading_share": 0.0, "agreement_threshold": 0.8, "lease_s": 600}
    site.configure(PROJECT, project(modality="MR", description="hippocampus", segments=SEGMENTS, reading=reading))
    volumes = [(patient, patient.volumes[0]) for patient in cohort.pool[: 2 * GROUP]]
    site.send(ds for patient, volume in volumes for ds in series(patient, volume, 1))
    made = []
    for rank, (_, volume) in enumerate(volumes, start=1):
        [case] = site.cases(PROJECT, volume.series_instance_uid)
        site.flag(PROJECT, case, rank=rank)
        made.append((case, site.task_of(PROJECT, case), volume.load_mask().array))
    for case, task, expert in made[:GROUP]:
        site.submit(SECOND, task, expert, case)
    for case, _, _ in made[:GROUP]:
        site.review_of(PROJECT, case, "approved")
    return made


def heard_by(person) -> list[tuple[str, str]]:
    """Keep what the services answer a person from now on: (address, text); pixels and the pages' own files are left out."""
    heard: list[tuple[str, str]] = []

    def answered(response) -> None:
        if response.headers.get("content-type", "").startswith("application/json"):
            with contextlib.suppress(Exception):  # a page that was left takes its answers along
                heard.append((response.url, response.text()))

    person.page.on("response", answered)
    return heard


def asked_as(site, subject: str, path: str, **query: str):
    """Return what a service answers a person."""
    with contextlib.closing(site.client(subject)) as client:
        return client.get(path, **query)


def test_a_gold_case_is_named_read_unknowingly_and_counted(site, read, visitor):
    golden, firsts = read[:GROUP], read[GROUP:]
    dora = visitor(LEAD)
    page = dora.go(f"reviews/{PROJECT}")
    page.get_by_text("None yet. Open an approved review").wait_for()
    # By keys: to the approved reviews, to one of them, named; taken back on the list; named again.
    page.get_by_role("group", name="State of the review").get_by_role("button", name="approved").press("Enter")
    page.get_by_role("link", name=golden[0][0].case_id[:8]).press("Enter")
    page.get_by_role("button", name="Name as gold case").wait_for()
    assert "only the mean Dice of each answer" in page.inner_text("main")
    page.keyboard.press("g")
    page.get_by_role("button", name="Retire the gold case").wait_for()
    dora.picture("gold-named")
    page.keyboard.press("Escape")
    row = page.get_by_role("region", name="Gold cases").get_by_role("row")
    row.get_by_role("button", name="Retire").press("Enter")
    page.get_by_text("None yet. Open an approved review").wait_for()
    assert site.operator.get("/qa/v1/gold", project_id=PROJECT)["gold"] == []
    for case, _, _ in golden:
        dora.go(f"review/{site.review_of(PROJECT, case, 'approved')['review_id']}")
        page.get_by_role("button", name="Name as gold case").wait_for()
        page.keyboard.press("g")
        page.get_by_role("button", name="Retire the gold case").wait_for()
    named = {one["case_id"] for one in site.operator.get("/qa/v1/gold", project_id=PROJECT)["gold"]}
    assert named == {case.case_id for case, _, _ in golden}
    dora.go(f"reviews/{PROJECT}")
    row.nth(2).wait_for()
    assert serious(page) == []
    row.first.get_by_role("button", name="Look at it").click()
    page.get_by_role("button", name="Retire the gold case").wait_for()

    # Each first reading of the reader's asks her for a gold case; she takes what comes next.
    anna = visitor(READER)
    heard = heard_by(anna)
    usual = asked_as(site, READER, f"/labeling/v1/tasks/{firsts[0][1]}")
    for case, task, expert in firsts:
        site.submit(READER, task, expert, case)
    asked = {case.case_id: site.task_of(PROJECT, case, "second") for case, _, _ in golden}
    page = anna.go(f"worklist/{PROJECT}")
    page.get_by_role("button", name="Next case").wait_for()
    page.locator('[role="row"]').nth(GROUP).wait_for()
    anna.picture("gold-worklist")
    page.keyboard.press("n")
    room = Room(page).ready()
    case_id, task = room.look("[room.task.case_id, room.taskId]")
    assert asked[case_id] == task
    assert sorted(room.look("Object.keys(room.task)")) == sorted(usual)
    [(case, _, expert)] = [one for one in golden if one[0].case_id == case_id]
    room.key("b")
    for value in (1, 2):
        middle = [round(float(n)) for n in np.argwhere(expert == value).mean(axis=0)]
        room.go_to(middle)
        room.key(str(value))
        room.stroke("axial", [middle, [middle[0] + 1, *middle[1:]]])
    anna.picture("gold-task")
    assert "gold" not in page.inner_text("body").lower()
    room.key("Control+Enter")
    room.waits_for(f"room.taskId !== '{task}'", within_s=30)
    for case, _, expert in golden:
        if case.case_id != case_id:
            site.submit(READER, asked[case.case_id], expert, case)

    def scores(of: str) -> dict[str, dict]:
        readers = asked_as(site, of, "/qa/v1/readers", project_id=PROJECT)["readers"]
        return {one["reader"]: one for one in readers}

    until(lambda: max(one["gold_count"] for one in scores(LEAD).values()) == GROUP)
    everybody = scores(LEAD)
    assert sorted(one["gold_count"] for one in everybody.values()) == [0, GROUP]

    # Done: still nothing says what it was. Her score has none of today.
    page = anna.go(f"task/{task}")
    Room(page).ready()
    assert "gold" not in page.inner_text("body").lower()
    page = anna.go(f"worklist/{PROJECT}")
    facts = page.get_by_role("complementary", name="Scores")
    facts.get_by_text("Submitted").wait_for()
    assert "gold" not in page.inner_text("body").lower()
    told = [url for url, text in heard if "gold" in text.lower().replace('"gold_count":0,"gold_mean_dice":null', "")]
    assert told == [] and len(heard) > 10
    with pytest.raises(PermanentError):
        asked_as(site, READER, "/qa/v1/gold", project_id=PROJECT)

    # The next day: she sees how she did, the other reader sees nothing of it, the lead sees both.
    with contextlib.closing(sqlite3.connect(site.layout.state_folder / "qa.db", timeout=30)) as state, state:
        state.execute("UPDATE gold_readings SET scored_at = scored_at - 86400 WHERE project_id = ?", (PROJECT,))
    page.reload()
    facts.get_by_text("Gold cases").wait_for()
    mine = next(one for one in everybody.values() if one["gold_count"] == GROUP)
    assert f"{mine['gold_mean_dice']:.2f} ({GROUP})" in facts.inner_text()
    anna.picture("gold-scored")
    ben = visitor(SECOND)
    theirs = ben.go(f"worklist/{PROJECT}").get_by_role("complementary", name="Scores")
    theirs.get_by_text("Submitted").wait_for()
    assert "Gold" not in theirs.inner_text()
    page = dora.go(f"worklist/{PROJECT}")
    table = page.get_by_role("complementary", name="Scores").get_by_role("table")
    table.get_by_role("columnheader", name="Gold").wait_for()
    rows = [row.inner_text().split() for row in table.get_by_role("row").all()[1:]]
    assert sorted(row[-1] for row in rows) == sorted([f"{mine['gold_mean_dice']:.2f}", "–"])
    dora.picture("gold-lead")
    assert table.evaluate("(table) => table.scrollWidth <= table.closest('.panel').clientWidth - 1")
