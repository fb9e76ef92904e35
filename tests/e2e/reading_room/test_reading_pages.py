"""Every page: what axe-core finds, in light and dark, at 1280 x 720; who sees what; a picture of each."""

from pathlib import Path

import pytest

from radloop.auth import Role
from standalone.demo.cohort import find_real_source, load_cohort, phantom_source
from standalone.demo.dicom_series import series
from tests.e2e.reading_room.projects import INSTRUCTIONS, LEAD, READER, REVIEWER, project
from tests.e2e.reading_room.room import Room
from tests.e2e.reading_room.site import entropy_around

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "pages"
SEGMENTS = (("anterior", "#e6550d"), ("posterior", "#3182bd"))
AXE = Path(__file__).parents[3] / "services" / "labeling" / "web" / "node_modules" / "axe-core" / "axe.min.js"
ADMIN = {"*": (Role.SITE_ADMIN, Role.AUDITOR)}


@pytest.fixture(scope="module")
def task(site):
    source = find_real_source({}, Path(__file__).parents[3]) or phantom_source()
    cohort = load_cohort(source, seed=11, test=1, validation=1, start=1, pool=3)
    reading = {
        "second_reading_share": 0.0,
        "agreement_threshold": 0.8,
        "lease_s": 600,
        "instructions": INSTRUCTIONS,
    }
    site.configure(PROJECT, project(modality="MR", description="hippocampus", segments=SEGMENTS, reading=reading))
    [volume] = cohort.pool[0].volumes[:1]
    site.send(series(cohort.pool[0], volume, 1))
    [case] = site.cases(PROJECT, volume.series_instance_uid)
    mask = volume.load_mask().array
    site.flag(PROJECT, case, site.predict(PROJECT, case, mask, entropy_around(mask)))
    return site.task_of(PROJECT, case)


def serious(page) -> list[str]:
    """Return what axe-core finds of serious or critical impact (WCAG 2.2 A and AA)."""
    # Through the debugger's protocol: the page's own policy lets no script in, which is as it should be.
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
    )
    return [
        f"{rule['id']}: {node['html'][:160]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("who", "roles", "route", "shows"),
    [
        (READER, None, f"worklist/{PROJECT}", "Next case"),
        (READER, None, f"instructions/{PROJECT}", "The border between them"),
        (READER, None, "task", "Submit"),
        (REVIEWER, None, f"reviews/{PROJECT}", "Reviews"),
        (LEAD, None, f"worklist/{PROJECT}", "Team"),
        ("erik", ADMIN, "operator", "Quarantined"),
        ("erik", ADMIN, "audit", "Audit"),
    ],
)
def test_a_page_has_no_serious_finding(site, task, visitor, who, roles, route, shows, scheme):
    person = visitor(who, roles)
    person.page.emulate_media(color_scheme=scheme)
    page = person.go(f"task/{task}" if route == "task" else route)
    page.get_by_text(shows).first.wait_for()
    if route == "task":
        Room(page).ready().waits_for("room.heat !== null")
    name = f"{route.split('/')[0]}-{who}-{scheme}"
    person.picture(name)
    assert serious(page) == []
    # Nothing runs out of the window.
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert who in page.inner_text("header")


def test_the_keys_are_shown(site, task, visitor):
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    room.waits_for("room.proposal !== null")
    room.key("?")
    dialog = anna.page.get_by_role("dialog")
    dialog.wait_for()
    for action in (
        "Accept the proposal",
        "Undo",
        "Submit, and take the next case",
        "Interpolate between painted slices",
    ):
        assert dialog.get_by_text(action, exact=True).count() == 1
    assert serious(anna.page) == []
    anna.picture("keys")


def test_who_is_nobody_is_asked_to_sign_in(site, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.goto(f"{site.url}/labeling/")
    page.get_by_role("link", name="Sign in").wait_for()
    page.get_by_text("The platform runs on one machine").click()
    page.get_by_text("radloop token --browser").wait_for()
    assert serious(page) == []
    context.close()


def test_a_reader_is_shown_neither_the_operators_nor_the_reviewers_pages(site, task, visitor):
    anna = visitor(READER)
    page = anna.go(f"worklist/{PROJECT}")
    page.get_by_role("button", name="Next case").wait_for()
    navigation = page.get_by_role("navigation").inner_text()
    assert "Operator" not in navigation and "Audit" not in navigation and "Reviews" not in navigation


def test_the_first_page_is_small(site, task, visitor):
    anna = visitor(READER)
    sizes: dict[str, int] = {}
    anna.page.on("response", lambda r: sizes.__setitem__(r.url, int(r.headers.get("content-length", 0))))
    anna.go(f"worklist/{PROJECT}").get_by_role("button", name="Next case").wait_for()
    shown = {url: size for url, size in sizes.items() if "/assets/" in url or url.endswith("/labeling/")}
    assert 0 < sum(shown.values()) < 400_000
    assert not [url for url in shown if "views" in url]
