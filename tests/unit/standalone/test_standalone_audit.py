"""`radloop audit`: pages of several services become one trail, and what cannot be read is said."""

import csv
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from radloop.errors import Forbidden, NotFound, TemporaryError
from standalone.commands.audit import collect
from standalone.commands.root import app


def entry(number: int, at: str, subject: str = "ada", target: str = "t-1") -> dict[str, Any]:
    return {
        "id": number,
        "at": f"2026-01-05T{at}:00.000+00:00",
        "subject": subject,
        "action": "looked",
        "target": target,
    }


class Trail:
    """A platform with two services whose pages hold two entries."""

    def __init__(self, **entries: Any) -> None:
        self.entries = entries

    def probe(self, path: str) -> Any:
        return {"services": dict.fromkeys(self.entries)}

    def get(self, path: str, *, after: int, limit: int) -> Any:
        of_service = self.entries[path.split("/")[1]]
        if isinstance(of_service, Exception):
            raise of_service
        rest = [each for each in of_service if each["id"] > after]
        return {"entries": rest[:2], "next": rest[1]["id"] if len(rest) > 2 else None}


@pytest.fixture
def trail(monkeypatch: pytest.MonkeyPatch) -> Trail:
    made = Trail(
        labeling=[entry(1, "08:00"), entry(2, "10:00", "=ben"), entry(7, "11:00"), entry(9, "12:00")],
        qa=[entry(1, "09:00", target="t-2")],
    )

    @contextmanager
    def connect(_: Any) -> Any:
        yield made

    monkeypatch.setattr("standalone.client.connect", connect)
    return made


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["audit", *words], env={"COLUMNS": "200"})


def test_every_page_of_every_service_in_order_of_time(trail: Trail) -> None:
    entries, failed = collect(trail, [])  # type: ignore[arg-type]
    assert [(each["service"], each["id"]) for each in entries] == [
        ("labeling", 1),
        ("qa", 1),
        ("labeling", 2),
        ("labeling", 7),
        ("labeling", 9),
    ]
    assert failed == []
    assert [each["service"] for each in collect(trail, ["qa"])[0]] == ["qa"]  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="labeling, qa"):
        collect(trail, ["quality"])  # type: ignore[arg-type]


def test_it_is_narrowed_by_person_target_and_time(trail: Trail) -> None:
    assert "t-2" in run().stdout
    assert run("--target", "t-2").stdout.count("looked") == 1
    assert run("--subject", "=ben").stdout.count("looked") == 1
    assert run("--since", "2026-01-05T10:00+00:00").stdout.count("looked") == 3
    assert run("--since", "yesterday").exit_code == 2


def test_a_file_is_written_once_and_starts_no_formula(trail: Trail, tmp_path: Any) -> None:
    file = tmp_path / "audit.csv"
    assert run("--to", str(file)).exit_code == 0
    with file.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == ["service", "id", "at", "subject", "action", "target"] and len(rows) == 6
    assert rows[3][3] == "'=ben"
    assert run("--to", str(file)).exit_code != 0


def test_a_service_that_is_away_is_named_and_the_rest_shown(trail: Trail) -> None:
    trail.entries["qa"] = TemporaryError("service-away")
    answer = run()
    assert answer.exit_code == 1 and "looked" in answer.stdout and "qa: service-away" in answer.stderr
    trail.entries["qa"] = Forbidden("forbidden")
    assert isinstance(run().exception, Forbidden)
