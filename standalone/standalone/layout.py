"""Where things are in a data folder, and the file by which commands find the platform that runs in it.

One folder holds everything one platform has: event log, databases, objects, running work, logs, the site's secret. Nothing
is written elsewhere, so a platform is moved or removed with its folder.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from radloop.errors import NotFound, PermanentError
from standalone.engines.real import RealEngines
from standalone.setup import SERVICES, Engines, Setup, read_setup, write_private

__all__ = ["DEFAULT_FOLDER", "SERVICES", "Layout", "Platform", "import_name", "read_platform"]

DEFAULT_FOLDER = Path(".radloop")


def import_name(service: str) -> str:
    """Return the package of a service: ``edge-miner`` is ``edge_miner``."""
    return service.replace("-", "_")


@dataclass(frozen=True)
class Layout:
    """The paths of one data folder; making it touches nothing."""

    folder: Path

    @property
    def platform_file(self) -> Path:
        """Written while a platform runs: see `Platform`."""
        return self.folder / "platform.json"

    @property
    def lock_file(self) -> Path:
        """Locked while a platform runs."""
        return self.folder / "lock"

    @property
    def processes_file(self) -> Path:
        """Who runs: name, process id, start time, readiness; the next start ends what a crash left behind."""
        return self.folder / "processes.json"

    @property
    def secret_file(self) -> Path:
        """The secret that signs this site's tokens, mode 0600."""
        return self.folder / "auth" / "secret"

    @property
    def site_key_file(self) -> Path:
        """The key behind every pseudonym: back it up, never change it."""
        return self.folder / "auth" / "site-key"

    @property
    def archives_file(self) -> Path:
        """The archives (PACS) that studies may be pulled from; read where it is there at the start."""
        return self.folder / "archives.json"

    @property
    def destinations_file(self) -> Path:
        """The archives (PACS) that labels may be sent to; read where it is there at the start."""
        return self.folder / "destinations.json"

    @property
    def setup_file(self) -> Path:
        """What the folder was made with: see `standalone.setup`."""
        return self.folder / "setup.json"

    @property
    def setup(self) -> Setup:
        """What the folder was made with; the default where no platform was started yet."""
        return read_setup(self.setup_file) or Setup()

    @property
    def engines_file(self) -> Path:
        """Addresses and passwords of the real engines, where there are any."""
        return self.folder / "engines.json"

    @property
    def engines_folder(self) -> Path:
        """What the real engines keep."""
        return self.folder / "engines"

    @property
    def engines(self) -> RealEngines | None:
        """The folder's real engines; None where the embedded ones serve. They are chosen when first asked for."""
        setup = self.setup
        if setup.engines is Engines.EMBEDDED:
            return None
        if not self.engines_file.exists():
            made = RealEngines.make(self.engines_folder, brokers=setup.brokers, services=setup.services)
            made.write(self.engines_file)
        return RealEngines.read(self.engines_file)

    @property
    def events_file(self) -> Path:
        """The embedded event log."""
        return self.folder / "events.db"

    @property
    def events_url(self) -> str:
        """The event log, as `radloop.events` opens it."""
        engines = self.engines
        return engines.events_url if engines else f"sqlite:///{self.events_file.resolve()}"

    def database_url(self, service: str) -> str:
        """Return the state of a service, as `radloop.sql` opens it."""
        engines = self.engines
        return engines.database_url(service) if engines else f"sqlite:///{self.state_folder.resolve()}"

    @property
    def state_folder(self) -> Path:
        """One SQLite file per service."""
        return self.folder / "state"

    @property
    def objects_folder(self) -> Path:
        """The object store."""
        return self.folder / "objects"

    @property
    def objects_url(self) -> str:
        """The object store, as `radloop.objects` opens it."""
        engines = self.engines
        return engines.objects_url if engines else f"file://{self.objects_folder.resolve()}"

    @property
    def work_folder(self) -> Path:
        """Files of running work: training jobs."""
        return self.folder / "work"

    @property
    def triton_folder(self) -> Path:
        """Triton's backends and model repository."""
        return self.folder / "triton"

    @property
    def logs_folder(self) -> Path:
        """One log per process."""
        return self.folder / "logs"

    @property
    def demo_file(self) -> Path:
        """What a demo was started with."""
        return self.folder / "demo.json"

    @property
    def report_folder(self) -> Path:
        """What a demo brought: tables, plots, one page."""
        return self.folder / "report"


@dataclass(frozen=True)
class Platform:
    """A platform that runs, as its supervisor wrote it down.

    Attributes
    ----------
    url
        The one door: every service is behind it, under its name.
    pid
        Process id of the supervisor.
    services
        Address of each service behind the door, by name.
    dicom_host, dicom_port, dicom_ae_title
        Where C-STORE goes.
    login_code
        Opens the browser's session once.
    ready
        Whether everything answered since the start.
    owner
        Process id of the command that this platform lives and dies with; 0 for none.
    """

    url: str
    pid: int
    services: dict[str, str]
    dicom_host: str
    dicom_port: int
    dicom_ae_title: str
    login_code: str
    ready: bool
    owner: int = 0

    def write(self, layout: Layout) -> None:
        """Write it down for this user alone, whole or not at all."""
        write_private(layout.platform_file, json.dumps(asdict(self), indent=2))


def read_platform(layout: Layout) -> Platform:
    """Find the platform that runs in a data folder.

    Raises
    ------
    NotFound
        None runs there.
    PermanentError
        The file is of another release.
    """
    try:
        values = json.loads(layout.platform_file.read_text())
    except FileNotFoundError as error:
        raise NotFound(
            "platform-not-running",
            expected=f"a platform running in {layout.folder}",
            got="none",
            do=f"start it with: radloop up --data {layout.folder}   (or name another folder with --data)",
        ) from error
    try:
        platform = Platform(**values)
    except TypeError as error:
        raise PermanentError(
            "platform-file", expected="a file of this release", got="another", do="stop that platform and start it anew"
        ) from error
    if not _is_alive(platform.pid):
        raise NotFound(
            "platform-not-running",
            expected=f"a platform running in {layout.folder}",
            got="one that has ended without saying so",
            do=f"start it again with: radloop up --data {layout.folder}",
        )
    return platform


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
