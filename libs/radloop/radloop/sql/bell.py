"""A bell that wakes a thread of this process, which may wait for a socket at the same time."""

import os
import select
import threading


class Bell:
    """Like `threading.Event`, but a wait ends also when a given file becomes readable."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reader, self._writer = os.pipe()
        self._lock = threading.Lock()
        self._closed = False

    def set(self) -> None:
        """Ring; it goes on ringing until `clear`."""
        with self._lock:
            if not self._event.is_set() and not self._closed:
                self._event.set()
                os.write(self._writer, b"!")

    def clear(self) -> None:
        """End the ringing."""
        with self._lock:
            if self._event.is_set() and not self._closed:
                self._event.clear()
                os.read(self._reader, 1)

    def is_set(self) -> bool:
        """Whether it rings."""
        return self._event.is_set()

    def wait(self, timeout_s: float, *, or_readable: int | None = None) -> bool:
        """Wait until it rings or a file can be read; return whether either came within ``timeout_s``."""
        files = [self._reader] + ([] if or_readable is None else [or_readable])
        poll = select.poll()
        for file in files:
            poll.register(file, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def close(self) -> None:
        """Give the two files back; the bell is not rung any more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                os.close(self._writer)
