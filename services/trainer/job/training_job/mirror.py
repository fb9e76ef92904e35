"""A run's folder and its shelf in the object store, kept alike: what a pod that was evicted leaves to its successor."""

import contextlib
from pathlib import Path

from radloop.errors import PermanentError
from radloop.objects.shelf import Shelf
from training_job.files import write_whole
from training_job.result import RESULT

CHECKPOINTS = "checkpoints"
PROGRESS = "progress.json"
_AT_THE_END = ("bundle.zip", RESULT)
"""In this order: who finds a result finds what it names."""


class Mirror:
    """Carries files between a folder and a shelf.

    Parameters
    ----------
    folder
        Of the run, on this machine; made when missing.
    shelf
        Of the run, in the store. Its ``task.json`` becomes ``shelved-task.json`` here, for the training reads another.
    """

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self._folder, self._shelf = folder, shelf
        self._shelved: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def fetch(self) -> None:
        """Bring the task, and everything that an earlier pod left, here.

        Raises
        ------
        PermanentError
            The task, progress or result is damaged.
        TemporaryError
            The store is away.
        """
        for name in ("task.json", PROGRESS, *_AT_THE_END):
            data = self._shelf.get(name)
            if data is not None:
                write_whole(self._folder / ("shelved-task.json" if name == "task.json" else name), data)
        self._shelved = set(self._shelf.names(f"{CHECKPOINTS}/"))
        for name in self._shelved:
            with contextlib.suppress(
                PermanentError
            ):  # a damaged one is passed over: an older one, or none, is gone on from
                write_whole(self._folder / name, self._shelf.get(name) or b"")

    def push(self) -> None:
        """Take progress and checkpoints to the store; those that the training removed go there, too, afterwards."""
        with contextlib.suppress(FileNotFoundError):  # not written yet
            self._shelf.put(PROGRESS, (self._folder / PROGRESS).read_bytes())
        there = {f"{CHECKPOINTS}/{path.name}" for path in (self._folder / CHECKPOINTS).glob("*.pt")}
        for name in sorted(there - self._shelved):
            if self._put(name):
                self._shelved.add(name)
        for name in sorted(self._shelved - there):
            self._shelf.remove(name)
            self._shelved.remove(name)

    def push_all(self) -> None:
        """Take everything to the store, the result last."""
        self.push()
        for name in _AT_THE_END:
            self._put(name)

    def _put(self, name: str) -> bool:
        """Take a file to the store; return whether it was there to be taken."""
        path = self._folder / name
        try:
            self._shelf.put_file(name, path)
        except FileNotFoundError:  # not written yet, or removed meanwhile
            return False
        return True
