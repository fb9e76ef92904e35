"""Local copies of objects, for programs that read files. Named by digest, verified before they appear, bounded in size.

Several processes may use one folder: a copy appears by a rename, and one that goes while it is wanted is fetched again.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from radloop.errors import Unavailable

CACHE_BYTES = 20 * 2**30
FORGOTTEN_S = 24 * 3600.0
"""A copy nobody used for so long goes: what is withdrawn must not stay in a cache."""


class ObjectCache:
    """A folder of copies.

    Parameters
    ----------
    folder
        Made when first used.
    most_bytes
        Above this, the copies used longest ago go first.
    """

    def __init__(self, folder: Path, most_bytes: int = CACHE_BYTES) -> None:
        self._folder, self._most_bytes = folder.resolve(), most_bytes

    def path(self, digest: str, fetch: Callable[[Path], None], hold: Path | None) -> Path:
        """Return a copy, fetched when there is none.

        Parameters
        ----------
        digest
            ``sha256:<hex>`` of the object.
        fetch
            ``fetch(path)`` writes the object's verified bytes to a new file.
        hold
            See `radloop.objects.port.Objects.path`.
        """
        copy = self._folder / digest.removeprefix("sha256:")
        held = hold / copy.name if hold else None
        if held and held.exists():
            return held
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._used(copy):
                self._bring(copy, fetch)
            if held is None:
                return copy
            held.parent.mkdir(parents=True, exist_ok=True)
            self._link(copy, held, fetch)
            return held
        except OSError as error:
            raise Unavailable(
                "object-cache-unavailable",
                delay_s=5,
                expected="room for a copy under RADLOOP_WORK_DIR",
                got=os.strerror(error.errno or 0),
                do="free disk space of the work folder",
            ) from error

    @staticmethod
    def _used(copy: Path) -> bool:
        """Note that a copy is used; return False when there is none."""
        try:
            os.utime(copy)
        except FileNotFoundError:
            return False
        return True

    def _bring(self, copy: Path, fetch: Callable[[Path], None]) -> None:
        unfinished = self._folder / f".{uuid.uuid4().hex}"
        try:
            fetch(unfinished)
            unfinished.chmod(0o444)
            self._make_room(unfinished.stat().st_size)
            unfinished.rename(copy)
        finally:
            unfinished.unlink(missing_ok=True)

    def _link(self, copy: Path, held: Path, fetch: Callable[[Path], None]) -> None:
        with contextlib.suppress(FileExistsError):
            try:
                os.link(copy, held)
            except FileNotFoundError:  # gone since we looked
                self._bring(copy, fetch)
                os.link(copy, held)

    def _make_room(self, size_bytes: int) -> None:
        """Let copies go that nobody used for long, and further ones until another fits."""
        copies = []
        for file in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process makes room too
                stat = file.stat()
                copies.append((stat.st_mtime, stat.st_size, file))
        total, forgotten = sum(size for _, size, _ in copies), time.time() - FORGOTTEN_S
        for used_at, size, file in sorted(copies):
            if used_at >= forgotten and (file.name.startswith(".") or total <= self._most_bytes):
                continue
            file.unlink(missing_ok=True)
            total -= size
