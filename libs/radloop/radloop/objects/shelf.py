"""Files that change, on a store whose objects do not: each version is an object of its own, and a name means its newest.

A version's key holds its number and its digest, so that a listing is enough to read it, verified: programs that share no disk
meet here. One program writes a name at a time; when two do, the readers see one of them, whole.
"""

import contextlib
import re
from collections.abc import Collection
from pathlib import Path

from radloop.errors import NotFound, Unavailable
from radloop.objects.digests import digest_of_file
from radloop.objects.port import Objects
from radloop.references import ObjectRef, digest_of

_VERSION = re.compile(r"(?P<name>.+)/(?P<number>\d{8})-(?P<hex>[0-9a-f]{64})")
_ATTEMPTS = 5


class Shelf:
    """The files under one prefix.

    Parameters
    ----------
    objects
        Where they are.
    prefix
        What their keys begin with, without a slash at the end.
    """

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects, self.prefix = objects, prefix

    def put(self, name: str, data: bytes) -> None:
        """Make bytes the newest version of a name; the same bytes again change nothing.

        Raises
        ------
        TemporaryError
            The store cannot take them now; the version before stands.
        """
        self._objects.put(self._key_of_next(name, digest_of(data)), data)
        self._tidy(name)

    def put_file(self, name: str, path: Path) -> None:
        """Make the bytes of a file, which nobody changes meanwhile, the newest version, as `put` does."""
        self._objects.put_file(self._key_of_next(name, digest_of_file(path)), path)
        self._tidy(name)

    def get(self, name: str) -> bytes | None:
        """Return the newest version; None when there is none.

        Raises
        ------
        PermanentError
            The bytes are not those that were put.
        TemporaryError
            The store cannot give them now.
        """
        for attempt in range(_ATTEMPTS):
            versions = self._versions(name)
            if not versions and attempt:  # once may mean that what was listed went, and what came was not listed yet
                return None
            if not versions:
                continue
            with contextlib.suppress(NotFound):  # overtaken by the next version since
                return self._objects.get(versions[-1])
        raise Unavailable("shelf-busy", expected="a version that stays for a moment", got="a writer in great haste")

    def names(self, below: str = "") -> list[str]:
        """Return the names that begin so, sorted."""
        keys = (key.removeprefix(f"{self.prefix}/") for key in self._objects.keys(f"{self.prefix}/{below}"))
        names = {match["name"] for key in keys if (match := _VERSION.fullmatch(key))}
        return sorted(name for name in names if name.startswith(below))

    def remove(self, name: str) -> None:
        """Forget a name; one that is not there is no error."""
        for version in reversed(self._versions(name)):  # an older one must not become the newest
            self._objects.delete(version.key)

    def clear(self, keep: Collection[str] = ()) -> None:
        """Forget every name that does not begin with one of `keep`."""
        for name in self.names():
            if not name.startswith(tuple(keep)):
                self.remove(name)

    def _versions(self, name: str) -> list[ObjectRef]:
        """Return the versions of a name, oldest first."""
        found = []
        for key in self._objects.keys(f"{self.prefix}/{name}/"):
            match = _VERSION.fullmatch(key.removeprefix(f"{self.prefix}/"))
            if match and match["name"] == name:
                found.append(ObjectRef(key, f"sha256:{match['hex']}", 0))
        return found

    def _key_of_next(self, name: str, digest: str) -> str:
        versions = self._versions(name)
        if versions and versions[-1].digest == digest:
            return versions[-1].key
        number = 1 + (int(versions[-1].key.rpartition("/")[2][:8]) if versions else 0)
        return f"{self.prefix}/{name}/{number:08d}-{digest.removeprefix('sha256:')}"

    def _tidy(self, name: str) -> None:
        """Forget all but two versions: one of them is there for whoever listed them a moment ago."""
        for version in self._versions(name)[:-2]:
            self._objects.delete(version.key)
