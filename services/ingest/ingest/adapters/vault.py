"""What must be kept identified at the site, encrypted with a key derived from the site key; and the site key's file."""

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from ingest.domain.pseudonyms import KEY_BYTES
from radloop.errors import PermanentError


class Vault:
    """Encrypts and decrypts (Fernet: AES-128-CBC with HMAC-SHA256).

    Parameters
    ----------
    key : bytes
        32 bytes, see `Pseudonyms.vault_key`.
    """

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def seal(self, data: bytes) -> bytes:
        """Encrypt; the same data gives other bytes every time."""
        return self._fernet.encrypt(data)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt.

        Raises
        ------
        PermanentError
            When the bytes are damaged or were sealed with another site key.
        """
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise PermanentError(
                "vault-closed",
                expected="data sealed with this site's key",
                got="other data",
                do="restore the site key file",
            ) from error

    def seal_fields(self, fields: dict[str, Any]) -> str:
        """Encrypt a JSON object into text."""
        return self.seal(json.dumps(fields).encode()).decode("ascii")

    def open_fields(self, sealed: str) -> dict[str, Any]:
        """Decrypt what `seal_fields` made."""
        fields: dict[str, Any] = json.loads(self.open(sealed.encode("ascii")))
        return fields


def load_site_key(file: Path) -> bytes:
    """Return the site key, making it (32 random bytes as hex, mode 0600) on the first start.

    Raises
    ------
    PermanentError
        When others may read the file, or it holds no key.
    """
    if not file.exists():
        _create(file)
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise PermanentError(
            "site-key-exposed",
            expected="a file only its owner may read",
            got=f"mode {mode:04o}",
            do=f"chmod 600 {file}",
        )
    try:
        key = bytes.fromhex(file.read_text().strip())
    except ValueError as error:
        raise PermanentError(
            "site-key-invalid", expected="hex digits", got="other text", do="restore the file"
        ) from error
    if len(key) != KEY_BYTES:
        raise PermanentError(
            "site-key-invalid", expected=f"{KEY_BYTES} bytes", got=f"{len(key)} bytes", do="restore the file"
        )
    return key


def _create(file: Path) -> None:
    """Write a new key durably; of several processes that start at once, one wins and all use its key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(unfinished, file)
        except FileExistsError:
            return  # another process was first: its key stands
    finally:
        unfinished.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
