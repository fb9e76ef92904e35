"""One moment of the real engines: a snapshot of all schemas in PostgreSQL, and a mark in Kafka, that no transaction lies across.

Every service's turn to write is held while PostgreSQL exports a snapshot and Kafka is asked for its ends (a fraction of a
second). Rows that a relay has deleted by then are before the mark; what is after the mark is in no snapshot. The dumps
and the export of the records take their time afterwards, while the services go on.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from kafka import KafkaAdminClient

from radloop.errors import PermanentError
from radloop.events import EventLog
from radloop.events.kafka.address import KafkaAddress
from radloop.sql.postgresql import lock_key, parse_url, schema_of
from standalone.backup.events import Mark, mark
from standalone.backup.sealing import Sealed, Sealer
from standalone.engines.installation import postgresql
from standalone.engines.real import DATABASE, RealEngines

PATIENCE_S = 30.0


@dataclass(frozen=True)
class RealMoment:
    """Name of the exported snapshot, and the mark in the log."""

    snapshot: str
    mark: Mark


@contextlib.contextmanager
def one_moment(engines: RealEngines, log: EventLog, services: Sequence[str]) -> Iterator[RealMoment]:
    """Hold the snapshot until the block ends."""
    superuser = parse_url(engines.postgresql.url).set(database=DATABASE)
    server = sa.create_engine(superuser, poolclass=sa.NullPool)
    groups = all_groups(engines)
    with server.connect() as reading:
        reading = reading.execution_options(isolation_level="REPEATABLE READ")
        with server.begin() as turns:
            turns.exec_driver_sql(f"SET LOCAL lock_timeout = '{round(PATIENCE_S * 1000)}'")
            for service in services:
                turns.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock_key(schema_of(service), 'writer')})")
            snapshot = reading.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
            marked = mark(log, groups)
        yield RealMoment(snapshot, marked)
        reading.rollback()


def all_groups(engines: RealEngines) -> list[str]:
    """Return every consumer group of the cluster: the services', and those of whoever else subscribes."""
    admin = KafkaAdminClient(**KafkaAddress.parse(engines.events_url).client_options())
    try:
        return sorted({group["group_id"] for group in admin.list_groups()})
    finally:
        admin.close()


def save_schema(engines: RealEngines, service: str, snapshot: str, sealer: Sealer, file: Path) -> Sealed:
    """Dump a service's schema as it was at the snapshot.

    Raises
    ------
    PermanentError
        ``database-not-dumped``.
    """
    url = parse_url(engines.postgresql.url).set(database=DATABASE)
    arguments = ["--format=custom", f"--snapshot={snapshot}", f"--schema={schema_of(service)}"]
    with _client("pg_dump", url, arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        sealed = sealer.seal_stream(process.stdout, file)
        _finish(process, "database-not-dumped")
    return sealed


def load_schema(engines: RealEngines, service: str, dump: Path) -> None:
    """Restore a dump into the service's empty schema, as the service's own role.

    Raises
    ------
    PermanentError
        ``database-not-restored``.
    """
    url = parse_url(engines.database_url(service))
    arguments = ["--no-owner", "--no-acl", "--exit-on-error", "--single-transaction"]
    arguments += [f"--schema={schema_of(service)}", str(dump)]
    with _client("pg_restore", url, arguments, stdout=subprocess.DEVNULL) as process:
        _finish(process, "database-not-restored")


def _client(program: str, url: sa.URL, arguments: list[str], *, stdout: int) -> "subprocess.Popen[bytes]":
    address = [f"--host={url.host}", f"--port={url.port}", f"--username={url.username}", f"--dbname={url.database}"]
    return subprocess.Popen(
        [str(postgresql(program)), "--no-password", *address, *arguments],
        # A password among the arguments would be seen by everybody on the machine.
        env={"PATH": os.environ.get("PATH", ""), "PGPASSWORD": url.password or "", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def _finish(process: "subprocess.Popen[bytes]", code: str) -> None:
    errors: IO[bytes] | None = process.stderr
    assert errors is not None
    said = errors.read().decode(errors="replace").strip()
    if process.wait():
        # Its first line names the object; what follows may quote rows.
        raise PermanentError(
            code,
            expected=f"{Path(str(process.args[0])).name} to succeed",  # type: ignore[index]
            got=said.splitlines()[0] if said else f"exit code {process.returncode}",
            do="look at the log of PostgreSQL",
        )
