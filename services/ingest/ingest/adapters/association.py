"""Associations we request whose answers are never lost.

A requestor of pynetdicom 3.0.4 has a thread that looks for messages of the peer and is paused while a request of ours waits
for its response. The pause is a flag that is looked at a moment before it holds: on a busy machine the thread may still take
the response off the queue and drop it, and the request then waits until its time-out. Here the pause is a handshake.
"""

import threading
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association

_LOOK_EVERY_S = 0.1


class _Checkpoint(threading.Event):
    """An event that, once `clear` has returned, holds its one waiter, or is to hold nobody because the waiter has ended."""

    def __init__(self, waiter: threading.Thread) -> None:
        super().__init__()
        self._waiter = waiter
        self._state = threading.Condition()
        self._passable, self._waiting = True, False

    def set(self) -> None:
        """Let the waiter go on."""
        with self._state:
            self._passable = True
            self._state.notify_all()

    def clear(self) -> None:
        """Return when the waiter is held."""
        with self._state:
            self._passable = False
            while not self._waiting and self._waiter.is_alive() and self._waiter is not threading.current_thread():
                self._state.wait(_LOOK_EVERY_S)

    def is_set(self) -> bool:
        """Whether a waiter would pass."""
        return self._passable

    def wait(self, timeout: float | None = None) -> bool:
        """Be held until `set`."""
        with self._state:
            self._waiting = True
            self._state.notify_all()
            passed = self._state.wait_for(lambda: self._passable, timeout)
            self._waiting = False
            return passed


def associate(entity: AE, host: str, port: int, **options: Any) -> Association:
    """Request an association as `pynetdicom.AE.associate` does; look at ``is_established`` (PS3.8 section 7.1)."""
    association = entity.associate(host, port, **options)
    association._reactor_checkpoint = _Checkpoint(association)
    return association
