"""Named points at which a test may kill the process, as the power or an operator would.

``RADLOOP_KILL_AT=before-commit`` kills at the first hit, ``before-commit:3`` at the third. Unset, a point costs one
dictionary look-up.
"""

import os
import signal
import threading

POINTS = ("after-object-write", "before-commit", "after-commit", "after-publish", "after-handler")

_hits: dict[str, int] = {}
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """Kill this process (SIGKILL) if the test asked for it here."""
    wanted = os.environ.get("RADLOOP_KILL_AT")
    if not wanted:
        return
    point, _, nth = wanted.partition(":")
    if point != name:
        return
    with _lock:
        _hits[name] = _hits.get(name, 0) + 1
        if _hits[name] == int(nth or 1):
            os.kill(os.getpid(), signal.SIGKILL)
