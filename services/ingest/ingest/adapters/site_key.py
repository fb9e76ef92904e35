"""The file of the site key: one line per version, ``<version> <64 hex digits>``; a file with a key alone is of version 1.

Changed as a whole or not at all, and read again when it has changed, so that every replica has a new version at once.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from ingest.domain.keys import FIRST_VERSION, KeyRing
from ingest.domain.pseudonyms import KEY_BYTES
from radloop.errors import Invalid, PermanentError


class SiteKeyFile:
    """The key versions in a file, as they are now.

    Parameters
    ----------
    file : Path
        Made with a first key (mode 0600) when missing.

    Raises
    ------
    PermanentError
        When others may read the file, or it holds no key.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        if not file.exists():
            _create(file)
        self._seen = _state(file)
        self._ring = KeyRing(read_keys(file))

    @property
    def ring(self) -> KeyRing:
        """All versions; the file is read again when it has changed."""
        seen = _state(self._file)
        if seen != self._seen:
            self._ring, self._seen = KeyRing(read_keys(self._file)), seen
        return self._ring

    def vault_keys(self) -> list[bytes]:
        """Return the vault's keys, newest first."""
        return self.ring.vault_keys

    def add(self) -> int:
        """Write a new version durably, and return it."""
        return add_key(self._file)

    def drop(self, version: int) -> None:
        """Take a version out for good."""
        with _changing(self._file):
            _replace(self._file, {v: key for v, key in read_keys(self._file).items() if v != version})


def add_key(file: Path) -> int:
    """Add a new version to a file, durably; return it. Whoever uses the file takes it up.

    Raises
    ------
    PermanentError
        As `read_keys`.
    """
    with _changing(file):
        keys = read_keys(file)
        version = max(keys) + 1
        _replace(file, keys | {version: secrets.token_bytes(KEY_BYTES)})
    return version


def read_keys(file: Path) -> dict[int, bytes]:
    """Read the keys by version.

    Raises
    ------
    PermanentError
        ``site-key-exposed`` when others may read the file, ``site-key-invalid`` when it holds no key.
    """
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise PermanentError(
            "site-key-exposed",
            expected="a file only its owner may read",
            got=f"mode {mode:04o}",
            do=f"chmod 600 {file}",
        )
    return parse_keys(file.read_text())


def parse_keys(text: str) -> dict[int, bytes]:
    """Read the keys by version from a file's text.

    Raises
    ------
    PermanentError
        ``site-key-invalid``.
    """
    keys: dict[int, bytes] = {}
    try:
        for line in text.strip().splitlines():
            version, _, key = line.strip().rpartition(" ")
            keys[int(version or FIRST_VERSION)] = bytes.fromhex(key)
        KeyRing(keys)
    except (ValueError, Invalid) as error:
        raise PermanentError(
            "site-key-invalid",
            expected=f"lines of a version and {KEY_BYTES} bytes as hex",
            got="other text",
            do="restore the file",
        ) from error
    return keys


def _create(file: Path) -> None:
    """Write a first key durably; of several processes that start at once, one wins and all use its key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _written(file, secrets.token_hex(KEY_BYTES))
    try:
        os.link(unfinished, file)
    except FileExistsError:
        return  # another process was first: its key stands
    finally:
        unfinished.unlink()
    _sync_folder(file)


def _replace(file: Path, keys: Mapping[int, bytes]) -> None:
    lines = [f"{version} {key.hex()}" for version, key in sorted(keys.items())]
    _written(file, "\n".join(lines) + "\n").rename(file)
    _sync_folder(file)


def _written(file: Path, text: str) -> Path:
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return unfinished


def _sync_folder(file: Path) -> None:
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _changing(file: Path) -> Iterator[None]:
    """Let one process change the file at a time."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _state(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
