"""``radloop events replay``: a service goes back in a topic, never forward, and handles again only what it is told to."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from radloop.errors import Invalid
from radloop.events import EventLog, open_event_log
from radloop.messages import Record
from radloop.sql import Database, messaging_tables
from standalone.commands.root import app
from standalone.layout import Layout
from standalone.replay import replay_events

TOPIC, GROUP = "label-approved", "trainer"
METADATA = sa.MetaData()
INBOX = messaging_tables(METADATA).inbox


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def log(layout: Layout):
    opened = open_event_log(layout.events_url)
    opened.append([Record(TOPIC, "k", b"", {"ce_id": str(n), "ce_source": "/s"}) for n in range(6)])
    opened.rewind(GROUP, TOPIC, {0: 5})
    yield opened
    opened.close()


@pytest.fixture
def database(layout: Layout):
    opened = Database(layout.database_url(GROUP), GROUP)
    METADATA.create_all(opened.engine)
    with opened.begin() as connection:
        for group in (GROUP, "other"):
            rows = [{"consumer_group": group, "source": "/s", "event_id": str(n)} for n in range(5)]
            connection.execute(INBOX.insert(), rows)
    yield opened
    opened.close()


def known(database: Database, group: str) -> list[str]:
    with database.begin(read_only=True) as connection:
        found = connection.execute(sa.select(INBOX.c.event_id).where(INBOX.c.consumer_group == group))
        return sorted(row[0] for row in found)


def test_a_service_goes_back_and_its_inbox_stays(log: EventLog, database: Database) -> None:
    assert replay_events(log, TOPIC, GROUP, {0: 2}) == 3
    assert log.committed(GROUP, TOPIC) == {0: 2}
    assert known(database, GROUP) == ["0", "1", "2", "3", "4"]


def test_again_forgets_the_range_and_nothing_else(log: EventLog, database: Database) -> None:
    assert replay_events(log, TOPIC, GROUP, {0: 3}, forget_in=database) == 2
    assert known(database, GROUP) == ["0", "1", "2"]
    assert known(database, "other") == ["0", "1", "2", "3", "4"]


def test_what_was_not_read_yet_is_never_skipped(log: EventLog) -> None:
    assert replay_events(log, TOPIC, GROUP, {0: 6}) == 0
    assert log.committed(GROUP, TOPIC) == {0: 5}


def test_a_service_that_does_not_hear_the_topic(log: EventLog) -> None:
    with pytest.raises(Invalid, match="nobody-hears"):
        replay_events(log, TOPIC, "inference", {0: 0})


def test_the_command(log: EventLog, database: Database, layout: Layout) -> None:
    def run(*options: str):
        words = ["events", "replay", "--topic", TOPIC, "--group", GROUP, "--data", str(layout.folder), *options]
        return CliRunner().invoke(app, words)

    appended_at = log.read(TOPIC, {}, 1)[0].appended_at
    assert isinstance(run().exception, Invalid)
    assert isinstance(run("--from-start", "--from-offset", "1").exception, Invalid)
    assert "3 events" in run("--from-offset", "2").stdout
    log.rewind(GROUP, TOPIC, {0: 5})
    later = datetime.fromtimestamp(appended_at + 2, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert "0 events" in run("--from-time", later).stdout
    earlier = datetime.fromtimestamp(appended_at - 2, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert "5 events" in run("--from-time", earlier, "--again").stdout
    assert known(database, GROUP) == [] and log.committed(GROUP, TOPIC) == {0: 0}
    log.rewind(GROUP, TOPIC, {0: 5})
    assert "5 events" in run("--from-start").stdout
