"""Finds canaries in any bytes, however they are written there."""

import base64
import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from urllib.parse import quote

from tests.privacy.canaries import AGE, NUMBER, TEXT, UID_ROOT, WORDS, YEAR, Canaries

_DEEPEST = 3
_LONGEST_UNPACKED = 1 << 28
_WINDOW = 300
_MOST_SHOWN = 30


_WHOLE = re.compile(
    rf"{TEXT}[A-Z]{{5}}|{re.escape(UID_ROOT)}\.\d+|{NUMBER}\.91\d{{4}}|{NUMBER}\d{{4}}".encode(), re.IGNORECASE
)


@dataclass(frozen=True)
class Find:
    """A canary where none may be.

    Attributes
    ----------
    where
        What was searched.
    form
        How it is written there.
    origin
        What it was planted in.
    context
        Bytes around it.
    """

    where: str
    form: str
    origin: str
    context: bytes

    def __str__(self) -> str:
        return f"{self.where}: {self.origin} as {self.form}: {self.context!r}"


@cache
def forms_of(text: str) -> dict[str, bytes]:
    """Return how a text may be written, by name. What stands around it may change its first and last Base64 letter."""
    utf8 = text.encode()
    forms = {
        "UTF-8": utf8,
        "UTF-16LE": text.encode("utf-16-le"),
        "UTF-16BE": text.encode("utf-16-be"),
        "hex": utf8.hex().encode(),
        "HEX": utf8.hex().upper().encode(),
        "URL": quote(text, safe="").encode(),
        "URL, every letter": "".join(f"%{byte:02X}" for byte in utf8).encode(),
        "JSON": "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
        "bytes as Python prints them": repr(utf8)[2:-1].encode(),
        "backwards": text[::-1].encode(),
    }
    for name, encoded in [("", utf8), (" of UTF-16LE", text.encode("utf-16-le"))]:
        forms |= {f"Base64{name}, {shift} before": part for shift, part in enumerate(_base64_inside(encoded))}
    if not text.isascii():
        for charset in ("latin-1", "iso2022_jp", "shift_jis", "euc_jp"):
            try:
                encoded = text.encode(charset)
            except UnicodeEncodeError:
                continue
            forms |= {charset: encoded, f"hex of {charset}": encoded.hex().encode()}
    return forms


