"""Encryption of a backup's parts, in the age format (age-encryption.org/v1): any age program opens them, without us.

A backup has an identity of its own, which lies in it encrypted with the passphrase; its parts are encrypted to that identity
and to the recipients somebody named. With recipients alone no secret is needed to make a backup.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyrage

from radloop.errors import Forbidden, Invalid, PermanentError

SHORTEST_PASSPHRASE = 12
_READ_BYTES = 2**16


@dataclass(frozen=True)
class Sealed:
    """A part as it lies in the backup: size and SHA-256 of its encrypted bytes."""

    size_bytes: int
    sha256: str


class Sealer:
    """Encrypts to everybody who may read.

    Parameters
    ----------
    recipients
        Public keys, ``age1…``.

    Raises
    ------
    Invalid
        ``recipient-invalid``; or ``recipient-needed`` when there is none.
    """

    def __init__(self, recipients: Sequence[str]) -> None:
        if not recipients:
            raise Invalid("recipient-needed", expected="a passphrase or --recipient", got="neither")
        self._recipients = [_recipient(text) for text in recipients]

    @contextlib.contextmanager
    def writing(self, file: Path) -> Iterator["Writing"]:
        """Open a new file to write plain bytes into; `Writing.sealed` says afterwards what became of them."""
        writing = Writing()
        with file.open("xb") as target:
            counted = _Counted(target)

            def seal(source: IO[bytes]) -> None:
                pyrage.encrypt_io(source, counted, self._recipients)

            with _through_a_pipe(seal) as plain:
                writing.plain = plain
                yield writing
            target.flush()
            os.fsync(target.fileno())
        writing.sealed = counted.sealed()

    def seal_stream(self, source: IO[bytes], file: Path) -> Sealed:
        """Encrypt all that a stream gives into a new file."""
        with file.open("xb") as target:
            counted = _Counted(target)
            pyrage.encrypt_io(source, counted, self._recipients)
            target.flush()
            os.fsync(target.fileno())
        return counted.sealed()


class Writing:
    """A part that is being written."""

    plain: IO[bytes]
    sealed: Sealed


class Opener:
    """Decrypts what was encrypted to an identity.

    Parameters
    ----------
    identity
        ``AGE-SECRET-KEY-1…``.

    Raises
    ------
    Invalid
        ``identity-invalid``.
    """

    def __init__(self, identity: str) -> None:
        try:
            self._identity = pyrage.x25519.Identity.from_str(identity.strip())
        except pyrage.IdentityError as error:
            raise Invalid("identity-invalid", expected="AGE-SECRET-KEY-1…", got="other text") from error

    def open_into(self, file: Path, target: IO[bytes]) -> None:
        """Decrypt a file into a stream.

        Raises
        ------
        Forbidden
            ``backup-closed``: it was not encrypted to this identity.
        PermanentError
            ``backup-damaged``.
        """
        with file.open("rb") as source:
            try:
                pyrage.decrypt_io(source, target, [self._identity])
            except pyrage.DecryptError as error:
                raise _not_opened(file, str(error)) from error
            except OSError as error:
                if error.errno is not None:  # the target's, or the disk's
                    raise
                raise _not_opened(file, "") from error

    @contextlib.contextmanager
    def reading(self, file: Path) -> Iterator[IO[bytes]]:
        """Open a file to read its plain bytes. Who leaves before the end has read bytes that are authentic so far.

        Raises
        ------
        Forbidden, PermanentError
            As `open_into`.
        """
        read_end, write_end = os.pipe()

        def work() -> None:
            with os.fdopen(write_end, "wb") as target:
                self.open_into(file, target)

        with ThreadPoolExecutor(1) as pool, os.fdopen(read_end, "rb", buffering=_READ_BYTES) as plain:
            done = pool.submit(work)
            try:
                yield plain
                while plain.read(_READ_BYTES):  # a damaged end must not go unseen
                    pass
            except BaseException:
                plain.close()
                if (error := done.exception()) is not None and not isinstance(error, BrokenPipeError):
                    raise error from None
                raise
            done.result()


def new_identity() -> tuple[str, str]:
    """Make a fresh pair: identity (secret) and recipient (public)."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def seal_with_passphrase(plain: bytes, passphrase: str) -> bytes:
    """Encrypt a few bytes with a passphrase (scrypt, about a second of work for whoever guesses).

    Raises
    ------
    Invalid
        ``passphrase-short``.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise Invalid(
            "passphrase-short",
            expected=f"at least {SHORTEST_PASSPHRASE} characters",
            got=f"{len(passphrase)}",
            do="take several words by chance, and keep them where the backup is not",
        )
    return pyrage.passphrase.encrypt(plain, passphrase)


def open_with_passphrase(sealed: bytes, passphrase: str) -> bytes:
    """Decrypt what `seal_with_passphrase` made.

    Raises
    ------
    Forbidden
        ``passphrase-wrong``; a damaged file looks the same.
    """
    try:
        return pyrage.passphrase.decrypt(sealed, passphrase)
    except pyrage.DecryptError as error:
        raise Forbidden(
            "passphrase-wrong",
            expected="the passphrase this was encrypted with",
            got="another one, or a damaged file",
            do="look for the passphrase of its date",
        ) from error


def sealed_of(file: Path) -> Sealed:
    """Measure a part as it lies there."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return Sealed(file.stat().st_size, digest)


class _Counted:
    """Writes through, counts and digests."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target, self._digest, self._size = target, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self._size += len(data)
        return self._target.write(data)

    def flush(self) -> None:
        self._target.flush()

    def sealed(self) -> Sealed:
        return Sealed(self._size, self._digest.hexdigest())


@contextlib.contextmanager
def _through_a_pipe(seal: Any) -> Iterator[IO[bytes]]:
    """Turn encryption that reads into a stream to write: what is written here is read by ``seal`` in a thread."""
    read_end, write_end = os.pipe()

    def work() -> None:
        with os.fdopen(read_end, "rb") as source:
            seal(source)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            with os.fdopen(write_end, "wb", buffering=_READ_BYTES) as plain:
                yield plain
        except BrokenPipeError:
            done.result()  # why nobody reads any more
            raise
        done.result()


def _recipient(text: str) -> Any:
    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as error:
        raise Invalid("recipient-invalid", expected="age1…", got="other text") from error


def _not_opened(file: Path, said: str) -> PermanentError:
    if "No matching keys" in said:
        return Forbidden(
            "backup-closed",
            expected="the identity or passphrase of this backup",
            got="another one",
            do="look for that of its date",
        )
    return PermanentError(
        "backup-damaged", expected=f"{file.name} as it was written", got="other bytes", do="take another backup"
    )
