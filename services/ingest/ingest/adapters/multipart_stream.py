"""A body in parts that comes in pieces, as WADO-RS answers (PS3.18 section 8.6.1.2): one part at a time in memory."""

from collections.abc import Iterable, Iterator

from ingest.adapters.multipart import UnreadableBody, UnsupportedMedia, boundary_of, kind_of

_HEAD_END = b"\r\n\r\n"
_LONGEST_HEAD = 1 << 14


def parts_in(pieces: Iterable[bytes], content_type: str, largest_bytes: int) -> Iterator[bytes]:
    """Yield each part that is a DICOM file, as soon as it is whole.

    Parameters
    ----------
    pieces : iterable of bytes
        The body, cut anywhere.
    content_type : str
        Of the body, with its boundary.
    largest_bytes : int
        Longest part.

    Raises
    ------
    UnsupportedMedia
        It is no multipart/related, or a part is something else.
    UnreadableBody
        It ends before its last boundary, or a part is longer than ``largest_bytes``.
    """
    line = b"--" + boundary_of(content_type)
    coming = iter(pieces)
    # With a line break before it, the first boundary is like any other.
    held = bytearray(b"\r\n")
    _read_to(held, coming, b"\r\n" + line, 0, largest_bytes)
    del held[: held.index(b"\r\n" + line) + 2 + len(line)]
    while True:
        while len(held) < 2:
            held += _next(coming)
        if held[:2] == b"--":
            return
        head_end = _read_to(held, coming, _HEAD_END, 0, _LONGEST_HEAD)
        if kind_of(bytes(held[:head_end])) != "application/dicom":
            raise UnsupportedMedia("media-unsupported", expected="parts of application/dicom", got="another media type")
        start = head_end + len(_HEAD_END)
        end = _read_to(held, coming, b"\r\n" + line, start, largest_bytes)
        yield bytes(held[start:end])
        del held[: end + 2 + len(line)]


def _read_to(held: bytearray, coming: Iterator[bytes], mark: bytes, start: int, largest: int) -> int:
    """Read until ``mark`` is held, and return where."""
    looked = start
    while (place := held.find(mark, looked)) < 0:
        if len(held) - start > largest:
            raise UnreadableBody("part-too-large", expected=f"parts of at most {largest} bytes", got="a longer one")
        looked = max(start, len(held) - len(mark) + 1)
        held += _next(coming)
    return place


def _next(coming: Iterator[bytes]) -> bytes:
    try:
        return next(coming)
    except StopIteration:
        raise UnreadableBody("body-unreadable", expected="a body with its end", got="one that is cut off") from None
