"""Every tool by the reader's hand: the label in the browser and the stored one against what the tool should do, worked out here."""

import numpy as np
import pytest
from scipy import ndimage

from radloop.imaging import dice
from tests.e2e.reading_room.phantom_ct import series
from tests.e2e.reading_room.projects import READER, project
from tests.e2e.reading_room.room import Room, painted
from tests.e2e.reading_room.site import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROJECT = "tools"
SEGMENTS = (("liver", "#e6a23d"), ("other", "#3182bd"))
SHAPE = (64, 64, 16)


@pytest.fixture(scope="module")
def flagged(site):
    """A case without a proposal, and its task."""
    site.configure(PROJECT, project(modality="CT", description="PHANTOM", segments=SEGMENTS, lease_s=600))
    instances = list(series(SHAPE, name="tools"))
    site.send(instances)
    [case] = site.cases(PROJECT, instances[0].SeriesInstanceUID)
    site.flag(PROJECT, case)
    return case, site.task_of(PROJECT, case)


class Hand:
    """A reader's hand on one case, always in the axial plane."""

    def __init__(self, site, room: Room, case, task: str) -> None:
        self.site, self.room, self.case, self.task = site, room, case, task
        self.spacing = room.look("room.frames.spacing_mm")

    def draw(self, way) -> list[np.ndarray]:
        """Draw with the tool in hand on the slice of a way; returns where the pointer was."""
        self.room.go_to([round(n) for n in way[0]])
        return self.room.stroke("axial", way)

    def brush(self, way) -> np.ndarray:
        """Draw with a brush; returns the voxels it reaches, bool."""
        return painted(self.case.shape, self.spacing, self.draw(way), self.room.look("room.radiusMm"), 2)

    def resize(self, radius_mm: float) -> None:
        """Make the brush about so large, by its keys."""
        while self.room.look("room.radiusMm") < radius_mm:
            self.room.key("]")
        while self.room.look("room.radiusMm") > radius_mm:
            self.room.key("[")

    def operate(self, key: str, label: str) -> None:
        """Have the service do something to the segment."""
        self.room.key(key)
        self.room.waits_for(f"room.history.nextUndo === '{label}' && room.busy === null")

    def shows_and_stores(self, expected: np.ndarray) -> None:
        """Check the label in the browser and, saved as a version, the one that is stored."""
        np.testing.assert_array_equal(self.room.labels(), expected)
        count = len(self.site.versions(self.task))
        self.room.key("Control+s")
        *_, newest = until(lambda: len(made := self.site.versions(self.task)) > count and made)
        np.testing.assert_array_equal(self.site.label(newest["label_version_id"]), expected)


