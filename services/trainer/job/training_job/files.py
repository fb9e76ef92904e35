"""Files that are there as a whole or not at all: written beside their place, synced, renamed."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes so that a reader, or a start after a power failure, sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON as a whole."""
    write_whole(path, json.dumps(content, indent=2).encode())


def digest_of(data: bytes) -> str:
    """Return the digest of bytes as ``sha256:<hex>``, as the object store names it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical(content: Any) -> bytes:
    """Write JSON in the one form that digests are taken of: sorted keys, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
