"""Uploads in memory: a label may be a DICOM SEG with names in its header, and nothing identified touches a disk.

The framework's own form parser spools files above 1 MiB to a temporary file, so the label endpoints take their form here.
"""

import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from labeling.domain.translation import Terms
from radloop.errors import Invalid
from radloop.references import SegmentState, SegmentStatus

_MARGIN_BYTES = 64 * 1024
"""Room for the other fields and the boundaries around the file."""

FORMATS = ("nifti", "raw", "dicom-seg")
"""Up and down."""

UP_ONLY = ("rtstruct",)


@dataclass(frozen=True, slots=True)
class LabelForm:
    """A label as it was uploaded, and what was said with it. Empty strings where nothing was."""

    label: bytes
    format: str
    lease_id: str
    project_id: str
    geometry: str
    segments: tuple[SegmentStatus, ...]
    started_from_model: bool
    active_time_s: float
    terms: Terms = Terms()


class _InMemoryParser(MultiPartParser):
    # Never reached, as the request is bounded: files stay in memory.
    spool_max_size = 2**62
    ended = False

    def on_end(self) -> None:
        """Remember that the last boundary came: a form that was cut off is none."""
        self.ended = True


def label_form(max_bytes: int) -> Callable[[Request], Awaitable[LabelForm]]:
    """Return a FastAPI dependency that reads a label form of at most ``max_bytes``."""

    async def read(request: Request) -> LabelForm:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Invalid(
                "form-missing", expected="multipart/form-data", got="another content type", do="see /openapi.json"
            )
        parser = _InMemoryParser(
            request.headers, bounded(request, max_bytes + _MARGIN_BYTES), max_files=1, max_fields=20
        )
        try:
            form = await parser.parse()
        except (MultiPartException, ClientDisconnect) as error:
            raise _unreadable() from error
        try:
            if not parser.ended:
                raise _unreadable()
            file = form.get("label")
            if file is None or isinstance(file, str):
                raise Invalid("label-missing", expected="a file in the field label", got="none", do="see /openapi.json")
            data = await file.read()
        finally:
            await form.close()
        return _parsed(data, {name: value for name, value in form.items() if isinstance(value, str)})

    return read


async def bounded(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the request's body, and stop when it is larger than allowed.

    Raises
    ------
    Invalid
        ``request-too-large``.
    """
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise Invalid(
                "request-too-large", expected=f"at most {max_bytes} bytes", got="more", do="compress it (gzip)"
            )
        yield chunk


def _unreadable() -> Invalid:
    return Invalid("form-unreadable", expected="a whole multipart form", got="something else", do="send it again")


def _parsed(data: bytes, fields: dict[str, str]) -> LabelForm:
    label_format = fields.get("format", "nifti")
    if label_format not in (*FORMATS, *UP_ONLY):
        raise Invalid("format-unknown", expected=f"one of {', '.join((*FORMATS, *UP_ONLY))}", got="another format")
    return LabelForm(
        label=data,
        format=label_format,
        lease_id=fields.get("lease_id", ""),
        project_id=fields.get("project_id", ""),
        geometry=fields.get("geometry", ""),
        segments=_segments(fields.get("segments", "")),
        started_from_model=_flag(fields.get("started_from_model", "false")),
        active_time_s=_seconds(fields.get("active_time_s", "0")),
        terms=Terms(_values(fields.get("values", "")), _threshold(fields.get("threshold", ""))),
    )


def _values(text: str) -> dict[int, int] | None:
    if not text:
        return None
    try:
        listed: dict[str, Any] = json.loads(text)
        return {int(theirs): int(ours) for theirs, ours in listed.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid(
            "values-unreadable",
            expected='JSON {"their value": value of the project, or 0 to leave it out, ...}',
            got="something else",
        ) from error


def _threshold(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise Invalid("threshold-invalid", expected="a share above 0, up to 1", got="something else") from error


def _segments(text: str) -> tuple[SegmentStatus, ...]:
    if not text:
        return ()
    try:
        listed: list[dict[str, Any]] = json.loads(text)
        return tuple(SegmentStatus(int(item["value"]), SegmentState(item["state"])) for item in listed)
    except (ValueError, KeyError, TypeError) as error:
        states = "|".join(SegmentState)
        raise Invalid(
            "segments-unreadable", expected=f'JSON [{{"value": 1, "state": "{states}"}}, ...]', got="something else"
        ) from error


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise Invalid("flag-unreadable", expected="true or false in started_from_model", got="something else")
    return text.lower() in ("true", "1")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise Invalid("seconds-unreadable", expected="a number of seconds in active_time_s", got="something else")
    return seconds


IMPORT_FIELDS: dict[str, dict[str, Any]] = {
    "values": {
        "type": "string",
        "description": 'JSON {"1": 2, "5": 0}: the project\'s value for each of theirs (voxel value, segment or ROI number), 0 to '
        "leave one out. What is in the file and not named is refused.",
    },
    "threshold": {
        "type": "number",
        "description": "Share of the maximum from which a voxel of a fractional SEG counts.",
    },
}
"""What may be said of a label made elsewhere."""


def form_schema(required: tuple[str, ...], optional: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the OpenAPI description of a label form."""
    text = {"type": "string"}
    properties = {
        **dict.fromkeys(required, text),
        "label": {
            "type": "string",
            "format": "binary",
            "description": "The mask; gzip allowed.",
        },
        "format": {"type": "string", "enum": [*FORMATS, *UP_ONLY], "default": "nifti"},
        "geometry": text
        | {
            "description": 'For raw: JSON {"shape": [i, j, k], "affine_lps": [16 numbers], "dtype": "uint8|uint32"}, row-major, '
            "LPS, mm; dtype may be left out."
        },
        "segments": text
        | {
            "description": 'JSON [{"value": 1, "state": "annotated|absent|not-annotated"}]; the rest follows from the mask.'
        },
        **optional,
    }
    schema = {"type": "object", "required": ["label", *required], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
