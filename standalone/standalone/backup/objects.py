"""Objects as volumes of a tar file, with an index of their digests; taken through the port of the object store.

They are read after the databases' moment: an object is written before the row that refers to it and is never overwritten, so
what is there now includes what the rows of then refer to. Except for what was withdrawn or swept in between, which
`standalone.backup.references` names after a restore.
"""

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import httpx

from radloop.errors import NotFound, PermanentError, Unavailable
from radloop.objects import Objects, StoredObject
from radloop.references import ObjectRef
from standalone.backup.manifest import OBJECTS, OBJECTS_INDEX
from standalone.backup.sealing import Opener, Sealed, Sealer

VOLUME_BYTES = 2**30
_IN_MEMORY_BYTES = 32 * 2**20
_URL_LASTS_S = 3600


def save_objects(objects: Objects, sealer: Sealer, folder: Path) -> tuple[dict[str, Sealed], int]:
    """Write every object and the index; return the parts by name, and the number of objects.

    Raises
    ------
    PermanentError
        ``object-damaged``: an object is not what was stored.
    Unavailable
        The store is away.
    """
    parts: dict[str, Sealed] = {}
    count = 0
    left = objects.listing("")
    first = next(left, None)
    # One for all: making a client takes longer than fetching a slice.
    with httpx.Client(timeout=60, trust_env=False) as http, sealer.writing(folder / OBJECTS_INDEX) as index:
        while first is not None:
            name = OBJECTS.format(len(parts))
            size = 0
            with sealer.writing(folder / name) as volume, tarfile.open(fileobj=volume.plain, mode="w|") as tar:
                while first is not None and size < VOLUME_BYTES:
                    digest = _add(tar, objects, http, first)
                    if digest:
                        line = json.dumps([first.key, digest, first.size_bytes])
                        index.plain.write(f"{line}\n".encode())
                        count += 1
                        size += first.size_bytes
                    first = next(left, None)
            parts[name] = volume.sealed
    return {OBJECTS_INDEX: index.sealed} | parts, count


def read_index(opener: Opener, folder: Path) -> dict[str, str]:
    """Return the digest of every object of a backup, by key."""
    with opener.reading(folder / OBJECTS_INDEX) as plain:
        return {key: digest for key, digest, _ in map(json.loads, plain)}


def check_objects(opener: Opener, folder: Path, names: list[str], index: Mapping[str, str]) -> None:
    """Read every volume and compare with the index; nothing is written.

    Raises
    ------
    PermanentError
        ``backup-damaged``.
    """
    found = {key: _digest(content) for key, _, content in _members(opener, folder, names)}
    _compare(found, index)


def load_objects(objects: Objects, opener: Opener, folder: Path, names: list[str], index: Mapping[str, str]) -> None:
    """Put every object of the volumes into a store, verified against the index.

    Raises
    ------
    PermanentError
        ``backup-damaged``.
    Unavailable
        The store cannot take them.
    """
    found = {}
    for key, size, content in _members(opener, folder, names):
        if size <= _IN_MEMORY_BYTES:
            found[key] = objects.put(key, content.read()).digest
        else:
            with tempfile.NamedTemporaryFile(dir=folder.parent) as file:
                shutil.copyfileobj(content, file)
                file.flush()
                found[key] = objects.put_file(key, Path(file.name)).digest
    _compare(found, index)


def _compare(found: Mapping[str, str], index: Mapping[str, str]) -> None:
    if found != index:
        differing = sum(found.get(key) != index.get(key) for key in found.keys() | index.keys())
        raise PermanentError(
            "backup-damaged",
            expected=f"{len(index)} objects as in the index",
            got=f"{differing} that differ",
            do="take another backup",
        )


def _members(opener: Opener, folder: Path, names: list[str]) -> Iterator[tuple[str, int, IO[bytes]]]:
    for name in names:
        with opener.reading(folder / name) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None  # only plain files are written
                yield member.name, member.size, content


def _add(tar: tarfile.TarFile, objects: Objects, http: httpx.Client, stored: StoredObject) -> str:
    """Add an object; return its digest, empty when it is gone meanwhile."""
    member = tarfile.TarInfo(stored.key)
    member.size, member.mode = stored.size_bytes, 0o600
    ref = ObjectRef(stored.key, "", stored.size_bytes)
    url = objects.presigned_url(ref, _URL_LASTS_S)
    if url is None:
        try:
            file = objects.path(ref)
            with file.open("rb") as source:
                return _copy(tar, member, source)
        except (NotFound, FileNotFoundError):
            return ""
    return _add_from(http, url, tar, member)


def _add_from(http: httpx.Client, url: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    try:
        with http.stream("GET", url) as answer:
            if answer.status_code == 404:
                return ""
            answer.raise_for_status()
            digest = _copy(tar, member, _Chunks(answer.iter_bytes()))
            said = answer.headers.get("x-amz-meta-digest", digest)
    except httpx.HTTPError as error:
        # Its text may hold the address, which is a key to the object.
        raise Unavailable(
            "object-store-unavailable", expected="an object", got=type(error).__name__, do="try again"
        ) from None
    if said != digest:
        raise PermanentError("object-damaged", expected=said, got=digest, do="restore the object from an older backup")
    return digest


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, source: "IO[bytes] | _Chunks") -> str:
    digesting = _Digesting(source)
    tar.addfile(member, digesting)  # type: ignore[arg-type]
    return f"sha256:{digesting.digest.hexdigest()}"


def _digest(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(2**20):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


class _Digesting:
    """Reads through and digests."""

    def __init__(self, source: "IO[bytes] | _Chunks") -> None:
        self._source, self.digest = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


class _Chunks:
    """An answer's chunks, read as from a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, io.BytesIO()

    def read(self, size: int) -> bytes:
        found = bytearray(self._left.read(size))
        while len(found) < size and (chunk := next(self._chunks, b"")):
            self._left = io.BytesIO(chunk)
            found += self._left.read(size - len(found))
        return bytes(found)
