"""Ties a process to the one that starts it: when that ends, however it ends, this one is ended, too."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

# The same for a program that is not ours: run in the new process before it.
_TETHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent dies (prctl(2), PR_SET_PDEATHSIG).

    No crash leaves a platform behind that nobody watches. A parent that is gone already is the caller's to see.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def tethered(arguments: list[str]) -> list[str]:
    """Return the command that runs ``arguments`` and ends with the process that starts it."""
    return [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), *arguments]
