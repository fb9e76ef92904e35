"""Notes who looked at which series: one entry in the audit trail for a person, a series and a stretch of time.

A viewer fetches a hundred frames for one look; an entry for each would bury the trail and cost a synced write apiece.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.ports import Clock

STRETCH_S = 900.0
"""A person who goes on looking at a series is noted again after so many seconds."""
_MOST = 10_000


@dataclass(slots=True)
class _Look:
    lock: threading.Lock = field(default_factory=threading.Lock)
    noted_at: float = float("-inf")


class Views:
    """Remembers, in this process, what has been noted lately.

    Parameters
    ----------
    note : callable
        ``note(subject, series_key)`` appends to the audit trail; when it fails, nothing is remembered and nothing is shown.
    clock : Clock
    """

    def __init__(self, note: Callable[[str, str], None], clock: Clock) -> None:
        self._note, self._clock = note, clock
        self._guard = threading.Lock()
        self._looks: dict[tuple[str, str], _Look] = {}

    def seen(self, subject: str, series_key: str) -> None:
        """Note that a person sees a series, unless that stands in the trail of the last `STRETCH_S` seconds."""
        now = self._clock()
        with self._guard:
            if len(self._looks) >= _MOST:
                self._looks = {key: look for key, look in self._looks.items() if _is_recent(look, now)}
            look = self._looks.setdefault((subject, series_key), _Look())
        with look.lock:  # the frames that a browser asks for at once wait for one entry, not for one each
            if not _is_recent(look, now):
                self._note(subject, series_key)
                look.noted_at = now


def _is_recent(look: _Look, now: float) -> bool:
    return abs(now - look.noted_at) < STRETCH_S