def _base64_inside(data: bytes) -> Iterator[bytes]:
    """Yield the Base64 letters that depend on ``data`` alone, for each place it may begin at."""
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + data)
        whole = (shift + len(data)) * 8 // 6
        yield encoded[-(-shift * 8 // 6) : whole]


class Search:
    """Looks for what `Canaries` made.

    Parameters
    ----------
    canaries
        All that were planted.
    """

    def __init__(self, canaries: Canaries) -> None:
        self._origins = canaries.origins
        self._beginnings, self._patterns = _beginnings(), _bounded()
        # Eight digits stand in other numbers too: as they are written plainly, the pattern asks what is around them.
        self._exact = {
            form: (value, name)
            for value in self._origins
            if value.startswith(YEAR) and len(value) == 8
            for name, form in forms_of(value).items()
            if form not in (value.encode(), value[::-1].encode())
        }
        for value in self._origins:
            if value.isdigit() and value.startswith(NUMBER):
                for name, order in (("double, little endian", "<d"), ("double, big endian", ">d")):
                    self._exact[struct.pack(order, float(value))] = (value, name)
        self._digests = {
            hashlib.new(algorithm, value.encode()).hexdigest(): (value, algorithm)
            for value in self._origins
            for algorithm in ("md5", "sha1", "sha256")
        }

    def finds(self, where: str, data: bytes) -> list[Find]:
        """Return what is found in bytes, and in what is packed in them."""
        found = []
        for place, plain in unpacked(where, data):
            found += list(chain(self._begun(place, plain), self._values(place, plain), self._hashes(place, plain)))
        return found

    def _begun(self, where: str, data: bytes) -> Iterator[Find]:
        # Finding one form after the other is faster than one pattern of all.
        lower = data.lower()
        for name, form in self._beginnings.items():
            haystack = lower if form.islower() else data
            start = haystack.find(form)
            while start >= 0:
                yield self._find(where, name, data, start, start + len(form))
                start = haystack.find(form, start + len(form))
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(data):
                yield self._find(where, name, data, match.start(), match.end())

    def _values(self, where: str, data: bytes) -> Iterator[Find]:
        for form, (value, name) in self._exact.items():
            if (start := data.find(form)) >= 0:
                yield Find(where, name, self._origins[value], _around(data, start, start + len(form)))

    def _hashes(self, where: str, data: bytes) -> Iterator[Find]:
        for match in re.finditer(rb"[0-9a-f]{32,}", data):
            if found := self._digests.get(match[0].decode()):
                value, algorithm = found
                yield Find(where, algorithm, self._origins[value], _around(data, match.start(), match.end()))

    def _find(self, where: str, name: str, data: bytes, start: int, end: int) -> Find:
        """Say which canary a beginning belongs to: the one that is written there, else one that is near in any form."""
        before = list(
            _WHOLE.finditer(data[max(0, start - 40) : start])
        )  # a word of another character set follows its text
        written = _WHOLE.match(data[start : start + 80]) or (before[-1] if before else None)
        if written and (origin := self._origins.get(written[0].decode().upper())):
            return Find(where, name, origin, _around(data, start, end))
        window = data[max(0, start - _WINDOW) : end + _WINDOW].upper()
        whole = [v for v in self._origins if any(form.upper() in window for form in forms_of(v).values())]
        place = start - max(0, start - _WINDOW)
        # The one that stands here, not one that stands near.
        whole.sort(key=lambda v: min((abs(window.find(f.upper()) - place) for f in forms_of(v).values()), default=0))
        origin = self._origins[whole[0]] if whole else "a canary that was cut"
        return Find(where, name, origin, _around(data, start, end))


def _beginnings() -> dict[str, bytes]:
    """Return each form of each kind's beginning, by name; what is in lower case is looked for whatever the case."""
    beginnings = {}
    for text in (TEXT, TEXT.lower(), UID_ROOT, NUMBER, *WORDS.values()):
        for name, form in forms_of(text).items():
            beginnings[f"{name} of {text}"] = form
    # Six digits stand in other numbers too: what is around them decides, see `_bounded`.
    plain = (NUMBER.encode(), NUMBER[::-1].encode())
    plain += (TEXT.encode(),)  # found in lower case, whatever its case
    each_once = {form: name for name, form in reversed(beginnings.items()) if form not in plain}
    return {name: form for form, name in each_once.items()}


def _bounded() -> dict[str, re.Pattern[bytes]]:
    """Return the patterns of values that are too short to be found by themselves."""
    patterns = {
        "number": rf"{NUMBER}{_apart(NUMBER)}\d{{4}}(?![0-9A-Za-z])",
        "time": rf"{NUMBER}\.91\d{{2,4}}",
        "time with colons": r"18:27:36[.,]91\d{4}",
        "date": rf"{YEAR}{_apart(YEAR)}([-./]?)(0[1-9]|1[0-2])\1([01]\d|2[0-8])(?![0-9A-Za-z])",
        # Four letters come by chance in files of random bytes: only where text goes on before and behind.
        "age": rf"{AGE}(?<=[\s\"'=:,>^]{AGE})(?=[\s\"',<^\\]|\Z)",
    }
    return {name: re.compile(pattern.encode()) for name, pattern in patterns.items()}


def _apart(text: str) -> str:
    """Return the condition that nothing of a longer word stands before ``text``, to be put behind it: a pattern is fast when it
    begins with letters.
    """
    return rf"(?:(?<![0-9A-Za-z.]{text})|(?<=%[0-9A-F][0-9A-F]{text}))"


def unpacked(where: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield bytes, and what gzip and zip members in them hold (npz files are zip files)."""
    yield where, data
    if depth == _DEEPEST:
        return
    for match in re.finditer(rb"\x1f\x8b\x08|PK\x03\x04", data):
        start, bits = match.start(), 31
        if match[0] == b"PK\x03\x04":
            method, name_length, extra_length = struct.unpack("<8xH16xHH", data[start : start + 30].ljust(30, b"\0"))
            start, bits = start + 30 + name_length + extra_length, -15
            if method != 8:  # stored: already searched
                continue
        try:
            plain = zlib.decompressobj(bits).decompress(data[start:], _LONGEST_UNPACKED)
        except zlib.error:
            continue
        yield from unpacked(f"{where}, unpacked at {match.start()}", plain, depth + 1)


def _around(data: bytes, start: int, end: int) -> bytes:
    return data[max(0, start - 60) : end + 60]


def search_all(search: Search, places: Iterable[tuple[str, bytes]]) -> list[Find]:
    """Search many places."""
    return [find for where, data in places for find in search.finds(where, data)]


def shown(finds: list[Find]) -> str:
    """Return what was found for people, each origin in a place once."""
    by_origin = {(find.where, find.origin): find for find in finds}
    lines = [str(find) for find in list(by_origin.values())[:_MOST_SHOWN]]
    return "\n".join([f"{len(finds)} finds, {len(by_origin)} places:", *lines])
