"""A relay as a process of its own: python relay_process.py DATABASE_URL EVENTS_URL; prints "mine" when it may publish."""

import sys

from radloop.errors import TemporaryError
from radloop.events import open_event_log
from radloop.outbox import Relay
from radloop.sql import Database


def main(database_url: str, events_url: str) -> None:
    """Publish until killed."""
    relay = Relay(Database(database_url, "bench"), open_event_log(events_url))
    was_mine = False
    while True:
        try:
            busy = relay.step()
        except TemporaryError as error:
            print(error.code, flush=True)
            continue
        mine = relay.active
        if mine != was_mine:
            print("mine" if mine else "not mine", flush=True)
            was_mine = mine
        if not busy:
            relay.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
