"""Gzip with a bound, so that a small upload cannot unpack into all of the memory."""

import gzip
import zlib

from radloop.errors import Invalid

_GZIP = b"\x1f\x8b"
_WITH_GZIP_HEADER = 31


def unpacked(data: bytes, max_bytes: int) -> bytes:
    """Return the bytes, unpacked when they are gzip (several members too).

    Raises
    ------
    Invalid
        ``label-too-large`` (more than ``max_bytes`` come out), ``label-unreadable`` (damaged or cut off).
    """
    if not data.startswith(_GZIP):
        return data
    parts, room, rest = [], max_bytes, data
    while rest:
        stream = zlib.decompressobj(_WITH_GZIP_HEADER)
        try:
            part = stream.decompress(rest, room + 1)
        except zlib.error as error:
            raise Invalid("label-unreadable", expected="gzip", got="damaged gzip", do="compress it anew") from error
        if len(part) > room:
            raise Invalid(
                "label-too-large",
                expected=f"at most {max_bytes} bytes unpacked",
                got="more",
                do="send a mask of this case, and nothing beside it",
            )
        if not stream.eof:
            raise Invalid("label-unreadable", expected="whole gzip", got="gzip that is cut off", do="send it again")
        parts.append(part)
        room -= len(part)
        rest = stream.unused_data
    return b"".join(parts)


def packed(data: bytes, level: int = 4) -> bytes:
    """Return the bytes as gzip; the same bytes give the same gzip. Level 1 for pixels, which hardly shrink but take long."""
    return gzip.compress(data, compresslevel=level, mtime=0)
