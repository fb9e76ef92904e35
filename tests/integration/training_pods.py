"""Holds a training still, so that a test can end it in the middle however fast the machine is."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT_S = 180.0


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def hold_in_mid_training(pod: int, folder: Path) -> int:
    """Stop the training of a pod (its process and its folder) after its next checkpoint; return the checkpoint's epoch.

    The pod's first process goes on, and takes the checkpoint to the store.
    """
    until(lambda: children_of(pod), pod)
    seen = checkpoints_in(folder)  # those of the pod before it are brought before the training starts
    until(lambda: checkpoints_in(folder) - seen, pod)
    (training,) = children_of(pod)
    os.kill(training, signal.SIGSTOP)
    return max(checkpoints_in(folder))


def checkpoints_in(folder: Path) -> set[int]:
    """Return the epochs whose checkpoints lie in a pod's folder."""
    return {int(path.name[6:11]) for path in folder.glob("run/checkpoints/epoch-*.pt")}


def until(condition: Callable[[], Any], process: int) -> None:
    """Wait for a condition while a process lives."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline and Path(f"/proc/{process}").exists()
        time.sleep(0.01)


def let_go(pod: int) -> None:
    """Let a training that was held go on."""
    for training in children_of(pod):
        os.kill(training, signal.SIGCONT)
