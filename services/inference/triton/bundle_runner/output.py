"""Throwing away what a brought bundle prints, logs or warns of: its program sees studies, and what it says would be the site's log.

File descriptors, not `sys.stdout`: libraries hold the streams they began with, and compiled code writes past them.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STANDARD = (1, 2)


def discard_output() -> None:
    """Throw away what this process writes to standard output and standard error from now on."""
    _flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in _STANDARD:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextmanager
def discarded_output() -> Iterator[None]:
    """Throw it away for the length of a block, in all threads of the process."""
    _flush()
    kept = [os.dup(descriptor) for descriptor in _STANDARD]
    discard_output()
    try:
        yield
    finally:
        _flush()
        for descriptor, copy in zip(_STANDARD, kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # none, closed, or leading nowhere
            stream.flush()
