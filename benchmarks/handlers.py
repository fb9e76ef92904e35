"""How many transactions a second does a service write, and how many events a second does it handle from end to end?

    python benchmarks/handlers.py [--seconds N] [--events N]

Transactions: one event into the outbox and one line of the audit trail, from one thread and from eight, on PostgreSQL and on
SQLite, both synced to disk at each commit. Events: `study-ingested` from Kafka through `control-plane`'s consumer, its handler
and its inbox to its tables in PostgreSQL, and from the embedded log to SQLite. Prints Markdown tables.
"""

import argparse
import threading
import time
from pathlib import Path

import sqlalchemy as sa
from real_engines import database_url, kafka, postgresql, scratch

from control_plane.adapters import tables
from control_plane.app import build
from control_plane.settings import ControlPlaneSettings
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.contracts.topics import TOPICS
from radloop.messages import Envelope, Record
from radloop.settings import SharedSettings
from radloop.sql import Database, SqlUnitOfWork
from radloop.testing.database_contracts import WIRE, TrainingRequested

TOPIC = "study-ingested"


def transactions_per_s(url: str, threads: int, seconds: float) -> float:
    """Write with some threads for some seconds."""
    database = Database(url, "control-plane")
    database.migrate("control_plane.adapters.migrations")
    stop = threading.Event()
    written = [0] * threads

    def write(place: int) -> None:
        while not stop.is_set():
            with SqlUnitOfWork(database, WIRE, source="/site-1/control-plane") as uow:
                uow.publish(TrainingRequested(str(written[place]), "p"))
                uow.audit("somebody", "asked", "p")
                uow.commit()
            written[place] += 1

    workers = [threading.Thread(target=write, args=(place,)) for place in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    stop.wait(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    rate = sum(written) / (time.perf_counter() - began)
    database.close()
    return rate


def studies(count: int) -> list[Record]:
    """Return as many studies of two cases."""
    records = []
    for number in range(count):
        key = f"study-{number}"
        cases = [ingest_pb2.Case(case_id=f"case-{number}-{part}", modality="MR") for part in range(2)]
        event = ingest_pb2.StudyIngested(
            study_key=key,
            project_id=f"project-{number % 3}",
            site="site-1",
            patient_key=f"patient-{number}",
            revision=1,
            split=references_pb2.SPLIT_TRAIN,
            cases=cases,
        )
        envelope = Envelope.new(TOPIC, source="/site-1/ingest", subject=key)
        records.append(Record(TOPIC, key, event.SerializeToString(), envelope.headers()))
    return records


def events_per_s(folder: Path, events_url: str, url: str, count: int) -> float:
    """Let the service handle as many events."""
    shared = SharedSettings(
        events_url=events_url,
        database_url=url,
        objects_url=f"file://{folder}/objects",
        auth_url=f"token:{folder}/secret",
    )
    service = build(ControlPlaneSettings(shared=shared))
    query = sa.select(sa.func.count()).select_from(tables.studies)

    def handled() -> int:
        with service.database.begin(read_only=True) as connection:
            return int(connection.execute(query).scalar_one())

    service.event_log.append(studies(count))
    while not handled():
        service.consumer.step()
    before, began = handled(), time.perf_counter()
    while (now := handled()) < count:
        service.consumer.step()
    rate = (now - before) / (time.perf_counter() - began)
    service.consumer.close()
    service.event_log.close()
    service.database.close()
    return rate


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--events", type=int, default=2000)
    arguments = parser.parse_args()
    with scratch() as folder, postgresql(folder) as server, kafka(folder, *TOPICS) as cluster:
        urls = {
            "PostgreSQL": (database_url(server, "control-plane"), cluster.url),
            "SQLite": (f"sqlite:///{folder}/state", f"sqlite:///{folder}/events.db"),
        }
        handled = {name: events_per_s(folder, log, url, arguments.events) for name, (url, log) in urls.items()}
        rates = {
            name: [transactions_per_s(url, threads, arguments.seconds) for threads in (1, 8)]
            for name, (url, _) in urls.items()
        }
    print("| transactions/s of one service | 1 thread | 8 threads |\n|---|---|---|")
    for name, (one, eight) in rates.items():
        print(f"| {name} | {one:,.0f} | {eight:,.0f} |")
    print("\n| events/s from log to tables | |\n|---|---|")
    print(f"| Kafka and PostgreSQL | {handled['PostgreSQL']:,.0f} |\n| embedded | {handled['SQLite']:,.0f} |")


if __name__ == "__main__":
    main()
