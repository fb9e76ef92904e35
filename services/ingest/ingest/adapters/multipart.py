"""Bodies in parts, as DICOMweb sends and takes them (PS3.18 section 8.6.1.2, RFC 2387)."""

import uuid
from collections.abc import Iterable, Iterator
from email.message import Message

from radloop.errors import PermanentError


class UnreadableBody(PermanentError):
    """A body that is not in parts, or not of whole ones: 400."""


class UnsupportedMedia(PermanentError):
    """A body of another kind: 415."""


class Multipart:
    """A body that is written part by part.

    Parameters
    ----------
    kind : str
        Media type of the root part, e.g. "application/dicom".
    """

    def __init__(self, kind: str) -> None:
        self._boundary = uuid.uuid4().hex
        self.content_type = f'multipart/related; type="{kind}"; boundary={self._boundary}'

    def write(self, parts: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
        """Yield the body of parts, each its content type and its bytes."""
        before = ""
        for content_type, data in parts:
            head = f"{before}--{self._boundary}\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n\r\n"
            yield head.encode()
            yield data
            before = "\r\n"
        yield f"{before}--{self._boundary}--\r\n".encode()


def parts_of(body: bytes, content_type: str) -> Iterator[bytes]:
    """Yield the parts of a body whose parts are DICOM files.

    Raises
    ------
    UnsupportedMedia
        The body is no multipart/related, or its parts are something else.
    UnreadableBody
        It has no boundary, no part, or no end.
    """
    line = b"--" + boundary_of(content_type)
    place = 0 if body.startswith(line) else body.find(b"\r\n" + line) + 2
    if place == 1:
        raise _unreadable("parts between the boundary that Content-Type names")
    while True:
        place += len(line)
        if body[place : place + 2] == b"--":
            return
        head_end = body.find(b"\r\n\r\n", place)
        end = body.find(b"\r\n" + line, max(head_end, place))
        if head_end < 0 or end < 0:
            raise _unreadable("a body with its end")
        kind = kind_of(body[place:head_end])
        if kind != "application/dicom":
            raise UnsupportedMedia("media-unsupported", expected="parts of application/dicom", got="another media type")
        yield body[head_end + 4 : end]
        place = end + 2


def boundary_of(content_type: str) -> bytes:
    """Return the boundary between parts that are DICOM files.

    Raises
    ------
    UnsupportedMedia
        It is another kind of body.
    UnreadableBody
        It names no boundary.
    """
    told = _header(content_type)
    if told.get_content_type() != "multipart/related" or _lower(told.get_param("type")) not in (
        "",
        "application/dicom",
    ):
        raise UnsupportedMedia(
            "media-unsupported",
            expected='Content-Type: multipart/related; type="application/dicom"; boundary=...',
            got="another media type",
        )
    boundary = told.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise _unreadable("a boundary in Content-Type")
    return boundary.encode("ascii", "replace")


def kind_of(head: bytes) -> str:
    """Return the media type that the head of a part says; DICOM where it says none."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-type":
            return _header(value.decode("latin-1")).get_content_type()
    return "application/dicom"


def _header(content_type: str) -> Message:
    message = Message()
    message["Content-Type"] = content_type.strip()
    return message


def _lower(value: object) -> str:
    return value.lower() if isinstance(value, str) else ""


def _unreadable(expected: str) -> UnreadableBody:
    return UnreadableBody("body-unreadable", expected=expected, got="something else")
