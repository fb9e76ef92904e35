"""Lets one service read a topic again, from a place or a time on."""

import sqlalchemy as sa

from radloop.contracts.topics import TOPICS
from radloop.errors import Invalid
from radloop.events import EventLog, Stored, read_on
from radloop.sql import Database, messaging_tables

_INBOX = messaging_tables(sa.MetaData()).inbox
_AT_ONCE = 200


def replay_events(
    log: EventLog, topic: str, group: str, start: dict[int, int], *, forget_in: Database | None = None
) -> int:
    """Send a service back in a topic; return how many events it gets again.

    Parameters
    ----------
    log : EventLog
    topic : str
    group : str
        The service.
    start : dict of int
        Where to go back to, by partition. What the service has not come to yet is never skipped.
    forget_in : Database, optional
        The service's own: its inbox forgets the events, so that their handlers run again. Else it passes them over, all
        but those it could not handle.

    Raises
    ------
    Invalid
        When the service does not hear the topic.
    """
    if topic not in TOPICS or group not in TOPICS[topic].heard_by:
        raise Invalid(
            "nobody-hears",
            expected=f"a topic that {group} hears",
            got=topic,
            do="docs/reference/events.md says who hears what",
        )
    reached = log.committed(group, topic)
    back = {partition: place for partition, place in start.items() if place < reached.get(partition, 0)}
    again = [stored for stored in _read(log, topic, back) if stored.offset < reached[stored.partition]]
    if forget_in is not None:
        _forget(forget_in, group, again)
    if back:
        log.rewind(group, topic, back)
    return len(again)


def _read(log: EventLog, topic: str, back: dict[int, int]) -> list[Stored]:
    ends = log.offsets_at(topic, float("inf"))
    places = {partition: back.get(partition, end) for partition, end in ends.items()}
    return [stored for stored in read_on(log, topic, places) if stored.partition in back]


def _forget(database: Database, group: str, events: list[Stored]) -> None:
    names = [(each.record.headers.get("ce_source", ""), each.record.headers.get("ce_id", "")) for each in events]
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        with database.begin() as connection:
            connection.execute(
                _INBOX.delete().where(
                    _INBOX.c.consumer_group == group, sa.tuple_(_INBOX.c.source, _INBOX.c.event_id).in_(some)
                )
            )
