"""How a viewer gets at a case's frames: which instance each slice is, how to read its stored values, and what to show first.

Everything here is fixed once a case is ingested, and is kept in memory for the cases that were looked at last.
"""

import io
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import pydicom
from pydantic import BaseModel

from labeling.adapters import manifest
from labeling.domain.model import Case
from labeling.domain.windows import CT_DEFAULT, CT_PRESETS, Window, automatic_window
from radloop.errors import PermanentError
from radloop.imaging import read_nifti
from radloop.objects import Objects
from radloop.references import ObjectRef

_KEPT = 64
"""Cases whose frames are remembered; one of 1200 slices takes half a megabyte."""


class SliceView(BaseModel):
    """The instance of a slice, and the frame in it, from 1."""

    sop_instance_uid: str
    frame: int


class WindowView(BaseModel):
    """Grey values around ``center``, in the volume's quantity."""

    center: float
    width: float


class PresetView(WindowView):
    """A window with a name."""

    name: str


class FramesView(BaseModel):
    """The frames of a case, in order of k. A stored value times its slice's slope plus its intercept is the volume's quantity."""

    case_id: str
    study_instance_uid: str
    series_instance_uid: str
    slices: list[SliceView]
    rows: int
    columns: int
    bits_allocated: int
    signed: bool
    slopes: list[float]
    intercepts: list[float]
    affine_lps: list[float]
    shape: list[int]
    spacing_mm: list[float]
    modality: str
    quantity: str
    channels: int
    window: WindowView
    presets: list[PresetView]
    phase: int
    phase_count: int


class Frames:
    """Frames of cases, made at the first look.

    Parameters
    ----------
    objects : Objects
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._kept: OrderedDict[str, FramesView] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, case: Case) -> FramesView:
        """Return the frames of a case.

        Raises
        ------
        NotFound, PermanentError, TemporaryError
            As `Objects.get`; ``manifest-unreadable``, ``frames-mixed``.
        """
        with self._lock:
            view = self._kept.get(case.case_id)
            if view is not None:
                self._kept.move_to_end(case.case_id)
                return view
        view = self._made(case)
        with self._lock:
            self._kept[case.case_id] = view
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return view

    def _made(self, case: Case) -> FramesView:
        text = self._objects.get(case.manifest)
        origin, slices = manifest.origin(text), manifest.slices(text)
        pixels = _pixels(slices, self._objects)
        if any((a.bits_allocated, a.signed) != (b.bits_allocated, b.signed) for a, b in pairwise(pixels)):
            raise PermanentError(
                "frames-mixed",
                expected="slices of one pixel type",
                got="several",
                do="look at the case by GET /v1/tasks/{task_id}/image?format=raw",
            )
        columns, rows, _ = case.shape
        window = self._window(case, slices)
        return FramesView(
            case_id=case.case_id,
            study_instance_uid=origin.study_instance_uid or case.study_key,
            series_instance_uid=origin.series_instance_uid or case.series_key,
            slices=[SliceView(sop_instance_uid=s.sop_instance_uid, frame=s.frame) for s in slices],
            rows=rows,
            columns=columns,
            bits_allocated=pixels[0].bits_allocated,
            signed=pixels[0].signed,
            slopes=[p.slope for p in pixels],
            intercepts=[p.intercept for p in pixels],
            affine_lps=list(case.affine_lps),
            shape=list(case.shape),
            spacing_mm=list(case.spacing_mm),
            modality=case.modality,
            quantity=case.quantity,
            channels=len(case.volumes),
            window=WindowView(center=window.center, width=window.width),
            presets=_presets(case.modality),
            phase=origin.phase,
            phase_count=origin.phase_count,
        )

    def _window(self, case: Case, slices: Sequence[manifest.Slice]) -> Window:
        if case.modality == "CT":
            return _stated_window(_header(slices[len(slices) // 2].instance, self._objects)) or CT_DEFAULT
        return automatic_window(read_nifti(self._objects.get(case.volumes[0])).array)


def _pixels(slices: Sequence[manifest.Slice], objects: Objects) -> list[manifest.Pixels]:
    """Return how each slice's values are to be read: by the manifest, or by its instance where that is older."""
    read: dict[str, manifest.Pixels] = {}
    found = []
    for item in slices:
        if item.pixels is not None:
            found.append(item.pixels)
            continue
        if item.instance.key not in read:
            ds = _header(item.instance, objects)
            slope, intercept = ds.get("RescaleSlope"), ds.get("RescaleIntercept")
            read[item.instance.key] = manifest.Pixels(
                bits_allocated=int(ds.BitsAllocated),
                signed=int(ds.PixelRepresentation) == 1,
                slope=1.0 if slope is None else float(slope),
                intercept=0.0 if intercept is None else float(intercept),
            )
        found.append(read[item.instance.key])
    return found


def _header(ref: ObjectRef, objects: Objects) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(objects.get(ref)), stop_before_pixels=True)


def _stated_window(ds: pydicom.Dataset) -> Window | None:
    """Return the first window of the header (PS3.3 C.11.2.1.2), None where there is none that can be shown."""
    centers, widths = (_numbers(ds.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if not centers or not widths or not widths[0] >= 1 or not math.isfinite(centers[0] + widths[0]):
        return None
    return Window(centers[0], widths[0])


def _numbers(value: object) -> list[float]:
    if value is None or value == "":
        return []
    values = value if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]
    try:
        return [float(number) for number in values]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []


def _presets(modality: str) -> list[PresetView]:
    if modality != "CT":
        return []
    return [PresetView(name=name, center=window.center, width=window.width) for name, window in CT_PRESETS]
