"""Objects as files of one folder: written beside their place, synced, then linked in, so that none is ever half there."""

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from radloop.crash import crash_point
from radloop.errors import Conflict, NotFound, PermanentError, Unavailable
from radloop.objects.digests import checked_key, digest_of_file
from radloop.objects.port import StoredObject
from radloop.references import ObjectRef, digest_of

_UNFINISHED = ".unfinished"
_LOCK = ".lock"
_ABANDONED = timedelta(hours=1)
"""Age at which an unfinished file belongs to nobody any more: its writer was killed."""


class FileObjects:
    """Object store in a folder.

    Parameters
    ----------
    folder : str
        Made when missing.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        (self._folder / _UNFINISHED).mkdir(parents=True, exist_ok=True)
        self.abort_unfinished("", datetime.now(UTC) - _ABANDONED)

    def put(self, key: str, data: bytes, digest: str = "") -> ObjectRef:
        """Store bytes durably under ``key``; the same bytes again change nothing but the object's age."""
        ref = ObjectRef(key=checked_key(key), digest=digest or digest_of(data), size_bytes=len(data))

        def write(unfinished: Path) -> None:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

        return self._store(ref, write)

    def put_file(self, key: str, path: Path) -> ObjectRef:
        """Store a file's bytes as `put` does, without holding them in memory at once."""
        ref = ObjectRef(key=checked_key(key), digest=digest_of_file(path), size_bytes=path.stat().st_size)

        def write(unfinished: Path) -> None:
            with path.open("rb") as source, unfinished.open("wb") as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())

        return self._store(ref, write)

    def get(self, ref: ObjectRef) -> bytes:
        """Return the bytes, their digest verified."""
        try:
            data = self._place(ref.key).read_bytes()
        except FileNotFoundError as error:
            raise _missing() from error
        except OSError as error:
            raise Unavailable(
                "object-store-unavailable",
                delay_s=5,
                expected="a readable object",
                got=os.strerror(error.errno or 0),
                do="look at the disk of the object store",
            ) from error
        if digest_of(data) != ref.digest:
            raise PermanentError("object-damaged", expected=ref.digest, got=digest_of(data))
        return data

    def path(self, ref: ObjectRef, hold: Path | None = None) -> Path:
        """Return the object's own file; nothing needs to be held. Read only."""
        place = self._place(ref.key)
        if not place.is_file():
            raise _missing()
        return place

    def presigned_url(self, ref: ObjectRef, expires_s: int) -> str | None:
        """Return None: nobody but the services reads the folder."""
        return None

    def delete(self, key: str) -> None:
        """Forget an object; one that is not there is no error."""
        self._place(key).unlink(missing_ok=True)

    def discard(self, key: str, before: datetime) -> bool:
        """Forget an object unless it was stored, or put again, at or after a time; return whether it is gone."""
        place = self._place(key)
        with self._locked():
            try:
                if _time_of(place.stat()) >= before:
                    return False
            except FileNotFoundError:
                return True
            place.unlink()
        return True

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""
        return sorted(key for key, _ in self._files(prefix))

    def listing(self, prefix: str) -> Iterator[StoredObject]:
        """Go through the objects whose keys begin with ``prefix``, in no order."""
        for key, file in self._files(prefix):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                stat = file.stat()
                yield StoredObject(key, stat.st_size, _time_of(stat))

    def abort_unfinished(self, prefix: str, before: datetime) -> int:
        """Forget what killed writers left half written before a time, whatever its key: a folder does not know it."""
        forgotten = 0
        for file in (self._folder / _UNFINISHED).iterdir():
            with contextlib.suppress(FileNotFoundError):  # another service may sweep at the same time
                if file.name != _LOCK and _time_of(file.stat()) < before:
                    file.unlink()
                    forgotten += 1
        return forgotten

    def check(self) -> None:
        """Return when the folder is there."""
        if not (self._folder / _UNFINISHED).is_dir():
            raise Unavailable(
                "object-store-unavailable", delay_s=5, expected="the folder of RADLOOP_OBJECTS_URL", got="none"
            )

    def _store(self, ref: ObjectRef, write: Callable[[Path], None]) -> ObjectRef:
        target = self._place(ref.key)
        unfinished = self._folder / _UNFINISHED / uuid.uuid4().hex
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write(unfinished)
            try:
                os.link(unfinished, target)
            except FileExistsError:
                self._again(target, unfinished, ref)
        except OSError as error:
            raise Unavailable(
                "object-store-unavailable",
                delay_s=5,
                expected=f"room for {ref.size_bytes} bytes",
                got=os.strerror(error.errno or 0),
                do="free disk space of the object store",
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)
        crash_point("after-object-write")
        return ref

    def _again(self, target: Path, unfinished: Path, ref: ObjectRef) -> None:
        """Make an object young that is stored already; under a lock, for a sweep may be about to discard it."""
        with self._locked():
            if not target.exists():
                os.link(unfinished, target)
            elif digest_of_file(target) != ref.digest:
                raise Conflict(
                    "object-exists", expected="a new key, or the same bytes", got="other bytes under this key"
                )
            os.utime(target, ns=(time.time_ns(),) * 2)  # left to itself the kernel's time is some milliseconds behind

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / _UNFINISHED / _LOCK).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _files(self, prefix: str) -> Iterator[tuple[str, Path]]:
        start = self._folder / prefix.rpartition("/")[0]
        for file in start.rglob("*"):
            key = file.relative_to(self._folder).as_posix()
            if key.startswith(prefix) and not key.startswith(_UNFINISHED) and file.is_file():
                yield key, file

    def _place(self, key: str) -> Path:
        return self._folder / checked_key(key)


def _time_of(stat: os.stat_result) -> datetime:
    return datetime.fromtimestamp(stat.st_mtime, UTC)


def _missing() -> NotFound:
    return NotFound("object-missing", expected="an object under the key", got="none")
