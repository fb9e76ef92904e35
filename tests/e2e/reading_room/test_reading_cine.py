"""A 4-D case: real cine MR of the heart, one case for each phase; the phases are looked at, the label stays with its own."""

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from radloop.imaging import read_nifti
from tests.e2e.reading_room.projects import READER, project
from tests.e2e.reading_room.room import Room

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
PROJECT = "cine"
PHASES = 20


@pytest.fixture(scope="module")
def cine(site):
    if not (DATA / "sunnybrook_cine").is_dir():
        pytest.skip("no data at hand (RADLOOP_DATA)")
    site.configure(PROJECT, project(modality="MR", description="", segments=(("left-ventricle", "#d62728"),)))
    series = upload(site, "SCD0000101")
    cases = site.cases(PROJECT, series, count=PHASES)
    site.flag(PROJECT, cases[5])
    return cases, site.task_of(PROJECT, cases[5])


def upload(site, patient: str) -> str:
    """Send a patient's series as a file; returns its original Series Instance UID."""
    archive = DATA / "sunnybrook_cine" / f"{patient}.zip"
    with zipfile.ZipFile(archive) as files, warnings.catch_warnings(action="ignore"):
        first = next(name for name in files.namelist() if name.endswith(".dcm"))
        series = pydicom.dcmread(io.BytesIO(files.read(first)), stop_before_pixels=True).SeriesInstanceUID
    # As a file, not over an association: its UIDs have leading zeros, which a strict sender refuses to send.
    site.operator.post("/ingest/v1/uploads", files={"file": archive.read_bytes()})
    return str(series)


def test_phases_are_shown_and_the_label_stays_with_its_own(cine, visitor):
    cases, task = cine
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    assert room.look("[room.phase, room.frames.phase_count]") == [5, PHASES]
    shape = cases[5].shape
    middle = [n // 2 for n in shape]
    room.go_to(middle)
    # The plane that was scanned is the large one: the heart's short axis, not the patient's axial plane.
    large = room.look("room.large.name")
    assert room.look("room.large.view.axis") == 2
    room.stroke(large, [middle] * 2)
    painted = room.labels()
    assert painted.any()

    def value() -> float:
        return room.look(f"room.volumes.get(room.phase).valueAt({middle})")

    assert value() == cases[5].image.array[tuple(middle)]
    # The next phase by its key: other pixels, no label over them, and no pen on it.
    room.key(".")
    room.waits_for(f"room.phase === 6 && room.volumes.get(6)?.valueAt({middle}) !== undefined")
    assert value() == cases[6].image.array[tuple(middle)]
    assert room.look("room.scene().labels === null")
    room.stroke(large, [[middle[0] + 9, middle[1], middle[2]]] * 2)
    np.testing.assert_array_equal(room.labels(), painted)
    anna.picture("cine")
    # Played to its end and begun anew.
    seen = set()
    room.key("k")
    for phase in (9, 15, 2):
        room.waits_for(f"room.phase === {phase}", within_s=60)
        seen.add(phase)
    room.key("k")
    room.waits_for("!room.playing")
    room.look("room.showPhase(5)")
    room.waits_for("room.phase === 5 && room.scene().labels !== null")
    np.testing.assert_array_equal(room.labels(), painted)


def test_phases_as_channels_of_one_case(site, cine, visitor):
    """The other patient's series, in a project that takes its phases as the channels of one case."""
    body = project(modality="MR", description="", segments=(("left-ventricle", "#d62728"),), phases="channels")
    site.configure("channels", body)
    series = upload(site, "SCD0000201")
    [case] = site.cases("channels", series)
    site.flag("channels", case)
    anna = visitor(READER)
    room = Room(anna.go(f"task/{site.task_of('channels', case)}")).ready()
    assert room.look("room.frames.channels") == PHASES
    at = [n // 2 for n in case.shape]
    assert room.look(f"room.valueAt({at})") == case.image.array[tuple(at)]
    room.key("Shift+C")
    room.waits_for(f"room.channel === 1 && room.valueAt({at}) !== undefined && !room.busy")
    second = read_nifti(site.operator.get_bytes(f"/ingest/v1/cases/{case.case_id}/volumes/1"))
    assert room.look(f"room.valueAt({at})") == second.array[tuple(at)]
    assert not np.array_equal(second.array, case.image.array)
    anna.picture("channels")
