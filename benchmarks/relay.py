"""How fast does the relay move events of 1 KB from PostgreSQL to Kafka, against a bare kafka-python producer that only sends?

    python benchmarks/relay.py [--events N] [--rounds N]

Both run in this process against the same broker, one after the other in each round, so that a busy machine slows both. The
producer is idempotent and waits for all replicas, as the relay's is. A second bare run sends the headers that our envelope has.
Prints a Markdown table.
"""

import argparse
import json
import os
import statistics
import time

from kafka import KafkaProducer
from real_engines import database_url, kafka, postgresql, scratch

from radloop.events import EventLog, open_event_log
from radloop.messages import Envelope
from radloop.outbox import Relay
from radloop.sql import Database

TOPIC = "relay-benchmark"
KEYS = [f"case-{number}" for number in range(100)]
VALUE = os.urandom(1024)
PACKAGE = "qa.adapters.migrations"


def bare(bootstrap: str, events: int, headers: list[tuple[str, bytes]]) -> float:
    """Send events and wait for the last one; return events per second."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5)
    producer.send(TOPIC, VALUE).get()
    began = time.perf_counter()
    for number in range(events):
        producer.send(TOPIC, VALUE, key=KEYS[number % len(KEYS)].encode(), headers=headers)
    producer.flush()
    seconds = time.perf_counter() - began
    producer.close()
    return events / seconds


def relayed(database: Database, log: EventLog, events: int) -> float:
    """Fill the outbox and let the relay empty it; return events per second."""
    headers = json.dumps(Envelope.new(TOPIC, source="/site-1/qa", subject=KEYS[0]).headers())
    with database.begin() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy("COPY outbox (topic, key, headers, value, created_at) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["varchar", "varchar", "text", "bytea", "float8"])
            for number in range(events):
                copy.write_row((TOPIC, KEYS[number % len(KEYS)], headers, VALUE, time.time()))
    relay = Relay(database, log)
    began = time.perf_counter()
    while relay.step():
        pass
    seconds = time.perf_counter() - began
    relay.close()
    return events / seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    headers = Envelope.new(TOPIC, source="/site-1/qa", subject=KEYS[0]).headers()
    as_bytes = [(name, value.encode()) for name, value in headers.items()]
    rows = []
    with scratch() as folder, postgresql(folder) as server, kafka(folder, TOPIC) as cluster:
        database, log = Database(database_url(server, "qa"), "qa"), open_event_log(cluster.url)
        database.migrate(PACKAGE)
        for count in (2_000, *[arguments.events] * arguments.rounds):  # the first round only warms up
            plain, with_headers = (bare(cluster.bootstrap, count, each) for each in ([], as_bytes))
            rows.append((plain, with_headers, relayed(database, log, count)))
        log.close()
        database.close()
    print(
        "| round | bare producer, events/s | with our headers | relay, events/s | relay / bare | relay / with headers |"
    )
    print("|---|---|---|---|---|---|")
    for number, (plain, with_headers, relay_rate) in enumerate(rows[1:], 1):
        print(
            f"| {number} | {plain:,.0f} | {with_headers:,.0f} | {relay_rate:,.0f} "
            f"| {relay_rate / plain:.2f} | {relay_rate / with_headers:.2f} |"
        )
    median = statistics.median(row[2] / row[0] for row in rows[1:])
    print(f"\nMedian ratio to the bare producer: **{median:.2f}** (at least 0.5 is asked for).")


if __name__ == "__main__":
    main()
