"""What a backup says of itself: when, of what, by which release, and the digest of every part. Plain JSON, no secret, no patient."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from radloop.errors import NotFound, PermanentError
from standalone.backup.sealing import Sealed, sealed_of

FORMAT = 1
MANIFEST = "manifest.json"
IDENTITY = "identity.age"
"""The backup's own identity, encrypted with its passphrase."""
FOLDER = "folder.tar.age"
"""Keys and settings of the folder."""
EVENTS = "events.age"
DATABASE = "database-{}.age"
OBJECTS = "objects-{:05d}.tar.age"
OBJECTS_INDEX = "objects.index.age"


@dataclass(frozen=True)
class Manifest:
    """One backup.

    Attributes
    ----------
    release
        Version of the `radloop` command that made it.
    made_at
        Moment of the cut, UTC, ISO 8601: everything acknowledged before it is in the backup.
    site, plane, engines
        As in the folder's setup.
    services
        Whose databases are in it.
    parts
        Files of the backup, by name.
    events
        Records of the event log, by topic.
    objects
        Number of objects; None when they were left out.
    recipients
        Who can open it beside the passphrase.
    format
        Of the backup; grows when an older release could not read it.
    """

    release: str
    made_at: str
    site: str
    plane: str
    engines: str
    services: tuple[str, ...]
    parts: Mapping[str, Sealed]
    events: Mapping[str, int] = field(default_factory=dict)
    objects: int | None = None
    recipients: tuple[str, ...] = ()
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it as the last file of a backup: a backup without one is unfinished."""
        unfinished = folder / f"{MANIFEST}.new"
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.rename(folder / MANIFEST)

    def check_parts(self, folder: Path) -> None:
        """Compare every part with its digest; needs no passphrase.

        Raises
        ------
        PermanentError
            ``backup-damaged``, with the names of the parts.
        """
        wrong = [name for name, sealed in self.parts.items() if not _is(folder / name, sealed)]
        if wrong:
            raise PermanentError(
                "backup-damaged",
                expected=f"{len(self.parts)} parts with the digests of {MANIFEST}",
                got=f"missing or other bytes: {', '.join(wrong)}",
                do="copy the backup again from where it was kept, or take another one",
            )


def this_release() -> str:
    """Return the version of this command."""
    return version("radloop-standalone")


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's manifest.

    Raises
    ------
    NotFound
        ``no-backup``: there is none, or one that was never finished.
    PermanentError
        ``backup-too-new``, or ``backup-damaged`` when it cannot be read.
    """
    try:
        stored: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        release, found_format = Version(stored["release"]), int(stored["format"])
    except FileNotFoundError as error:
        raise NotFound(
            "no-backup",
            expected=f"a finished backup in {folder}",
            got=f"no {MANIFEST}",
            do="name the folder that radloop backup create --to made; one that was cut short is of no use",
        ) from error
    except (ValueError, KeyError, TypeError, InvalidVersion) as error:
        raise PermanentError("backup-damaged", expected=f"a readable {MANIFEST}", got="other bytes") from error
    if found_format > FORMAT or release > Version(this_release()):
        raise PermanentError(
            "backup-too-new",
            expected=f"a backup by release {this_release()} or older",
            got=f"one by release {release}",
            do=f"restore it with release {release} or newer",
        )
    for name in ("services", "recipients"):
        stored[name] = tuple(stored[name])
    stored["parts"] = {name: Sealed(**sealed) for name, sealed in stored["parts"].items()}
    return Manifest(**stored)


def _is(file: Path, sealed: Sealed) -> bool:
    return file.is_file() and file.stat().st_size == sealed.size_bytes and sealed_of(file) == sealed
