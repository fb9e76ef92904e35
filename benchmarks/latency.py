"""How long from a service's commit to the next service's handler, at a reading room's pace?

    python benchmarks/latency.py [--seconds N] [--rate N]

PostgreSQL and Kafka are real; two services of the library's own parts run in this process as threads: one commits an event into
its outbox 50 times a second, its relay publishes, the other's consumer calls its handler inside a transaction of its own.
From just before the commit to the first line of the handler. Prints a Markdown table.
"""

import argparse
import math
import threading
import time
from functools import partial

from real_engines import database_url, kafka, postgresql, scratch

from radloop.consumer import ConsumerLoop
from radloop.events import open_event_log
from radloop.outbox import Relay
from radloop.sql import Database, SqlUnitOfWork
from radloop.testing.database_contracts import TOPIC, WIRE, TrainingRequested


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=50)
    arguments = parser.parse_args()
    count, warm_up = int(arguments.seconds * arguments.rate), int(2 * arguments.rate)
    committed: dict[str, float] = {}
    handled: dict[str, float] = {}
    stop = threading.Event()

    def handle(message: TrainingRequested, uow: SqlUnitOfWork) -> list[TrainingRequested]:
        handled[message.request_id] = time.perf_counter()
        return []

    with scratch() as folder, postgresql(folder) as server, kafka(folder, TOPIC) as cluster:
        saying, hearing = (Database(database_url(server, name), name) for name in ("qa", "trainer"))
        saying.migrate("qa.adapters.migrations")
        hearing.migrate("trainer.adapters.migrations")
        logs = [open_event_log(cluster.url) for _ in range(2)]
        relay = Relay(saying, logs[0])
        unit_of_work = partial(SqlUnitOfWork, hearing, WIRE, source="/site-1/trainer")
        loop = ConsumerLoop(logs[1], hearing, WIRE, {TrainingRequested: handle}, unit_of_work, stop)

        def relaying() -> None:
            while not stop.is_set():
                if not relay.step():
                    relay.wait()

        def consuming() -> None:
            while not stop.is_set():
                loop.step()

        threads = [threading.Thread(target=each) for each in (relaying, consuming)]
        for thread in threads:
            thread.start()
        began = time.perf_counter()
        for number in range(count + warm_up):
            time.sleep(max(0.0, began + number / arguments.rate - time.perf_counter()))
            with SqlUnitOfWork(saying, WIRE, source="/site-1/qa") as uow:
                uow.publish(TrainingRequested(str(number), f"project-{number % 10}"))
                committed[str(number)] = time.perf_counter()
                uow.commit()
        deadline = time.perf_counter() + 60
        while len(handled) < len(committed) and time.perf_counter() < deadline:
            time.sleep(0.05)
        stop.set()
        saying.outbox_changed.set()
        for thread in threads:
            thread.join()
        loop.close()
        for log in logs:
            log.close()
        for database in (saying, hearing):
            database.close()
    assert len(handled) == len(committed), "events were lost"
    ordered = sorted(1000 * (handled[name] - committed[name]) for name in list(committed)[warm_up:])
    cells = [ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95, 0.99)]
    print("| events | p50, ms | p95, ms | p99, ms | longest, ms |\n|---|---|---|---|---|")
    print(f"| {len(ordered)} | {cells[0]:.1f} | {cells[1]:.1f} | {cells[2]:.1f} | {ordered[-1]:.1f} |")
    print(f"\n{arguments.rate:.0f} events a second; p99 below 50 ms is asked for.")


if __name__ == "__main__":
    main()
