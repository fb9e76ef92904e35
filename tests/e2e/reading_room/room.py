"""The page of a case, by the hand of a reader: real mouse and keyboard; what the page knows is read from its `radloopRoom`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from playwright.sync_api import Page, TimeoutError

PLANES = ("axial", "sagittal", "coronal")


class Room:
    """A case open in a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def ready(self, *, all_slices: bool = True, within_s: float = 40) -> "Room":
        """Wait until the case is shown, with all of its slices."""
        loaded = "&& radloopRoom.loaded === radloopRoom.frames.slices.length" if all_slices else ""
        ready = f"() => window.radloopRoom?.stage === 'ready' && radloopRoom.timings.shown {loaded}"
        try:
            self.page.wait_for_function(ready, timeout=within_s * 1000)
        except TimeoutError as error:
            stands = "[room.stage, room.loaded, room.failedSlices, room.timings, room.notice, String(room.failure)]"
            known = self.look(f"room ? JSON.stringify({stands}) : 'no room'")
            raise AssertionError(
                f"not ready within {within_s} s: {known}; {self.page.inner_text('body')[:500]}"
            ) from error
        return self

    def look(self, expression: str) -> Any:
        """Return what an expression over ``room`` gives."""
        return self.page.evaluate(f"() => {{ const room = window.radloopRoom; return {expression}; }}")

    def waits_for(self, expression: str, within_s: float = 15) -> None:
        """Wait until an expression over ``room`` is true."""
        self.page.wait_for_function(
            f"() => {{ const room = window.radloopRoom; return room && ({expression}); }}", timeout=within_s * 1000
        )

    def saved(self) -> None:
        """Wait until the service has acknowledged everything."""
        self.waits_for("room.journal.state.kind === 'saved' && room.journal.unsent === 0")

    # --- where things are -------------------------------------------------------------------------------------------------

    def pixel(self, plane: str, voxel: Sequence[float]) -> tuple[float, float]:
        """Return where a voxel is on the page."""
        box = self.page.locator(f"[data-plane={plane}] .picture").bounding_box()
        assert box is not None
        x, y = self.look(f"room.views.planes[{PLANES.index(plane)}].pixelOf({list(voxel)})")
        return box["x"] + x, box["y"] + y

    def voxel(self, plane: str, x: float, y: float) -> np.ndarray:
        """Return where in the volume a point of the page is, not rounded; shape ``(3,)``."""
        box = self.page.locator(f"[data-plane={plane}] .picture").bounding_box()
        assert box is not None
        at = self.look(f"room.views.planes[{PLANES.index(plane)}].voxelAt({x - box['x']}, {y - box['y']})")
        return np.asarray(at, dtype=float)

    def go_to(self, voxel: Sequence[int]) -> None:
        """Bring all planes to a voxel."""
        self.look(f"room.goTo({list(voxel)})")

    def labels(self) -> np.ndarray:
        """Return the mask in the browser: uint8, or uint32 where segments may overlap; axes (i, j, k)."""
        shape = self.look("room.labels.shape")
        runs = self.look(
            "(() => { const d = room.labels.data, out = []; let at = 0; while (at < d.length) { let end = at + 1; "
            "while (end < d.length && d[end] === d[at]) end++; if (d[at]) out.push(at, end - at, d[at]); at = end; } "
            "return out; })()"
        )
        flat = np.zeros(int(np.prod(shape)), self.look("room.labels.kind.dtype"))
        for start, length, value in np.asarray(runs, dtype=np.int64).reshape(-1, 3):
            flat[start : start + length] = value
        return flat.reshape(shape, order="F")

    # --- the hand ---------------------------------------------------------------------------------------------------------

    def key(self, key: str) -> None:
        """Press a key."""
        self.page.keyboard.press(key)

    def stroke(self, plane: str, way: Sequence[Sequence[float]], *, lift: bool = True) -> list[np.ndarray]:
        """Draw through voxels; returns where the pointer was in the volume, point by point."""
        points = [tuple(round(n) for n in self.pixel(plane, voxel)) for voxel in way]
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point)
        if lift:
            self.page.mouse.up()
        return [self.voxel(plane, *point) for point in points]


def painted(
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    way: Sequence[np.ndarray],
    radius_mm: float,
    axis: int | None,
) -> np.ndarray:
    """Return which voxels a brush reaches: within a radius of a way, in one plane, or in space where ``axis`` is None.

    Written from the definition, voxel by voxel against every part of the way; nothing is shared with the browser's code.

    Returns
    -------
    numpy.ndarray
        bool, axes (i, j, k).
    """
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) * np.asarray(spacing_mm)
    reached = np.zeros(shape, bool)
    points = [np.asarray(point) * np.asarray(spacing_mm) for point in way]
    for a, b in zip(points, points[1:] or points, strict=False):
        along = b - a
        squared = float(along @ along)
        t = np.clip(((grid - a) @ along) / squared, 0, 1) if squared else np.zeros(shape)
        distance = grid - a - t[..., None] * along
        if axis is not None:
            distance[..., axis] = 0
        reached |= (distance**2).sum(axis=-1) <= radius_mm**2 + 1e-6
    if axis is not None:
        flat = np.zeros(shape, bool)
        index: list[Any] = [slice(None)] * 3
        index[axis] = round(float(way[-1][axis]))
        flat[tuple(index)] = True
        reached &= flat
    return reached
