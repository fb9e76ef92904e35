"""A flag that a signal handler may set.

``threading.Event`` will not do: its lock may be held by the very thread the handler interrupts.
"""

import time

_SLICE_S = 0.1


class Stop:
    """Set once, looked at by every thread."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Ask everybody to end."""
        self._set = True

    def is_set(self) -> bool:
        """Whether everybody is asked to end."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait, but not much longer than until it is set; return whether it is."""
        deadline = time.monotonic() + seconds
        while not self._set and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))
        return self._set
