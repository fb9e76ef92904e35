"""One replica of a service, a process of its own: ``group_bench.py <events url> <database url> <folder> <group> <name>``.

Its handler writes what it handled into a table, in the transaction, and each try into the folder, outside of it. A request
``slow:<seconds>:…`` takes so long.
"""

import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from radloop.consumer import ConsumerLoop
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.events import open_event_log
from radloop.messages import Message
from radloop.sql import Database, SqlUnitOfWork, messaging_tables
from radloop.wire import Wire

TOPIC = "training-requested"
SERVICE = "bench"
METADATA = sa.MetaData()
messaging_tables(METADATA)
DONE = sa.Table(
    "done",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project_id", sa.String(50)),
    sa.Column("request_id", sa.String(50)),
    sa.Column("replica", sa.String(50)),
)


@dataclass(frozen=True)
class TrainingRequested(Message):
    """The event, as the bench hears it."""

    request_id: str
    project_id: str


PAIR = (control_plane_pb2.TrainingRequested, TrainingRequested)
WIRE = Wire(SERVICE, incoming=[PAIR], outgoing=[PAIR])


def main(events_url: str, database_url: str, folder: str, group: str, name: str) -> None:
    """Handle events until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database, log = Database(database_url, SERVICE), open_event_log(events_url)
    wire = Wire(group, incoming=[PAIR], outgoing=[PAIR])

    def handle(message: TrainingRequested, uow: SqlUnitOfWork) -> list[Message]:
        with (Path(folder) / f"tries-{message.request_id.replace(':', '-')}").open("a") as tries:
            tries.write(f"{name}\n")
        if message.request_id.startswith("slow:"):
            time.sleep(float(message.request_id.split(":")[1]))
        values = {"project_id": message.project_id, "request_id": message.request_id, "replica": name}
        uow.connection.execute(DONE.insert().values(**values))
        return []

    def unit_of_work(cause=None):
        return SqlUnitOfWork(database, wire, source="/site-1/bench", cause=cause)

    loop = ConsumerLoop(log, database, wire, {TrainingRequested: handle}, unit_of_work, stop)
    while not stop.is_set():
        loop.step()
    loop.close()
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
