"""The engines' own logs quote nothing of what they are asked."""

from pathlib import Path

import psycopg
import pytest

from tests.privacy.canaries import Canaries
from tests.privacy.search import Search

pytestmark = pytest.mark.integration


def test_the_log_of_postgresql_names_neither_values_nor_statements(postgresql, engines_folder: Path) -> None:
    canaries = Canaries()
    values = [canaries.text(f"value {number}") for number in range(4)]
    address = postgresql.url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE t (name text UNIQUE, note json, number int CHECK (number > 0))")
        connection.execute("INSERT INTO t (name) VALUES (%s)", (values[0],))
        for statement, parameters in (
            ("INSERT INTO t (name) VALUES (%s)", (values[0],)),
            ("INSERT INTO t (note) VALUES (%s)", (f'{{"note": "{values[1]}", "broken": "\\u0000', )),
            ("INSERT INTO t (name, number) VALUES (%s, -1)", (values[2],)),
            (f"SELECT '{values[3]}' FROM nowhere", None),
        ):  # fmt: skip
            with pytest.raises(psycopg.Error):
                connection.execute(statement, parameters)
    log = (engines_folder / "postgresql.log").read_bytes()
    assert b"ERROR" in log
    finds = Search(canaries).finds("postgresql.log", log)
    assert not finds, "\n".join(map(str, finds))
