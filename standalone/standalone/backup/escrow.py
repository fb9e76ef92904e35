"""The keys of a site alone, encrypted with a passphrase: kept where the site is not, for the day its disk is lost."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.adapters.site_key import parse_keys, read_keys
from ingest.domain.keys import KeyRing
from radloop.errors import Conflict, NotFound, PermanentError
from standalone.backup.sealing import open_with_passphrase, seal_with_passphrase
from standalone.layout import Layout
from standalone.setup import write_private

_FORMAT = 1


def fingerprints_of(layout: Layout) -> dict[int, str]:
    """Return the fingerprint of every version of a folder's site key, whether its platform runs or not.

    Raises
    ------
    NotFound
        ``no-site-key``: no site was ever started there.
    """
    if not layout.site_key_file.exists():
        raise NotFound(
            "no-site-key",
            expected=f"the folder of a site in {layout.folder}",
            got="one without a site key",
            do="name it with --data; a control plane has none",
        )
    return KeyRing(read_keys(layout.site_key_file)).fingerprints


def escrow_keys(layout: Layout, to: Path, passphrase: str) -> dict[int, str]:
    """Write the site key with all its versions, the tokens' secret and the site's name; return the fingerprints.

    Raises
    ------
    NotFound
        ``no-site-key``.
    Conflict
        ``escrow-exists``.
    Invalid
        ``passphrase-short``.
    """
    fingerprints = fingerprints_of(layout)
    setup = layout.setup
    content = {
        "format": _FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "site_key": layout.site_key_file.read_text(),
        "secret": layout.secret_file.read_text(),
        "setup": asdict(setup),
    }
    sealed = seal_with_passphrase(json.dumps(content).encode(), passphrase)
    try:
        with to.open("xb") as file:
            to.chmod(0o600)
            file.write(sealed)
    except FileExistsError as error:
        raise Conflict(
            "escrow-exists", expected="a file that is not there", got=str(to), do="name another one with --to"
        ) from error
    return fingerprints


def open_escrow(file: Path, passphrase: str) -> Mapping[str, Any]:
    """Decrypt an escrow file.

    Raises
    ------
    Forbidden
        ``passphrase-wrong``.
    PermanentError
        ``escrow-too-new``.
    """
    content: dict[str, Any] = json.loads(open_with_passphrase(file.read_bytes(), passphrase))
    if content["format"] > _FORMAT:
        raise PermanentError("escrow-too-new", expected=f"format {_FORMAT}", got=str(content["format"]))
    return content


def recover_keys(file: Path, passphrase: str, layout: Layout) -> dict[int, str]:
    """Put the keys of an escrow file into a folder where no platform is; return the fingerprints.

    Raises
    ------
    Conflict
        ``folder-in-use``: the folder has keys, or a platform, already.
    RadloopError
        See `open_escrow`.
    """
    content = open_escrow(file, passphrase)
    ring = KeyRing(parse_keys(content["site_key"]))
    for taken in (layout.site_key_file, layout.secret_file, layout.setup_file):
        if taken.exists():
            raise Conflict(
                "folder-in-use",
                expected="a folder without keys",
                got=f"{taken.name} in {layout.folder}",
                do="name another folder with --data: keys are never overwritten",
            )
    layout.site_key_file.parent.mkdir(parents=True, exist_ok=True)
    write_private(layout.site_key_file, content["site_key"])
    write_private(layout.secret_file, content["secret"])
    write_private(layout.setup_file, json.dumps(content["setup"], indent=2) + "\n")
    return ring.fingerprints
