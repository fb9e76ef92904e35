"""Everything that one side of the platform holds or says, as bytes."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import sqlalchemy as sa

from radloop.contracts.topics import mirror_allow_list
from radloop.events import open_event_log, read_on
from standalone.layout import Layout, Platform

Place = tuple[str, bytes]

CONTROL_PLANE = "control-plane"


def topic_bytes(events_url: str, topics: Iterable[str] | None = None) -> Iterator[Place]:
    """Yield the key, headers and value of each record; of every topic there is, where none are named."""
    log = open_event_log(events_url)
    try:
        for topic in log.topics() if topics is None else topics:
            for stored in read_on(log, topic, {}):
                record = stored.record
                headers = [part.encode() for pair in record.headers.items() for part in pair]
                yield (
                    f"topic {topic}, offset {stored.offset}",
                    b"\n".join([record.key.encode(), *headers, record.value]),
                )
    finally:
        log.close()


def sqlite_bytes(file: Path) -> Iterator[Place]:
    """Yield a database as its files hold it, write-ahead log too, and row by row: long values are not in one piece."""
    for each in sorted(file.parent.glob(f"{file.name}*")):
        yield each.name, each.read_bytes()
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield f"{file.name}, table {table}", _row_bytes(row)
    finally:
        connection.close()


def postgresql_rows(superuser_url: str) -> Iterator[Place]:
    """Yield every row of every schema."""
    engine = sa.create_engine(superuser_url)
    with engine.connect() as connection:
        tables = connection.execute(
            sa.text("SELECT schemaname, relname FROM pg_stat_user_tables ORDER BY schemaname, relname")
        ).all()
        for schema, table in tables:
            for row in connection.execute(sa.text(f'SELECT * FROM "{schema}"."{table}"')):
                yield f"table {schema}.{table}", _row_bytes(row)
    engine.dispose()


def _row_bytes(row: Iterable[object]) -> bytes:
    return b"\n".join(bytes(v) if isinstance(v, (bytes, memoryview)) else _text(v).encode() for v in row)


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def file_bytes(folder: Path) -> Iterator[Place]:
    """Yield the files of a folder, and their names; without the zeros that fill what Kafka and PostgreSQL allocate beforehand."""
    names = []
    for path in sorted(folder.rglob("*")):
        place = str(path.relative_to(folder))
        names.append(place)
        # Offsets and times of records, in files of 10 MB each.
        if path.is_file() and path.suffix not in (".index", ".timeindex"):
            yield f"{folder.name}/{place}", path.read_bytes().rstrip(b"\0")
    yield f"names in {folder.name}", "\n".join(names).encode()


def metrics_bytes(addresses: Mapping[str, str]) -> Iterator[Place]:
    """Yield what each process answers to ``/metrics``."""
    for name, address in addresses.items():
        yield f"metrics of {name}", httpx.get(f"{address}/metrics", trust_env=False).raise_for_status().content


def triton_metrics(layout: Layout) -> dict[str, str]:
    """Return the address of Triton's metrics, from its command line."""
    for identity in json.loads(layout.processes_file.read_text()):
        arguments = psutil.Process(int(identity["pid"])).cmdline()
        if any(argument.endswith("tritonserver") for argument in arguments[:1]):
            port = next(a.partition("=")[2] for a in arguments if a.startswith("--metrics-port="))
            return {"triton": f"http://127.0.0.1:{port}"}
    raise AssertionError("no Triton among the processes")


def log_bytes(layout: Layout) -> Iterator[Place]:
    """Yield every log of a folder: services, gateway, Triton, engines, and the logs and results of jobs."""
    yield from file_bytes(layout.logs_folder)
    for path in sorted(layout.work_folder.rglob("*")):
        if path.is_file() and path.suffix in (".txt", ".json", ".log"):
            yield f"work/{path.relative_to(layout.work_folder)}", path.read_bytes()
    engines = layout.engines_folder
    for path in sorted(engines.rglob("*.log*")) if engines.exists() else ():
        if path.is_file() and not path.suffix.endswith("timeindex"):
            yield f"engines/{path.relative_to(engines)}", path.read_bytes()


def seen_from_the_control_plane(layout: Layout, platform: Platform) -> Iterator[Place]:
    """Yield what a control plane would have of a platform with one folder: what may be mirrored, and its own service's."""
    yield from topic_bytes(layout.events_url, mirror_allow_list())
    yield from sqlite_bytes(layout.state_folder / f"{CONTROL_PLANE}.db")
    log = layout.logs_folder / f"{CONTROL_PLANE}.log"
    yield log.name, log.read_bytes()
    yield from metrics_bytes({CONTROL_PLANE: platform.services[CONTROL_PLANE]})


def whole_control_plane(layout: Layout, platform: Platform) -> Iterator[Place]:
    """Yield everything a control plane of its own holds: each topic, row, object, log, metric and file of its folder."""
    engines = layout.engines
    assert engines is not None
    yield from topic_bytes(layout.events_url)
    yield from postgresql_rows(engines.postgresql.url_of("radloop"))
    yield from metrics_bytes(platform.services)
    yield from file_bytes(layout.folder)


def logs_and_metrics(layout: Layout, platform: Platform) -> Iterator[Place]:
    """Yield what operators of a site may show around: its logs and its metrics."""
    yield from log_bytes(layout)
    yield from metrics_bytes(platform.services)
    yield from metrics_bytes(triton_metrics(layout))
