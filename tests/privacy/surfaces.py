"""Everything that one side of the platform holds or says, as bytes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

Place = tuple[str, bytes]


def sqlite_bytes(file: Path) -> Iterator[Place]:
    """Yield a database as its files hold it, write-ahead log too, and row by row: long values are not in one piece."""
    for each in sorted(file.parent.glob(f"{file.name}*")):
        yield each.name, each.read_bytes()
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                values = (value if isinstance(value, bytes) else str(value).encode() for value in row)
                yield f"{file.name}, table {table}", b"\n".join(values)
    finally:
        connection.close()
