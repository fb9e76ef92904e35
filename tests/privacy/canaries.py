"""Values that nothing else would write, each made for one place, so that a find names where it comes from.

Every kind has a beginning of its own, and the search looks for beginnings: a value that was cut, joined or reformatted is
still found. Where the VR forbids text, the canary is of the VR: digits, a date of 1877, a time at 18:27:36, a UID.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

TEXT = "QXCNRY"
"""Begins every text canary: letters, so that AE, CS and SH take it."""
NUMBER = "182736"
"""Begins every number, and is the time of day of every time."""
UID_ROOT = "1.2.826.0.1.3680043.10.182736"
YEAR = "1877"
AGE = "942Y"
"""The only one of its kind: an age has three digits and a letter."""

WORDS = {"ISO_IR 100": "ÆÇÐÑÞØ", "ISO 2022 IR 87": "癸酉鼎齋", "ISO_IR 192": "Ωжשç漢"}
"""What a canary's text goes on with, by Specific Character Set (0008,0005)."""

_LETTERS = "ABCDEFGHJKLMNPRSTUVWZ"


@dataclass
class Canaries:
    """Makes canaries and remembers them.

    Attributes
    ----------
    origins
        Where each value stands, by value.
    """

    origins: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(10_000)), repr=False)

    def _remember(self, value: str, origin: str) -> str:
        self.origins[value] = origin
        return value

    def text(self, origin: str) -> str:
        """Return upper-case letters, eleven of them."""
        number, letters = len(self.origins), ""
        for _ in range(5):
            number, digit = divmod(number, len(_LETTERS))
            letters = _LETTERS[digit] + letters
        return self._remember(TEXT + letters, origin)

    def number(self, origin: str) -> str:
        """Return ten digits, which IS and DS take."""
        return self._remember(f"{NUMBER}{next(self._numbers):04d}", origin)

    def uid(self, origin: str) -> str:
        """Return a valid UID."""
        return self._remember(f"{UID_ROOT}.{len(self.origins) + 1}", origin)

    def date(self, origin: str) -> str:
        """Return a day of 1877 as DA; the days repeat after 336."""
        number = len(self.origins)
        value = f"{YEAR}{number % 12 + 1:02d}{number // 12 % 28 + 1:02d}"
        return self._remember(value, f"{self.origins[value]}, {origin}" if value in self.origins else origin)

    def time(self, origin: str) -> str:
        """Return a time as TM."""
        return self._remember(f"{NUMBER}.91{next(self._numbers):04d}", origin)

    def date_time(self, origin: str) -> str:
        """Return a DT."""
        return self.date(origin) + self.time(origin)
