"""How fast is the reading room on a large CT? A whole platform, real DICOM, Chromium drawing without a graphics card.

    python benchmarks/reading_room.py [--rounds N] [--slices N]

A CT of 512 x 512 x 100 voxels (`--slices 1200`: a whole body, 0.6 GB) comes in by C-STORE and becomes tasks; a browser of 1440 x 860
opens them one by one, as a reader does: a click on the row of the worklist. Prints a Markdown table: the fastest and the slowest of the
rounds, and what was asked for.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.reading_room.conftest import CHROMIUM_FLAGS
from tests.e2e.reading_room.phantom_ct import ORGANS, SHAPE, SPACING_MM, series
from tests.e2e.reading_room.projects import READER, project
from tests.e2e.reading_room.room import Room
from tests.e2e.reading_room.site import ReadingSite

PROJECT = "abdomen"
ASKED = {
    "click on a task to the first slice, s": "at most 1",
    "click on a task to all slices, s": "at most 3 for 100",
    "click on a task to all planes drawn, s": "",
    "frames per second during a stroke": "at least 15",
    "pen-up to the other planes drawn, s": "at most 0.2",
    "save acknowledged, s": "at most 0.5",
    "one deed kept in the draft journal, s": "at most 2",
    "most memory of the tab so far, GiB": "",
    "most memory of the browser's drawing process so far, GiB": "",
}
WITHIN_S = 900.0


def most_memory_gib(browser: Browser) -> dict[str, float]:
    """Return the most resident memory that the tab, and the process that draws for it, have had (VmHWM)."""
    found = {"renderer": 0.0, "GPU": 0.0}
    for process in browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]:
        if process["type"] in found:
            status = Path(f"/proc/{process['id']}/status").read_text()
            kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            found[process["type"]] = max(found[process["type"]], kib / 2**20)
    return {
        "most memory of the tab so far, GiB": found["renderer"],
        "most memory of the browser's drawing process so far, GiB": found["GPU"],
    }


def measure(page: Page, site: ReadingSite, number: int, shape: tuple[int, int, int]) -> dict[str, float]:
    """Open a task by its row of the worklist, and work in it."""
    found: dict[str, float] = {}
    page.goto(f"{site.url}/labeling/#/worklist/{PROJECT}")
    row = page.locator("[role=row] a").nth(number)
    row.wait_for()
    # As a hand gets there: over the page, to the row, a moment later the click.
    page.mouse.move(400, 400)
    row.hover()
    page.wait_for_timeout(1000)
    began = page.evaluate("() => performance.now()")
    row.click()
    room = Room(page)
    room.waits_for("room.timings.firstPictureAt", within_s=60)
    room.ready(within_s=WITHIN_S)
    found["click on a task to the first slice, s"] = (room.look("room.timings.firstPictureAt") - began) / 1000
    found["click on a task to all slices, s"] = (room.look("room.timings.allSlicesAt") - began) / 1000
    found["click on a task to all planes drawn, s"] = (room.look("room.timings.shown") - began) / 1000
    page.wait_for_timeout(1500)

    middle = [n // 2 for n in shape]
    page.evaluate(
        "() => { window.frames_seen = []; window.counting = true;"
        " const f = (t) => { frames_seen.push(t); if (counting) requestAnimationFrame(f); }; requestAnimationFrame(f); }"
    )
    way = [[middle[0] + int(90 * np.cos(a)), middle[1] + int(60 * np.sin(a)), middle[2]] for a in np.linspace(0, 6, 60)]
    room.look("room.setRadius(15)")
    points = [room.pixel("axial", voxel) for voxel in way]
    page.mouse.move(*points[0])
    page.mouse.down()
    drawn = page.evaluate("() => radloopRoom.labels.revision")
    start = page.evaluate("() => performance.now()")
    for point in points[1:]:
        page.mouse.move(*point)
    end = page.evaluate("() => performance.now()")
    seen = page.evaluate("() => { counting = false; return frames_seen; }")
    assert page.evaluate("() => radloopRoom.labels.revision") > drawn
    found["frames per second during a stroke"] = 1000 * sum(start < t <= end for t in seen) / (end - start)

    up = page.evaluate(
        "() => new Promise((done) => { addEventListener('pointerup', () => { const t = performance.now();"
        " requestAnimationFrame(() => requestAnimationFrame(() => { window.after_up = performance.now() - t; })); },"
        " { once: true }); done(true); })"
    )
    assert up
    page.mouse.up()
    page.wait_for_function("() => window.after_up !== undefined")
    found["pen-up to the other planes drawn, s"] = (
        page.evaluate("() => { const t = after_up; delete window.after_up; return t; }") / 1000
    )

    began_s = time.monotonic()
    room.saved()
    found["one deed kept in the draft journal, s"] = time.monotonic() - began_s
    room.key("Control+s")
    room.waits_for("room.timings.Saving !== undefined", within_s=WITHIN_S)
    found["save acknowledged, s"] = room.look("room.timings.Saving") / 1000
    return found | most_memory_gib(page.context.browser)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="tasks that are opened, one after another")
    parser.add_argument("--slices", type=int, default=SHAPE[2], help="slices of the CT")
    chosen = parser.parse_args()
    rounds, shape = chosen.rounds, (*SHAPE[:2], chosen.slices)
    folder = Path(tempfile.mkdtemp(prefix="radloop-reading-", dir="/tmp"))
    site = ReadingSite(folder / "data")
    try:
        segments = tuple(
            (organ.name.replace(" ", "-"), f"#{37 * n % 256:02x}{91 * n % 256:02x}c0")
            for n, organ in enumerate(ORGANS)
            if organ.value
        )
        site.configure(PROJECT, project(modality="CT", description="", segments=segments, lease_s=600))
        for number in range(rounds):
            instances = list(series(shape, name=f"patient-{number}"))
            site.send(instances)
            [case] = site.cases(PROJECT, instances[0].SeriesInstanceUID)
            site.flag(PROJECT, case, rank=number + 1)
            site.task_of(PROJECT, case)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
            context = browser.new_context(viewport={"width": 1440, "height": 860})
            context.add_cookies([{"name": "radloop_token", "value": site.token(READER), "url": site.url}])
            page = context.new_page()
            measured = [measure(page, site, number, shape) for number in range(rounds)]
            browser.close()
    finally:
        site.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"CT of {' x '.join(map(str, shape))} voxels, {' x '.join(map(str, SPACING_MM))} mm; Chromium, WebGL in software; {rounds} tasks.\n"
    )
    print("| what | asked for | median | fastest | slowest |\n|---|---|---|---|---|")
    for what, asked in ASKED.items():
        values = [each[what] for each in measured]
        print(f"| {what} | {asked} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
