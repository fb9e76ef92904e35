"""Settings from the environment: shared ones `RADLOOP_*`, a service's own `<SERVICE>_*`. Read once, in ``__main__``.

A misspelt variable stops the start: pydantic-settings alone ignores it, so `load` looks for unknown names itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from radloop.errors import PermanentError

_ELSEWHERE = {"RADLOOP_DATA", "RADLOOP_KILL_AT", "RADLOOP_TOKEN", "RADLOOP_TRITON_WHEEL", "RADLOOP_URL"}
"""Variables of the `radloop` command and of the tests, which share the prefix."""


def settings_config(prefix: str) -> SettingsConfigDict:
    """Return the configuration of a settings class whose variables begin with ``prefix``."""
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="forbid", use_attribute_docstrings=True)


class SharedSettings(BaseSettings):
    """What every service needs to know about the machine it runs on."""

    model_config = settings_config("RADLOOP_")

    site: str = Field(default="site-1", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    """Name of this site: lower-case letters, digits and "-". Part of every case's identity: never change it."""

    events_url: str
    """Event log: sqlite:///<file> or kafka://[user:password@]host:port[,host:port]?tls=true&ca=<file>&mechanism=SCRAM-SHA-512."""

    database_url: str
    """State: sqlite:///<folder>, one file per service in it, or postgresql+psycopg://role:password@host:port/database."""

    database_pool_size: int = Field(default=8, ge=2, le=200)
    """Most connections to PostgreSQL of one process; one more is the relay's."""

    objects_url: str
    """Object store: file:///<folder> or s3://<bucket>[/prefix][?endpoint=...]. Jobs of a cluster need s3."""

    jobs_url: str = "process:"
    """What runs training jobs: process: (this machine) or kubernetes: (Jobs of a cluster; see TRAINER_JOB_*)."""

    triton_url: str = "127.0.0.1:8001"
    """host:port[,host:port] of Triton's gRPC endpoints. Each address a name stands for is a replica, as those of a headless Service."""

    auth_url: str
    """Identity: token:<file with the site's secret>, or oidc+https://<issuer>?audience=...&client_id=...[&roles_claim=roles]."""

    public_url: str = Field(default="", pattern=r"^(https?://[^/?#]+)?$")
    """Address browsers use, e.g. https://radloop.example.org: where an identity provider sends them back to."""

    client_secret: SecretStr = SecretStr("")
    """Secret of the client that browsers sign in with; empty for a public client."""

    session_secret: SecretStr = SecretStr("")
    """Signs what a browser keeps while it signs in, 32 characters or more, the same in all replicas; empty makes one."""

    http_host: str = "127.0.0.1"
    """Address the service's HTTP API listens on."""

    http_port: int = Field(default=0, ge=0, le=65535)
    """Port of the HTTP API; 0 takes a free one."""

    work_dir: Path = Path(".radloop/work")
    """Folder for files of running work, e.g. training jobs; may be emptied when nothing runs."""

    sweep_shortest_grace_s: float = Field(default=600.0, ge=0)
    """Shortest grace in seconds that `radloop objects sweep` may be given: writers refer to what they put within it."""

    log_level: str = "info"
    """Least severe level that is logged: debug, info, warning or error."""


class ServiceSettings(BaseSettings):
    """Base of a service's own settings; `shared` is read from `RADLOOP_*`."""

    shared: SharedSettings = Field(default_factory=SharedSettings)  # type: ignore[arg-type]


_Settings = TypeVar("_Settings", bound=BaseSettings)


def load(cls: type[_Settings], environ: Mapping[str, str] = os.environ) -> _Settings:
    """Read a settings class from the environment.

    Raises
    ------
    PermanentError
        When a variable is unknown, missing or out of range; the message names it.
    """
    for known in (SharedSettings, cls):
        prefix = known.model_config["env_prefix"]
        names = {f"{prefix}{name}".upper() for name in known.model_fields if name != "shared"} | _ELSEWHERE
        if unknown := sorted(name for name in environ if name.startswith(prefix) and name not in names):
            raise PermanentError(
                "setting-unknown",
                expected=f"one of {', '.join(sorted(names - _ELSEWHERE))}",
                got=", ".join(unknown),
                do="mend the name or remove the variable",
            )
    try:
        return cls()
    except SettingsError as error:
        raise _unreadable(cls, error) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else ""
        prefix = (SharedSettings if name in SharedSettings.model_fields else cls).model_config["env_prefix"]
        raise PermanentError(
            "setting-invalid", expected=first["msg"], got=f"{prefix}{name}".upper(), do="set the environment variable"
        ) from error


def _unreadable(cls: type[BaseSettings], error: SettingsError) -> PermanentError:
    """Say which variable is no JSON; pydantic-settings says its field only, in words."""
    name = str(error).split('"')[1]
    prefix = cls.model_config["env_prefix"] if name in cls.model_fields else SharedSettings.model_config["env_prefix"]
    return PermanentError(
        "setting-invalid", expected="JSON", got=f"{prefix}{name}".upper(), do="set the environment variable"
    )


def table(cls: type[BaseSettings]) -> str:
    """Return the settings of a class as a Markdown table, for its README."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in cls.model_fields.items():
        if name == "shared":
            continue
        default: Any = (
            "required" if field.is_required() else f"`{field.default}`" if field.default not in (None, "") else "empty"
        )
        meaning = " ".join((field.description or "").split())
        rows.append(f"| `{cls.model_config['env_prefix']}{name.upper()}` | {default} | {meaning} |")
    return "\n".join(rows)
