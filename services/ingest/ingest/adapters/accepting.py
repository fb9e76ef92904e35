"""What a client of DICOMweb is ready to take: the Accept header, read as RFC 9110 section 12.5.1 and PS3.18 section 8.3.3 say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.adapters.frames import TRANSFER_SYNTAX_UID
from radloop.errors import PermanentError

DICOM = "application/dicom"
OCTET_STREAM = "application/octet-stream"
_RANGES = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^",])+')
_PARTS = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^";])+')


class NotAcceptable(PermanentError):
    """Nothing the client takes can be given: 406."""


@dataclass(frozen=True, slots=True)
class _Range:
    media_type: str
    parameters: dict[str, str]

    @property
    def wanted(self) -> bool:
        try:
            return float(self.parameters.get("q", "1")) > 0
        except ValueError:  # no number: as if nothing were said
            return True


def as_multipart(accept: str | None, frames: int) -> bool:
    """Whether frames go out as ``multipart/related``; else one goes out alone as ``application/octet-stream``.

    Parameters
    ----------
    accept : str or None
        The header; None and ``*/*`` take anything.
    frames : int
        How many frames are asked for.

    Raises
    ------
    NotAcceptable
        The client takes neither, or only a transfer syntax that frames are not given out in.
    """
    for one in _ranges(accept):
        if one.media_type in ("*/*", "multipart/*"):
            return True
        kind = one.parameters.get("type", OCTET_STREAM).lower()
        if one.media_type == "multipart/related" and kind in (OCTET_STREAM, "*/*", "application/*") and _native(one):
            return True
        if one.media_type in (OCTET_STREAM, "application/*") and frames == 1 and _native(one):
            return False
    raise NotAcceptable(
        "not-acceptable",
        expected=f'Accept: multipart/related; type="{OCTET_STREAM}"; transfer-syntax={TRANSFER_SYNTAX_UID}',
        got=f"{OCTET_STREAM} for several frames" if frames > 1 else "other media types or transfer syntaxes",
        do="frames are decoded here: ask for them uncompressed",
    )


def as_stored(accept: str | None) -> bool:
    """Whether whole instances go out in the transfer syntax they are stored in; else in Explicit VR Little Endian, the default.

    Raises
    ------
    NotAcceptable
        The client takes no DICOM files in parts, or only in a transfer syntax that nothing is stored in.
    """
    for one in _ranges(accept):
        if one.media_type in ("*/*", "multipart/*"):
            return False
        kind = one.parameters.get("type", DICOM).lower()
        if one.media_type == "multipart/related" and kind in (DICOM, "*/*", "application/*"):
            syntax = one.parameters.get("transfer-syntax", TRANSFER_SYNTAX_UID)
            if syntax in ("*", TRANSFER_SYNTAX_UID):
                return syntax == "*"
    raise NotAcceptable(
        "not-acceptable",
        expected=f'Accept: multipart/related; type="{DICOM}"; transfer-syntax={TRANSFER_SYNTAX_UID} or *',
        got="other media types or transfer syntaxes",
    )


def picture_type(accept: str | None) -> str:
    """Return the media type a picture goes out in: the first of the client's that can be given, JPEG where it takes any.

    Raises
    ------
    NotAcceptable
        The client takes neither JPEG nor PNG.
    """
    for one in _ranges(accept):
        if one.media_type in ("*/*", "image/*", "image/jpeg"):
            return "image/jpeg"
        if one.media_type == "image/png":
            return "image/png"
    raise NotAcceptable("not-acceptable", expected="Accept: image/jpeg or image/png", got="other media types")


def require_json(accept: str | None) -> None:
    """Check that the client takes DICOM JSON.

    Raises
    ------
    NotAcceptable
        It does not.
    """
    taken = ("*/*", "application/*", "application/dicom+json", "application/json")
    if not any(one.media_type in taken for one in _ranges(accept)):
        raise NotAcceptable("not-acceptable", expected="Accept: application/dicom+json", got="other media types")


def _native(one: _Range) -> bool:
    return one.parameters.get("transfer-syntax", "*") in ("*", TRANSFER_SYNTAX_UID)


def _ranges(accept: str | None) -> Sequence[_Range]:
    ranges = []
    for text in _RANGES.findall(accept if accept and accept.strip() else "*/*"):
        media_type, *rest = _PARTS.findall(text)
        pairs = (part.partition("=") for part in rest)
        parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        ranges.append(_Range(media_type.strip().lower(), parameters))
    return [one for one in ranges if one.wanted]
