"""Whose turn it is to write: the writers of one process, one after the other, first come first served.

SQLite lets writers of one file poll for its lock. Whoever has just let go polls first, so under load a thread can wait for
many seconds (six were measured with eight writers) while others write thousands of times.
"""

import threading
from collections import deque

BUSY_TIMEOUT_S = 30.0
"""Longest wait for the turn, on either engine."""

READ_ONLY = "radloop_read_only"
"""Execution option of a connection that needs no turn."""


class Turns:
    """A lock that is handed to whoever has waited longest."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def take(self, timeout_s: float) -> bool:
        """Wait for the turn; return False when it did not come within ``timeout_s``."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(timeout_s):
            return True
        with self._guard:
            if mine.is_set():  # it came between the two lines above
                return True
            self._waiting.remove(mine)
            return False

    def give(self) -> None:
        """Pass the turn on."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
