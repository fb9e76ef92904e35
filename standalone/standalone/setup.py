"""What a platform's folder was made with: site, plane, engines. Decided by the first start, the same for every further one."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from radloop.errors import Conflict, PermanentError

SERVICES = ("control-plane", "ingest", "inference", "edge-miner", "labeling", "qa", "trainer")
"""The seven services of the design's table, in the order they are shown; a new one is one word here."""


class Plane(StrEnum):
    """Which half of the platform runs in a folder."""

    ALL = "all"
    CONTROL = "control"
    DATA = "data"


class Engines(StrEnum):
    """What events, state and objects are kept by."""

    EMBEDDED = "embedded"
    """SQLite and a folder."""
    REAL = "real"
    """Apache Kafka, PostgreSQL and an S3 server, each started in the folder."""


@dataclass(frozen=True)
class Setup:
    """How a folder's platform is put together.

    Attributes
    ----------
    site
        Name of the site; part of every case's identity.
    plane
        Which services run.
    engines
        Embedded or real.
    brokers
        Kafka brokers, 1 or 3; with real engines.
    control_plane_events
        For a data plane: ``kafka://…`` of the control plane's Kafka, which the mirror dials; empty for none.
    mirror_notes
        Under another word the mirror forgets how far it was and carries everything again, which the inboxes make harmless.
        Set when a plane was restored: its offsets began anew.
    """

    site: str = "site-1"
    plane: Plane = Plane.ALL
    engines: Engines = Engines.EMBEDDED
    brokers: int = 1
    control_plane_events: str = ""
    mirror_notes: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises
        ------
        PermanentError
            ``setup-inconsistent``.
        """
        if self.brokers not in (1, 3):
            raise PermanentError("setup-inconsistent", expected="1 or 3 brokers", got=f"{self.brokers}")
        if self.control_plane_events and (self.plane is not Plane.DATA or self.engines is not Engines.REAL):
            raise PermanentError(
                "setup-inconsistent",
                expected="--plane data and --engines real where a control plane's Kafka is named",
                got=f"--plane {self.plane} and --engines {self.engines}",
                do="add them, or leave --control-plane-events out",
            )

    @property
    def services(self) -> tuple[str, ...]:
        """The services that run here."""
        if self.plane is Plane.ALL:
            return SERVICES
        return tuple(name for name in SERVICES if (name == "control-plane") == (self.plane is Plane.CONTROL))


def read_setup(file: Path) -> Setup | None:
    """Return what a folder was made with; None where no platform was started yet."""
    try:
        stored = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    return Setup(**stored | {"plane": Plane(stored["plane"]), "engines": Engines(stored["engines"])})


def settle_setup(file: Path, asked: Mapping[str, Any]) -> Setup:
    """Return what a folder's platform is made with, and write it down at the first start.

    Parameters
    ----------
    file
        Where it is kept.
    asked
        The fields of `Setup` that this start names; the others are as they were made, or the default.

    Raises
    ------
    Conflict
        The folder was made otherwise.
    PermanentError
        See `Setup`.
    """
    made = read_setup(file)
    if made is None:
        made = Setup(**asked)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, json.dumps(asdict(made), indent=2) + "\n")
    differing = [name for name, value in asked.items() if getattr(made, name) != value]
    if differing:
        raise Conflict(
            "folder-made-otherwise",
            expected=", ".join(f"{name} {getattr(made, name) or 'none'}" for name in differing),
            got=", ".join(f"{name} {asked[name] or 'none'}" for name in differing),
            do="leave these options out, or choose another folder with --data",
        )
    return made


def write_private(file: Path, text: str) -> None:
    """Write a file for this user alone, whole or not at all."""
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    unfinished.rename(file)
