"""Kafka and PostgreSQL for a benchmark: real servers on this machine, as durable as in a hospital, ended with it."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaAdminClient

from radloop.sql.ownership import apply_ownership, service_url
from standalone.engines.kafka import KafkaCluster
from standalone.engines.postgresql import PostgresqlServer
from standalone.supervisor.ports import free_ports
from standalone.supervisor.process import Program, WatchedProcess

READY_WITHIN_S = 90.0


@contextmanager
def running(*programs: Program, folder: Path) -> Iterator[None]:
    """Run programs until the end of the block."""
    processes = [WatchedProcess(program, folder / f"{program.name}.log") for program in programs]
    try:
        for process in processes:
            process.start(time.monotonic())
        deadline = time.monotonic() + READY_WITHIN_S
        while not all(process.ready for process in processes):
            for process in processes:
                process.step(time.monotonic())
            if time.monotonic() > deadline:
                raise RuntimeError(f"not ready within {READY_WITHIN_S:.0f} s")
            time.sleep(0.05)
        yield
    finally:
        for process in reversed(processes):
            process.ask_to_end()
            deadline = time.monotonic() + 10
            while not process.has_ended() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder with a short path that every user may search: PostgreSQL does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="radloop-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgresql(folder: Path, **options: str) -> Iterator[PostgresqlServer]:
    """Run PostgreSQL with options of its own beside ours."""
    server = PostgresqlServer(
        folder / "postgresql", free_ports(1)[0], secrets.token_urlsafe(16), tuple(options.items())
    )
    server.prepare()
    with running(server.program(), folder=folder):
        yield server


def database_url(server: PostgresqlServer, service: str, database: str = "radloop") -> str:
    """Make a service's role and schema, in a database that is made as well, and return its `RADLOOP_DATABASE_URL`."""
    # Roles belong to the server: with one password for all, a second database does not lock the first one's users out.
    apply_ownership(server.url_of(database), {service: server.password})
    return service_url(server.url_of(database), service, server.password)


@contextmanager
def kafka(folder: Path, *topics: str, partitions: int = 1) -> Iterator[KafkaCluster]:
    """Run one broker with topics."""
    port, controller = free_ports(2)
    cluster = KafkaCluster(folder / "kafka", [port], [controller], heap_mb=256)
    cluster.prepare()
    with running(*cluster.programs(), folder=folder):
        admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
        wanted = {name: {"num_partitions": partitions, "replication_factor": 1} for name in topics}
        admin.create_topics(wanted, wait_for_metadata=True)
        admin.close()
        yield cluster
