"""Frames as a browser shows pictures: windowed, eight bits, JPEG or PNG (PS3.18 section 8.3.5.1.2, PS3.3 C.11.2.1.2)."""

import io
from dataclasses import dataclass

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from ingest.adapters.encoding import frame_values
from ingest.domain.model import SliceHeader
from radloop.errors import PermanentError

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
LARGEST_EDGE = 4096
_QUALITY = 90
_FUNCTIONS = ("linear", "linear-exact", "sigmoid")


class BadRendering(PermanentError):
    """A picture that is asked for in a way nobody can read: 400."""


@dataclass(frozen=True, slots=True)
class Window:
    """Grey values around ``center``, in rescaled values (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str = "linear"


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a frame is to be shown.

    Attributes
    ----------
    window : Window, optional
        Else the instance's own, else from the smallest to the largest value.
    edges : tuple of (int, int), optional
        Largest width and height in pixels; the frame is made smaller to fit, never distorted or larger.
    quality : int
        Of JPEG, 1 to 100.
    """

    window: Window | None = None
    edges: tuple[int, int] | None = None
    quality: int = _QUALITY


def read_rendering(window: str | None, viewport: str | None, quality: str | None) -> Rendering:
    """Read the parameters of a rendered resource.

    Raises
    ------
    BadRendering
        ``window`` is not "center,width,function", ``viewport`` not "width,height", or ``quality`` not 1 to 100.
    """
    try:
        found = None
        if window is not None:
            center, width, *function = window.split(",")
            found = Window(float(center), float(width), *function)
            if found.function not in _FUNCTIONS or not found.width > 0 or not np.isfinite(found.center + found.width):
                raise ValueError
        edges = None
        if viewport is not None:
            across, down = (int(part) for part in viewport.split(","))
            edges = (across, down)
            if not all(1 <= edge <= LARGEST_EDGE for edge in edges):
                raise ValueError
        wanted = int(quality) if quality is not None else _QUALITY
        if not 1 <= wanted <= 100:
            raise ValueError
    except (ValueError, TypeError):
        raise BadRendering(
            "rendering-unreadable",
            expected=f"window=center,width,({'|'.join(_FUNCTIONS)}), viewport=width,height up to {LARGEST_EDGE}, quality=1..100",
            got="something else",
        ) from None
    return Rendering(found, edges, wanted)


def render(data: bytes, header: SliceHeader, number: int, media_type: str, how: Rendering) -> bytes:
    """Return a frame of a stored instance as a picture.

    Parameters
    ----------
    data, header, number
        As `frames.frame_of`.
    media_type : str
        A key of `FORMATS`.
    how : Rendering

    Raises
    ------
    PermanentError
        ``frame-undecodable``.
    """
    ds = pydicom.dcmread(io.BytesIO(data))
    if header.samples_per_pixel == 1:
        picture = Image.fromarray(_grey(ds, data, header, number, how.window))
    else:
        try:
            colours, _ = get_decoder(UID(header.transfer_syntax_uid)).as_array(ds, index=number - 1)
        except Exception as error:  # every codec raises its own kinds
            raise PermanentError(
                "frame-undecodable", expected="pixel data its codec can decode", got="an error of the codec"
            ) from error
        picture = Image.fromarray(colours.astype(np.uint8))
    if how.edges is not None:
        picture.thumbnail(how.edges)
    written = io.BytesIO()
    picture.save(written, FORMATS[media_type], quality=how.quality)
    return written.getvalue()


def _grey(ds: pydicom.Dataset, data: bytes, header: SliceHeader, number: int, window: Window | None) -> np.ndarray:
    plane = header.planes[number - 1] if header.per_frame else header
    values = frame_values(data, header, number) * plane.rescale_slope + plane.rescale_intercept
    window = window or _own_window(ds) or _whole(values)
    shown = _windowed(values, window)
    if ds.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = 1 - shown
    return np.round(shown * 255).astype(np.uint8)


def _own_window(ds: pydicom.Dataset) -> Window | None:
    try:
        center, width = (np.atleast_1d(ds.get(name))[0] for name in ("WindowCenter", "WindowWidth"))
        window = Window(float(center), float(width))
    except (TypeError, ValueError, IndexError):
        return None
    return window if window.width >= 1 and np.isfinite(window.center + window.width) else None


def _whole(values: np.ndarray) -> Window:
    low, high = float(values.min()), float(values.max())
    return Window((low + high) / 2, max(high - low, 1e-6), "linear-exact")


def _windowed(values: np.ndarray, window: Window) -> np.ndarray:
    """Return values in 0..1 (PS3.3 C.11.2.1.2.1 and C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.function == "sigmoid":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if window.function == "linear" and width > 1:
        center, width = center - 0.5, width - 1
    return np.clip((values - center) / width + 0.5, 0, 1)
