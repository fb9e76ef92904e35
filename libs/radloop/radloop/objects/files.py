"""Objects as files of one folder: written beside their place, synced, then linked in, so that none is ever half there."""

import contextlib
import hashlib
import os
import re
import time
import uuid
from pathlib import Path

from radloop.crash import crash_point
from radloop.errors import Conflict, Invalid, NotFound, PermanentError, TemporaryError
from radloop.references import ObjectRef

_KEY = re.compile(r"[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)*")
_UNFINISHED = ".unfinished"
_ABANDONED_S = 3600.0
"""Age at which an unfinished file belongs to nobody any more: its writer was killed."""


def digest_of(data: bytes) -> str:
    """Return the digest of bytes as ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


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
        for file in (self._folder / _UNFINISHED).iterdir():
            with contextlib.suppress(FileNotFoundError):  # another service may sweep at the same time
                if file.stat().st_mtime < time.time() - _ABANDONED_S:
                    file.unlink()

    def put(self, key: str, data: bytes) -> ObjectRef:
        """Store bytes durably under ``key``; the same bytes again change nothing."""
        target = self._place(key)
        ref = ObjectRef(key=key, digest=digest_of(data), size_bytes=len(data))
        unfinished = self._folder / _UNFINISHED / uuid.uuid4().hex
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(unfinished, target)
            except FileExistsError:
                self._same(target, ref)
        except OSError as error:
            raise TemporaryError(
                "object-store-unavailable",
                delay_s=5,
                expected=f"room for {len(data)} bytes",
                got=os.strerror(error.errno or 0),
                do="free disk space of the object store",
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)
        crash_point("after-object-write")
        return ref

    def get(self, ref: ObjectRef) -> bytes:
        """Return the bytes, their digest verified."""
        try:
            data = self._place(ref.key).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("object-missing", expected="an object under the key", got="none") from error
        if digest_of(data) != ref.digest:
            raise PermanentError("object-damaged", expected=ref.digest, got=digest_of(data))
        return data

    def path(self, ref: ObjectRef) -> Path:
        """Return the object's own file. Read only."""
        place = self._place(ref.key)
        if not place.is_file():
            raise NotFound("object-missing", expected="an object under the key", got="none")
        return place

    def delete(self, key: str) -> None:
        """Forget an object; one that is not there is no error."""
        self._place(key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""
        start = self._folder / prefix.rpartition("/")[0]
        found = (file.relative_to(self._folder).as_posix() for file in start.rglob("*") if file.is_file())
        return sorted(key for key in found if key.startswith(prefix) and not key.startswith(_UNFINISHED))

    def _place(self, key: str) -> Path:
        if not _KEY.fullmatch(key) or any(part.startswith(".") for part in key.split("/")):
            raise Invalid(
                "object-key-invalid", expected="letters, digits and ._:- in parts joined by /", got="another key"
            )
        return self._folder / key

    @staticmethod
    def _same(target: Path, ref: ObjectRef) -> None:
        if digest_of(target.read_bytes()) != ref.digest:
            raise Conflict("object-exists", expected="a new key, or the same bytes", got="other bytes under this key")
