"""Draws that nobody can foresee and everybody can repeat: which cases are read twice, who gets a gold case when, and which."""

import hashlib
import hmac
from collections.abc import Iterable


def drawn(name: str, share: float, key: bytes) -> bool:
    """Whether what a name stands for (a case, for a second blind reading) is among the given share (0..1).

    The keyed hash of the name decides, so that a replay draws the same, and who knows the name but not the key cannot tell.
    """
    return int.from_bytes(_digest(name, key)[:8], "big") < share * 2**64


def first_drawn(names: Iterable[str], seed: str, key: bytes) -> str | None:
    """Return one of the names, another for each seed; None where there is none."""
    return min(names, key=lambda name: _digest(f"{seed}:{name}", key), default=None)


def _digest(name: str, key: bytes) -> bytes:
    return hmac.new(key, name.encode(), hashlib.sha256).digest()
