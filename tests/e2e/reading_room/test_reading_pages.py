"""Every page: what axe-core finds, in light and dark, at 1280 x 720; who sees what; a picture of each."""

import os
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
        (READER, None, f"worklist/{PROJECT}", "Worklist"),
        (READER, None, f"instructions/{PROJECT}", "Hippocampus, two parts"),
        (READER, None, "task", "Segments"),
        (REVIEWER, None, f"reviews/{PROJECT}", "Reviews"),
        (LEAD, None, f"worklist/{PROJECT}", "Worklist"),
        ("erik", ADMIN, "operator", "Operator"),
        ("erik", ADMIN, "audit", "Audit"),
    ],
)
def test_a_page_has_no_serious_finding(site, task, visitor, who, roles, route, shows, scheme):
    person = visitor(who, roles)
    person.page.emulate_media(color_scheme=scheme)
    page = person.go(f"task/{task}" if route == "task" else route)
    page.locator("main").get_by_role("heading", name=shows).first.wait_for()
    page.wait_for_load_state("networkidle")
    if route == "task":
        Room(page).ready().waits_for("room.heat !== null")
    name = f"{route.split('/')[0]}-{who}-{scheme}"
    person.picture(name)
    assert serious(page) == []
    # Nothing runs out of the window.
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert who in page.inner_text("header")


KEYS = Path(__file__).parents[3] / "docs" / "reading-room" / "keys.md"
SHEET = """() => [...document.querySelectorAll("dialog .sheet section")].map((section) => [section.querySelector("h3").textContent,
 [...section.querySelectorAll("dt")].map((dt) => [dt.textContent, [...dt.nextElementSibling.querySelectorAll(":scope > span")]
  .map((span) => [...span.querySelectorAll("kbd")].map((key) => key.textContent).join("+")).join(" or ")])])"""


def test_the_keys_are_shown_and_written_down(site, task, visitor):
    """The sheet under `?` lists what works; docs/reading-room/keys.md is made of it (RADLOOP_WRITE_KEYS=1 writes it anew)."""
    anna = visitor(READER)
    pages = []
    for title, route in (("Worklist", f"worklist/{PROJECT}"), ("A case", f"task/{task}")):
        anna.go(route)
        if route.startswith("task"):
            Room(anna.page).ready().waits_for("room.proposal !== null && room.doubts.length > 0")
        else:
            # The keys of a row are there once one is.
            anna.page.locator('[role="row"]').nth(1).wait_for()
        anna.page.keyboard.press("?")
        anna.page.get_by_role("dialog").wait_for()
        assert serious(anna.page) == []
        pages.append((title, anna.page.evaluate(SHEET)))
        anna.picture("keys")
        anna.page.keyboard.press("Escape")
    lines = [
        "# All keys",
        "",
        "`?` shows those that work just now. On a Mac, Ctrl is Cmd. [Reviewing has its own](reviewer.md).",
    ]
    for title, groups in pages:
        lines += ["", f"## {title}"]
        for group, rows in groups:
            if group == "Go to":  # depends on who one is, and in how many projects
                continue
            lines += ["", f"| {group} | |", "|---|---|", *(f"| {label} | `{keys}` |" for label, keys in rows)]
    written = "\n".join(lines) + "\n"
    if os.environ.get("RADLOOP_WRITE_KEYS"):
        KEYS.write_text(written)
    assert written == KEYS.read_text(), "the sheet has changed: run this test once with RADLOOP_WRITE_KEYS=1"


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
