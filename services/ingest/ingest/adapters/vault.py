"""What must be kept identified at the site, encrypted with keys derived from the site key."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from radloop.errors import PermanentError


class Vault:
    """Encrypts and decrypts (Fernet: AES-128-CBC with HMAC-SHA256).

    Parameters
    ----------
    keys : callable
        Returns keys of 32 bytes, newest first, see `KeyRing.vault_keys`: the first seals, all open.
    """

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._keys = keys

    def seal(self, data: bytes) -> bytes:
        """Encrypt with the newest key; the same data gives other bytes every time."""
        return self._fernet().encrypt(data)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt.

        Raises
        ------
        PermanentError
            When the bytes are damaged or were sealed with another site key.
        """
        try:
            return self._fernet().decrypt(sealed)
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

    def _fernet(self) -> MultiFernet:
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in self._keys()])
