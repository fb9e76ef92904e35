"""A project whose segments overlap: an organ and the lesion inside it painted over one another, against the bits that are stored."""

import numpy as np
import pytest

from radloop.imaging import SEGMENT_BITS, segment_voxels
from tests.e2e.reading_room.phantom_ct import series, volume
from tests.e2e.reading_room.projects import READER, project
from tests.e2e.reading_room.room import Room, painted
from tests.e2e.reading_room.site import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "overlapping"
SEGMENTS = (("liver", "#e6a23d"), ("lesion", "#d6336c"))
LIVER, LESION = 1, 32
"""The last value there can be: its bit is the sign where numbers have one."""
SHAPE = (64, 64, 16)
LIVER_IN_PHANTOM, LESION_IN_PHANTOM = 1, 5


def bits(liver: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Return the mask of two segments that are bool of one shape."""
    return liver.astype(np.uint32) << (LIVER - 1) | lesion.astype(np.uint32) << (LESION - 1)


@pytest.fixture(scope="module")
def proposed(site):
    """A case, its task, and the model's liver with a lesion inside: uint32."""
    body = project(modality="CT", description="PHANTOM", segments=SEGMENTS, lease_s=600, overlapping_segments=True)
    body["segments"][1]["value"] = LESION
    site.configure(PROJECT, body)
    instances = list(series(SHAPE, name="overlap"))
    site.send(instances)
    [case] = site.cases(PROJECT, instances[0].SeriesInstanceUID)
    _, organs = volume(SHAPE)
    mask = bits(np.isin(organs, (LIVER_IN_PHANTOM, LESION_IN_PHANTOM)), organs == LESION_IN_PHANTOM)
    site.flag(PROJECT, case, site.predict(PROJECT, case, mask))
    return case, site.task_of(PROJECT, case), mask


def test_segments_are_painted_over_one_another_and_stored_as_bits(site, proposed, visitor):
    case, task, proposal = proposed
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    room.waits_for("room.proposal !== null")
    spacing = room.look("room.frames.spacing_mm")

    def stroke(way) -> np.ndarray:
        room.go_to(way[0])
        points = room.stroke("axial", way)
        return painted(case.shape, spacing, points, room.look("room.radiusMm"), None)

    # A ball of liver, drawn out; a lesion inside it; then liver is rubbed out right through the lesion, which stays.
    room.key("g")
    for _ in range(9):
        room.key("]")
    room.key("1")
    liver = stroke([[22, 28, 8], [30, 30, 8]])
    for _ in range(7):
        room.key("[")
    room.key("2")
    lesion = stroke([[25, 29, 8], [28, 29, 8]])
    assert (liver & lesion).any()
    before = bits(liver, lesion)
    np.testing.assert_array_equal(room.labels(), before)
    room.key("1")
    room.key("e")
    liver &= ~stroke([[27, 24, 8], [27, 34, 8]])
    expected = bits(liver, lesion)
    assert (lesion & ~liver).any() and (expected != before).any()
    np.testing.assert_array_equal(room.labels(), expected)
    anna.picture("overlap")

    # Undone and done again, to the voxel.
    room.key("Control+z")
    np.testing.assert_array_equal(room.labels(), before)
    room.key("Control+z")
    np.testing.assert_array_equal(room.labels(), bits(liver | (before & 1).astype(bool), np.zeros_like(lesion)))
    room.key("Control+y")
    room.key("Control+y")
    np.testing.assert_array_equal(room.labels(), expected)

    # The lesion of the model is taken, the liver is left; a locked lesion stays when all of the model is taken.
    room.key("2")
    room.key("Shift+a")
    np.testing.assert_array_equal(room.labels(), bits(liver, segment_voxels(proposal, LESION)))
    room.key("Control+z")
    room.key("Shift+l")
    room.key("a")
    np.testing.assert_array_equal(room.labels(), bits(segment_voxels(proposal, LIVER), lesion))
    room.key("Shift+l")
    room.key("Control+z")
    np.testing.assert_array_equal(room.labels(), expected)

    # The page is lost; the draft is not.
    room.saved()
    anna.page.reload()
    room.ready()
    np.testing.assert_array_equal(room.labels(), expected)
    assert room.look("room.history.nextUndo") == "Eraser"
    millilitres = float(np.prod(spacing)) / 1000
    volumes = room.look("room.segments.map((segment) => segment.volumeMl)")
    np.testing.assert_allclose(volumes, [liver.sum() * millilitres, lesion.sum() * millilitres])
    # All of the model, as its reader sees it over the scan.
    room.key("a")
    np.testing.assert_array_equal(room.labels(), proposal)
    room.go_to(np.argwhere(segment_voxels(proposal, LESION)).mean(axis=0).round().astype(int).tolist())
    anna.picture("overlap-proposal")
    room.key("Control+z")

    room.key("Control+Enter")
    [version] = until(lambda: [v for v in site.versions(task) if v["kind"] == "submitted"])
    stored = site.label(version["label_version_id"])
    assert stored.dtype == SEGMENT_BITS
    np.testing.assert_array_equal(stored, expected)
    assert set(version["volumes_ml"]) == {str(LIVER), str(LESION)}
