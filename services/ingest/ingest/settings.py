"""Settings of `ingest`, read once in ``__main__``."""

from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from radloop.settings import ServiceSettings, settings_config


class IngestSettings(ServiceSettings):
    """What `ingest` needs to know beside the shared settings."""

    model_config = settings_config("INGEST_")

    dicom_host: str = "127.0.0.1"
    """Address the DICOM port listens on; 0.0.0.0 for the whole network."""

    dicom_port: int = Field(default=11112, ge=0, le=65535)
    """TCP port for C-STORE and C-ECHO; 0 takes a free one."""

    ae_title: str = Field(default="RADLOOP", pattern=r"^[A-Z0-9_-]{1,16}$")
    """AE title this service answers as. Senders may call it by others: projects route by the title that was called."""

    max_associations: int = Field(default=10, ge=1)
    """Associations open at the same time; further ones are refused for the moment."""

    calling_ae_titles: str = ""
    """AE titles of the senders that are known, separated by commas; empty: whoever reaches the port may send."""

    largest_object_bytes: int = Field(default=2 << 30, ge=1 << 20)
    """Largest instance a sender may send, in bytes; it is held in memory. The association of a larger one is ended."""

    sender_timeout_s: float = Field(default=60.0, gt=0)
    """How long a sender may say nothing, or take for one PDU (128 KiB), before its association is ended; seconds."""

    site_key_file: Path = Path(".radloop/site-key")
    """File of the key behind every pseudonym, made on the first start (mode 0600). Back it up; change it by `radloop keys` only."""

    profile_file: Path | None = None
    """JSON file of the site's profile of de-identification (docs/operate/profile.md); none: the Basic Profile with modified dates."""

    retention_file: Path | None = None
    """JSON file of how long studies are kept, project by project (docs/operate/privacy.md); none: until they are withdrawn."""

    retention_interval_s: float = Field(default=3600.0, gt=0)
    """How often the retention rules are looked at; seconds."""

    release_persons: int = Field(default=1, ge=1, le=2)
    """How many people have to look before something leaves quarantine; 2: one proposes, another one releases."""

    quiet_s: float = Field(default=10.0, ge=0)
    """A study is complete when nothing of it came for this many seconds."""

    broken_quiet_s: float = Field(default=600.0, ge=0)
    """The same where more is likely to come: its association broke off, was cut by a restart of this service, or is still open
    with this study as its last; seconds."""

    largest_upload_bytes: int = Field(default=2 << 30, ge=1)
    """Largest body of an upload, in bytes; it is held in memory."""

    archives_file: Path | None = None
    """JSON file with the archives (PACS) that studies may be pulled from; empty: none. What it holds: docs/operate/connect-pacs.md."""

    destinations_file: Path | None = None
    """JSON file of the archives labels may be sent to, and how; empty: none leave. What it holds: docs/operate/labels-to-the-pacs.md."""

    time_zone: str = "UTC"
    """Time zone of the site, e.g. Europe/Berlin: the window of a pull is by its clocks."""

    @field_validator("archives_file", "destinations_file", mode="before")
    @classmethod
    def _no_file(cls, text: object) -> object:
        return text or None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, text: str) -> str:
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("a time zone of the IANA database, e.g. Europe/Berlin") from error
        return text

    @field_validator("calling_ae_titles")
    @classmethod
    def _titles(cls, text: str) -> str:
        if any(not 1 <= len(title) <= 16 or "\\" in title for title in titles_in(text)):
            raise ValueError("AE titles of 1 to 16 characters, separated by commas")
        return text


def titles_in(text: str) -> list[str]:
    """Return the AE titles of a list separated by commas."""
    return [title.strip() for title in text.split(",") if text.strip()]
