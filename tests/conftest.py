"""Real servers for every test that asks: each is started once, when first wanted, and ended with the session."""

import gc
import secrets
import shutil
import tempfile
import threading
import time
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from xdist.scheduler import LoadFileScheduling

from radloop.testing.databases import ENGINES, FreshDatabases, migrate_all
from standalone.engines.kafka import KafkaCluster
from standalone.engines.postgresql import PostgresqlServer
from standalone.engines.s3 import S3Server
from standalone.layout import SERVICES, import_name
from standalone.supervisor.ports import free_ports
from standalone.supervisor.process import WatchedProcess

READY_WITHIN_S = 180.0
MIGRATIONS = {service: f"{import_name(service)}.adapters.migrations" for service in SERVICES}

TESTS = Path(__file__).parent


def _scope(file: str) -> str:
    """Return what is handed to one worker: a file, or all files of the reading room, which share a platform."""
    return "reading_room" if "/reading_room/" in file else file


def _runs_a_platform(scope: str) -> bool:
    """Whether the tests of a scope start a platform, with all its processes."""
    return scope == "reading_room" or any(f"{folder}/" in scope for folder in ("chaos", "e2e", "privacy"))


def pytest_collection_modifyitems(items):
    """Put those that start a platform first: they take the longest."""
    items.sort(key=lambda item: not _runs_a_platform(_scope(str(item.path.relative_to(TESTS)))))


def pytest_collection_finish():
    """What was imported for all tests is never garbage: the collector need not look at it each time."""
    gc.collect()
    gc.freeze()


class _Files(LoadFileScheduling):
    """Gives a worker whole scopes, and never two of them a platform while there is something else to do.

    A platform and the test that waits for it keep about a core busy, by fits and starts; other tests fill the gaps.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _scope(super()._split_scope(nodeid))

    def _assign_work_unit(self, node) -> None:
        given = (unit for units in self.assigned_work.values() for unit in units.items())
        is_busy = any(_runs_a_platform(scope) and not all(tests.values()) for scope, tests in given)
        fitting = (scope for scope in self.workqueue if not (is_busy and _runs_a_platform(scope)))
        self.workqueue.move_to_end(next(fitting, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config, log):
    """Hand the tests out in our way."""
    return _Files(config, log)


class Running:
    """Processes that belong to a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: list[WatchedProcess] = []

    def start(self, *programs) -> None:
        """Start programs and wait until each answers."""
        new = [WatchedProcess(program, self._folder / f"{program.name}.log") for program in programs]
        self.processes += new
        for process in new:
            process.start(time.monotonic())
        deadline = time.monotonic() + READY_WITHIN_S
        pause = threading.Event()
        while not all(process.ready for process in new):
            for process in new:
                if process.step(time.monotonic()) == "died":
                    raise RuntimeError(f"{process.program.name} died: {process.last_lines(20)}")
            if time.monotonic() > deadline:
                late = [process.program.name for process in new if not process.ready]
                raise RuntimeError(f"not ready within {READY_WITHIN_S} s: {late}; {new[0].last_lines(20)}")
            pause.wait(0.05)

    def end(self) -> None:
        """End them, the last one first."""
        for process in reversed(self.processes):
            process.ask_to_end()
            deadline = time.monotonic() + 5
            while not process.has_ended() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()


@pytest.fixture(scope="session")
def engines_folder():
    """A folder with a short path that every user may search: PostgreSQL does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="radloop-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def running(engines_folder):
    """What the session's servers run in."""
    running = Running(engines_folder)
    yield running
    running.end()


@pytest.fixture(scope="session")
def kafka(engines_folder, running):
    """One broker without security; make topics of your own."""
    port, controller = free_ports(2)
    cluster = KafkaCluster(engines_folder / "kafka", [port], [controller])
    cluster.prepare()
    running.start(*cluster.programs())
    return cluster


@pytest.fixture(scope="session")
def postgresql(engines_folder, running):
    """A server that forgets with the power, for speed; make databases or schemas of your own."""
    fast = (("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"))
    server = PostgresqlServer(engines_folder / "postgresql", free_ports(1)[0], secrets.token_urlsafe(16), fast)
    server.prepare()
    running.start(server.program())
    # Thousands of connections are opened: a password that is guessed a little sooner costs each half as much.
    with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET scram_iterations = 1")
        connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(server.password))
    return server


@pytest.fixture(scope="session")
def fresh_databases(postgresql):
    """Databases of their own for tests, each with the schemas of all services."""
    return FreshDatabases(postgresql.url, [*SERVICES, "bench", "test"], MIGRATIONS)


@pytest.fixture(scope="session")
def migrated_folder(tmp_path_factory):
    """The SQLite databases of all services, migrated."""
    folder = tmp_path_factory.mktemp("migrated")
    migrate_all(f"sqlite:///{folder}", MIGRATIONS)
    return folder


@pytest.fixture
def make_database(request, tmp_path):
    """Make databases without rows: ``make_database("postgresql")`` returns a `RADLOOP_DATABASE_URL`; all are gone at the end.

    They have the tables that a service makes at its start, or, where wanted ``empty``, none.
    """
    made = []

    def make(engine: str, *, empty: bool = False) -> str:
        if engine == "sqlite":
            folder = tmp_path / f"state-{len(made)}"
            if not empty:
                shutil.copytree(request.getfixturevalue("migrated_folder"), folder)
            made.append(f"sqlite:///{folder}")
        else:
            made.append(request.getfixturevalue("fresh_databases").make(empty=empty))
        return made[-1]

    yield make
    for url in made:
        if not url.startswith("sqlite"):
            request.getfixturevalue("fresh_databases").drop(url)


@pytest.fixture(params=ENGINES)
def database_url(request, make_database):
    """A database without rows on either engine: a test that asks runs twice."""
    return make_database(request.param)


@pytest.fixture(params=ENGINES)
def empty_database_url(request, make_database):
    """A database without tables on either engine: a test that asks runs twice."""
    return make_database(request.param, empty=True)


@pytest.fixture(scope="session")
def s3(engines_folder, running):
    """One S3 server with an empty bucket; use a prefix of your own."""
    server = S3Server(engines_folder / "s3", free_ports(1)[0], "radloop", secrets.token_urlsafe(16))
    server.prepare()
    running.start(server.program())
    return server


@pytest.fixture
def objects_url(request, tmp_path, monkeypatch):
    """An empty object store: S3 beside PostgreSQL, files beside SQLite, so that a test that asks for both runs twice only."""
    engine = getattr(request.node, "callspec", None)
    if engine is None or engine.params.get("database_url") != "postgresql":
        return f"file://{tmp_path}/objects"
    server = request.getfixturevalue("s3")
    for name, value in server.credentials.items():
        monkeypatch.setenv(name, value)
    bucket, _, options = server.url.partition("?")
    return f"{bucket}/{uuid.uuid4().hex}?{options}"


@pytest.fixture(scope="session")
def chromium_path():
    """The browser of the pages' tests. Where nobody may install one, they are skipped by this reason; the rest runs."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: scripts/browser installs it as root, and says what to type otherwise")
    return found
