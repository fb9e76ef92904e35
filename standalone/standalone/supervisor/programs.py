"""What runs on one machine, with which environment: which engines they are given is said by the folder's layout."""

import os
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from radloop.errors import PermanentError
from standalone.layout import SERVICES, Layout, import_name
from standalone.supervisor.ports import HOST
from standalone.supervisor.process import Program

AE_TITLE = "RADLOOP"
CHECKOUT = Path(__file__).resolve().parents[3]


def shared_environment(layout: Layout, triton_port: int) -> dict[str, str]:
    """Return the variables every service gets: this machine's engines in this folder."""
    engines = layout.engines
    return {
        **(engines.s3.credentials if engines else {}),
        "RADLOOP_SITE": layout.setup.site,
        "RADLOOP_EVENTS_URL": layout.events_url,
        "RADLOOP_OBJECTS_URL": layout.objects_url,
        "RADLOOP_JOBS_URL": "process:",
        "RADLOOP_WORK_DIR": str(layout.work_folder.resolve()),
        "RADLOOP_TRITON_URL": f"{HOST}:{triton_port}",
        "RADLOOP_AUTH_URL": f"token:{layout.secret_file.resolve()}",
        "RADLOOP_HTTP_HOST": HOST,
    }


def own_environment(layout: Layout, dicom_port: int) -> dict[str, dict[str, str]]:
    """Return what single services need beside that, by service."""
    return {
        "ingest": {
            "INGEST_DICOM_HOST": HOST,
            "INGEST_DICOM_PORT": str(dicom_port),
            "INGEST_AE_TITLE": AE_TITLE,
            "INGEST_SITE_KEY_FILE": str(layout.site_key_file.resolve()),
            "INGEST_ARCHIVES_FILE": _if_there(layout.archives_file),
            "INGEST_TIME_ZONE": time_zone(),
            "INGEST_DESTINATIONS_FILE": _if_there(layout.destinations_file),
        },
    }


def time_zone(link: Path = Path("/etc/localtime")) -> str:
    """Return this machine's time zone by its name in the IANA database; UTC where it says none."""
    if named := os.environ.get("TZ", "").removeprefix(":"):
        return named if "/" in named and not named.startswith("/") else "UTC"
    _, found, name = str(link.resolve()).partition("/zoneinfo/")
    return name if found and "/" in name else "UTC"


def _if_there(file: Path) -> str:
    return str(file.resolve()) if file.exists() else ""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Take out what this shell says to a platform, so that one started by hand does not leak into this one."""
    prefixes = ("RADLOOP_", *(f"{import_name(service).upper()}_" for service in SERVICES))
    kept = {key: value for key, value in environment.items() if not key.startswith(prefixes)}
    for name in ("RADLOOP_LOG_LEVEL", "RADLOOP_KILL_AT", "RADLOOP_SWEEP_SHORTEST_GRACE_S"):
        if name in environment:
            kept[name] = environment[name]
    # Two cores are shared by all: a thread pool of its own size in each of nine processes only gets in the way.
    kept.setdefault("OMP_NUM_THREADS", "2")
    kept.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A thread of torch that waits for another gives its core back instead of spinning on it.
    kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return kept


def service_programs(
    layout: Layout,
    addresses: Mapping[str, str],
    *,
    triton_port: int,
    dicom_port: int,
    environment: Mapping[str, str],
    overrides: Mapping[str, str],
) -> list[Program]:
    """Describe the services of this folder's plane.

    Parameters
    ----------
    layout
        The data folder.
    addresses
        ``http://host:port`` of each service.
    triton_port, dicom_port
        Where Triton's gRPC and where C-STORE are.
    environment
        The shell's own.
    overrides
        Variables of single services that somebody wants otherwise, e.g. ``QA_...``.
    """
    base = clean_environment(environment) | shared_environment(layout, triton_port)
    own = own_environment(layout, dicom_port)
    programs = []
    for name in layout.setup.services:
        prefix = f"{import_name(name).upper()}_"
        mine = {
            "RADLOOP_HTTP_PORT": addresses[name].rpartition(":")[2],
            "RADLOOP_DATABASE_URL": layout.database_url(name),
        }
        wanted = {key: value for key, value in overrides.items() if key.startswith(prefix)}
        programs.append(
            Program(
                name,
                [],
                base | own.get(name, {}) | wanted | mine,
                is_ready=_answers(f"{addresses[name]}/readyz"),
                module=import_name(name),
            )
        )
    return programs


def gateway_program(layout: Layout, url: str, environment: Mapping[str, str]) -> Program:
    """Describe the one door."""
    return Program(
        "gateway",
        ["--data", str(layout.folder.resolve())],
        clean_environment(environment),
        is_ready=_answers(f"{url}/livez"),
        module="standalone.gateway",
    )


def triton_program(layout: Layout, environment: Mapping[str, str], ports: tuple[int, int, int]) -> Program:
    """Describe the Triton server.

    Parameters
    ----------
    ports
        Of HTTP, gRPC and metrics.

    Raises
    ------
    PermanentError
        The server is not installed, or does not run with this interpreter.
    """
    from bundle_runner.server import TritonUnavailable, triton_command

    http_port, grpc_port, metrics_port = ports
    try:
        arguments, variables = triton_command(
            triton_wheel(environment),
            layout.triton_folder.resolve(),
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            host=HOST,
            threads=2,
        )
    except TritonUnavailable as error:
        raise PermanentError("triton-unavailable", got=str(error)) from error
    whole = clean_environment(environment) | variables
    return Program("triton", arguments, whole, is_ready=_answers(f"http://{HOST}:{http_port}/v2/health/ready"))


def triton_wheel(environment: Mapping[str, str]) -> Path:
    """Return the folder scripts/bootstrap installs the Triton server into; `RADLOOP_TRITON_WHEEL` names another."""
    return Path(environment.get("RADLOOP_TRITON_WHEEL", "") or CHECKOUT / ".triton")


def _answers(url: str) -> Callable[[], bool]:
    parts = urlsplit(url)

    def is_ready() -> bool:
        connection = HTTPConnection(parts.hostname or HOST, parts.port, timeout=2)
        try:
            connection.request("GET", parts.path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    return is_ready
