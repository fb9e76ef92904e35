"""The site's destinations: who takes what goes back, and how each is reached. Read once, from the file INGEST_DESTINATIONS_FILE names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingest.domain.exports import Destination, Form
from radloop.errors import PermanentError

_NAME = r"^[a-z0-9][a-z0-9-]{0,40}$"


class Archive(BaseModel):
    """A storage service class provider (PS3.4 Annex B)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: str = Field(pattern=r"^[^\\]{1,16}$")
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    timeout_s: float = Field(default=60.0, gt=0)


class Web(BaseModel):
    """A DICOMweb server (PS3.18 section 10.5)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^?#]+$")
    token_file: Path | None = None
    timeout_s: float = Field(default=60.0, gt=0)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dicom: Archive | None = None
    stow: Web | None = None
    forms: tuple[Form, ...] = Field(default=(Form.SEG,), min_length=1)
    labelmap: bool = False
    automatic: tuple[str, ...] = ()
    predictions: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "_Entry":
        if (self.dicom is None) == (self.stow is None):
            raise ValueError("exactly one of dicom and stow")
        if Form.SEG_LABELMAP in self.forms and not self.labelmap:
            raise ValueError("labelmap true where forms have seg-labelmap")
        return self


@dataclass(frozen=True, slots=True)
class Destinations:
    """All destinations of a site.

    Attributes
    ----------
    known : Mapping[str, Destination]
        By name: what goes there.
    ways : Mapping[str, Archive or Web]
        By name: how it is reached.
    """

    known: Mapping[str, Destination]
    ways: Mapping[str, Archive | Web]


def read_destinations(file: Path | None) -> Destinations:
    """Read the file; None has no destinations.

    Raises
    ------
    PermanentError
        ``destinations-unreadable``: the file is missing or not as the documentation says.
    """
    if file is None:
        return Destinations({}, {})
    try:
        told: Any = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise _unreadable("a file with one JSON object", "none, or something else") from error
    if not isinstance(told, dict):
        raise _unreadable("a JSON object of destinations by name", "something else")
    known: dict[str, Destination] = {}
    ways: dict[str, Archive | Web] = {}
    for name, body in told.items():
        entry = _entry(name, body)
        known[name] = Destination(name, entry.forms, entry.labelmap, entry.automatic, entry.predictions)
        way = entry.dicom or entry.stow
        assert way is not None  # the entry has been checked
        ways[name] = way
    return Destinations(known, ways)


class _Named(BaseModel):
    name: str = Field(pattern=_NAME)


def _entry(name: str, body: Any) -> _Entry:
    try:
        _Named(name=name)
        return _Entry.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (name, *first["loc"]))
        raise _unreadable(f"{where}: {first['msg']}", "something else there") from error


def _unreadable(expected: str, got: str) -> PermanentError:
    return PermanentError(
        "destinations-unreadable",
        expected=expected,
        got=got,
        do="mend the file that INGEST_DESTINATIONS_FILE names; docs/operate/labels-to-the-pacs.md has an example",
    )
