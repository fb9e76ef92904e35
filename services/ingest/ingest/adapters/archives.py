"""The archives (PACS) of the site, as the file INGEST_ARCHIVES_FILE lists them: settings of the site, never of a query.

Read again when it has changed. A bearer token stands in a file of its own, read when it is needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingest.domain.pulls import Way
from radloop.errors import Invalid, NotFound, PermanentError

Title = Annotated[str, Field(pattern=r"^[^\\\x00-\x1f]{1,16}$")]


class _Archive(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: Title | None = None
    host: str = ""
    port: int = Field(default=104, ge=1, le=65535)
    calling_ae_title: Title | None = None
    move_destination: Title | None = None
    web_url: str = Field(default="", pattern=r"^(https?://[^?#]+)?$")
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = Field(default=120.0, gt=0)

    @model_validator(mode="after")
    def _is_reachable(self) -> "_Archive":
        if not (self.ae_title and self.host) and not self.web_url:
            raise ValueError("ae_title and host, or web_url")
        return self


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive.

    Attributes
    ----------
    ae_title, host, port
        Where it speaks DIMSE, or empty.
    calling_ae_title : str
        As whom we ask.
    move_destination : str
        AE title under which it knows our own DICOM door; projects route by it, whichever way studies come.
    web_url : str
        Base of its DICOMweb, or empty.
    ca_file : Path or None
        Certificates that vouch for it; None: those of this machine.
    timeout_s : float
        How long it may say nothing.
    """

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    move_destination: str
    web_url: str
    bearer_token_file: Path | None
    ca_file: Path | None
    timeout_s: float

    @property
    def ways(self) -> tuple[Way, ...]:
        """How studies can be fetched from it."""
        dimse = (Way.C_MOVE, Way.C_GET) if self.host else ()
        return (*dimse, *((Way.WADO,) if self.web_url else ()))

    def token(self) -> str:
        """Return the bearer token, empty where there is none.

        Raises
        ------
        PermanentError
            ``archive-token``: its file cannot be read.
        """
        if self.bearer_token_file is None:
            return ""
        try:
            return self.bearer_token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentError(
                "archive-token",
                expected="a file with the bearer token of the archive",
                got=type(error).__name__,
                do="mend bearer_token_file in the file INGEST_ARCHIVES_FILE names",
            ) from error


class ArchivesFile:
    """The archives in a file, as they are now.

    Parameters
    ----------
    file : Path or None
        None: there are none.
    ae_title : str
        Our own, for archives that are told no other.

    Raises
    ------
    PermanentError
        ``archives-file``: it is there, and not as it should be.
    """

    def __init__(self, file: Path | None, ae_title: str) -> None:
        self._file, self._ae_title = file, ae_title
        self.all()

    def all(self) -> Mapping[str, Archive]:
        """Return the archives by name.

        Raises
        ------
        PermanentError
            ``archives-file``.
        """
        if self._file is None:
            return {}
        try:
            listed = json.loads(self._file.read_text())
            if not isinstance(listed, dict):
                raise _unreadable("an object with an archive under each name", type(listed).__name__)
            return {name: self._archive(name, _Archive.model_validate(given)) for name, given in listed.items()}
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "an archive"
            raise _unreadable(first["msg"], f"something else in {place}") from error
        except (OSError, ValueError) as error:
            raise _unreadable("a file with a JSON object", type(error).__name__) from error

    def get(self, name: str, way: Way) -> Archive:
        """Return an archive that can be asked in a way.

        Raises
        ------
        NotFound
            ``archive-unknown``.
        Invalid
            ``archive-way``: it has no address for that.
        """
        known = self.all()
        if name not in known:
            raise NotFound(
                "archive-unknown",
                expected=f"one of {', '.join(sorted(known))}" if known else "an archive that the site knows",
                got="another name" if known else "none is known",
                do="add it to the file INGEST_ARCHIVES_FILE names",
            )
        if way not in known[name].ways:
            raise Invalid(
                "archive-way",
                expected=f"one of {', '.join(known[name].ways)} for {name}",
                got=way.value,
                do="give the archive ae_title, host and port (c-move, c-get) or web_url (wado)",
            )
        return known[name]

    def _archive(self, name: str, given: _Archive) -> Archive:
        calling = given.calling_ae_title or self._ae_title
        return Archive(
            name=name,
            ae_title=given.ae_title or "",
            host=given.host,
            port=given.port,
            calling_ae_title=calling,
            move_destination=given.move_destination or self._ae_title,
            web_url=given.web_url.rstrip("/"),
            bearer_token_file=given.bearer_token_file,
            ca_file=given.ca_file,
            timeout_s=given.timeout_s,
        )


def _unreadable(expected: str, got: str) -> PermanentError:
    return PermanentError("archives-file", expected=expected, got=got, do="mend the file INGEST_ARCHIVES_FILE names")