def inside(line: list[np.ndarray], shape, k: int) -> np.ndarray:
    """Return the voxels of slice k inside a closed line, bool: a ray to the right crosses it an odd number of times."""
    i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    found = np.zeros(shape, bool)
    for a, b in zip(line, line[1:] + line[:1], strict=True):
        if a[1] == b[1]:
            continue
        crossing = a[0] + (j - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        found[:, :, k] ^= ((a[1] <= j) != (b[1] <= j)) & (crossing >= i)
    return found


def test_what_each_tool_does_is_what_is_stored(site, flagged, visitor):
    case, task = flagged
    anna = visitor(READER)
    room = Room(anna.go(f"task/{task}")).ready()
    hand = Hand(site, room, case, task)
    expected = np.zeros(case.shape, np.uint8)

    # The threshold brush, across the edge of the liver: only what is as bright as liver.
    room.key("1")
    room.key("t")
    hand.resize(4)
    anna.page.get_by_label("Lowest value").fill("75")
    anna.page.get_by_label("Highest value").fill("170")
    reached = hand.brush([[8, 30, 9], [26, 30, 9]])
    bright = (case.image.array >= 75) & (case.image.array <= 170)
    expected[reached & bright] = 1
    assert (reached & ~bright).any() and (expected == 1).sum() > 20
    np.testing.assert_array_equal(room.labels(), expected)

    # Scissors: a region drawn around, then a part of it cut out.
    room.key("2")
    room.key("c")
    corners = [[20.4, 20.3, 4], [44.4, 22.3, 4], [40.6, 42.3, 4], [30.4, 30.6, 4], [18.4, 40.3, 4]]
    expected[inside(hand.draw(corners), case.shape, 4)] = 2
    anna.page.keyboard.down("Control")
    cut = inside(hand.draw([[28.4, 18.3, 4], [36.4, 18.3, 4], [32.6, 36.3, 4]]), case.shape, 4)
    anna.page.keyboard.up("Control")
    assert (expected[cut] == 2).any()
    expected[cut & (expected == 2)] = 0
    np.testing.assert_array_equal(room.labels(), expected)

    # Fill: inside of a closed outline, and nowhere else.
    room.key("b")
    hand.resize(0.5)
    ring = hand.brush([[20, 20, 12], [34, 20, 12], [34, 34, 12], [20, 34, 12], [20, 20, 12]])
    expected[ring] = 2
    room.key("f")
    hand.draw([[50, 50, 12]])
    assert room.look("room.notice").startswith("Nothing is filled")
    np.testing.assert_array_equal(room.labels(), expected)
    hand.draw([[27, 27, 12]])
    filled = ndimage.binary_fill_holes(ring[:, :, 12])
    assert filled.sum() > ring.sum()
    expected[filled, 12] = 2
    anna.picture("tools")
    hand.shows_and_stores(expected)

    # A length: kept in the draft in voxels of its plane, taken away and brought back.
    room.key("l")
    a, b = hand.draw([[10, 12, 12], [40, 30, 12]])
    room.key("Delete")
    assert room.look("room.history.measures.size") == 0
    room.key("Control+z")
    room.saved()
    [measure] = room.look("[...room.history.measures.values()]")
    assert (measure["axis"], measure["slice"]) == (2, 12)
    np.testing.assert_allclose([measure["a"], measure["b"]], [a[:2], b[:2]])
    client = site.client(READER)
    entries = client.get(f"/labeling/v1/tasks/{task}/draft", after=0)["entries"]
    client.close()
    assert [measure] in [entry["entry"].get("measures", {}).get("added") for entry in entries]

    # Interpolation: between two equal discs every slice is that disc. What the other segment has there is left to it.
    room.key("1")
    room.key("Shift+Delete")
    expected[expected == 1] = 0
    room.key("b")
    hand.resize(5)
    disc = hand.brush([[46, 27, 2]])
    room.go_to([46, 27, 6])
    room.key("<")
    assert room.look("room.notice") == "The neighbour slice has nothing of this segment."
    hand.brush([[46, 27, 10]])
    hand.operate("i", "Interpolate")
    cylinder = np.zeros(case.shape, bool)
    cylinder[:, :, 2:11] = disc[:, :, 2:3]
    assert (cylinder & (expected == 2)).any()
    expected[cylinder & (expected == 0)] = 1
    np.testing.assert_array_equal(room.labels(), expected)

    # Islands: what does not touch the largest part is gone.
    hand.resize(1.5)
    island = hand.brush([[10, 55, 6]])
    assert (room.labels()[island] == 1).all()
    hand.operate("d", "Remove islands")
    np.testing.assert_array_equal(room.labels(), expected)

    # Holes: what is enclosed in a slice is filled.
    room.key("e")
    hole = hand.brush([[46, 27, 6]])
    assert hole.sum() > 1 and (room.labels()[hole] == 0).all()
    hand.operate("h", "Fill holes")
    hand.shows_and_stores(expected)

    # Smoothing: a spur of one voxel's width goes, the rest stays about as it is.
    room.key("b")
    hand.resize(0.5)
    spur = hand.brush([[46, 27, 6], [60, 27, 6]]) & ~cylinder
    assert (room.labels()[spur] == 1).all()
    hand.operate("s", "Smooth")
    smooth = room.labels()
    assert not (smooth[54:, 27, 6] == 1).any()
    assert dice(smooth, expected, 1) > 0.9
    np.testing.assert_array_equal(smooth == 2, expected == 2)
    hand.shows_and_stores(smooth)
