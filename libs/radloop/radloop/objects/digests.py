"""What every engine agrees on: which keys there are, and how bytes are named by their digest."""

import base64
import hashlib
import re
from pathlib import Path

from radloop.errors import Invalid

_KEY = re.compile(r"[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)*")


def digest_of_file(path: Path) -> str:
    """Return the digest of a file's bytes as ``sha256:<hex>``."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def checksum_of(digest: str) -> str:
    """Return a digest as S3 and HTTP write it: base64."""
    return base64.b64encode(bytes.fromhex(digest.removeprefix("sha256:"))).decode()


def checked_key(key: str) -> str:
    """Return a key that every engine can hold.

    Raises
    ------
    Invalid
        When it is none, e.g. a path that climbs.
    """
    if not _KEY.fullmatch(key) or any(part.startswith(".") for part in key.split("/")):
        raise Invalid("object-key-invalid", expected="letters, digits and ._:- in parts joined by /", got="another key")
    return key
