"""What ``python -m <service>`` does with its arguments."""

from pathlib import Path

import pytest

from qa.app import MIGRATIONS, NAME
from qa.settings import QaSettings
from radloop import service
from radloop.settings import load
from radloop.sql import Database
from radloop.sql.database import newest_revision
from standalone.supervisor.ports import free_ports


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QaSettings:
    for name, value in (
        ("EVENTS_URL", "kafka://nobody.invalid:9092"),  # which a migration does not ask
        ("DATABASE_URL", f"sqlite:///{tmp_path}"),
        ("OBJECTS_URL", "s3://nothing"),
        ("AUTH_URL", "token:nowhere"),
    ):
        monkeypatch.setenv(f"RADLOOP_{name}", value)
    return load(QaSettings)


def refuse(_: QaSettings) -> service.Service:
    raise AssertionError("the service was built")


def test_migrate_brings_the_database_up_to_date_and_ends(settings, tmp_path, monkeypatch) -> None:
    import qa.adapters.migrations

    monkeypatch.setattr("sys.argv", ["qa", "migrate"])
    service.main(NAME, MIGRATIONS, refuse, settings)
    database = Database(f"sqlite:///{tmp_path}", NAME)
    versions = Path(qa.adapters.migrations.__file__).parent / "versions"
    assert database._revision() == newest_revision(versions)
    database.close()


def test_migrate_gives_up_a_database_that_stays_away_and_says_why(settings, monkeypatch) -> None:
    port = free_ports(1)[0]
    monkeypatch.setenv("RADLOOP_DATABASE_URL", f"postgresql+psycopg://qa:hidden@127.0.0.1:{port}/radloop")
    monkeypatch.setattr("sys.argv", ["qa", "migrate", "--wait", "1"])
    with pytest.raises(SystemExit, match=r"database-unavailable: .*no connection") as ended:
        service.main(NAME, MIGRATIONS, refuse, load(QaSettings))
    assert "hidden" not in str(ended.value)


def test_another_word_is_refused(settings, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["qa", "migrations"])
    with pytest.raises(SystemExit, match=r"usage: python -m qa \[migrate \[--wait SECONDS\]\]"):
        service.main(NAME, MIGRATIONS, refuse, settings)


def test_without_a_word_the_service_runs(settings, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["qa"])
    with pytest.raises(AssertionError, match="the service was built"):
        service.main(NAME, MIGRATIONS, refuse, settings)
