"""An administrator's client for a few calls, its errors in our words."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
)

from radloop.errors import RadloopError, Unavailable
from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.probe import explain, probe

_COORDINATED_WITHIN_S = 10.0
_COORDINATOR_PAUSE_S = 0.1


@contextmanager
def admin_client(address: KafkaAddress) -> Iterator[KafkaAdminClient]:
    """Open a client and close it.

    Raises
    ------
    Unavailable
        When the cluster cannot be asked, or refuses.
    """
    admin = None
    try:
        admin = make_client(KafkaAdminClient, address)
        yield admin
    except (KafkaError, OSError) as error:
        raise unavailable(address, error) from error
    finally:
        if admin is not None:
            admin.close()


def make_client(kind: Callable[..., Any], address: KafkaAddress, **options: Any) -> Any:
    """Make a client of `kafka-python`, which leaves a thread behind each time it is made and finds no broker: look first.

    Raises
    ------
    Unavailable
        When no broker can be used; nothing was made.
    """
    if found := probe(address):
        raise found
    return kind(**(address.client_options() | options))


def ask_coordinator(ask: Callable[[], Any]) -> Any:
    """Call for something about a group. A cluster that never had one needs seconds to choose who coordinates it."""
    deadline = time.monotonic() + _COORDINATED_WITHIN_S
    while True:
        try:
            return ask()
        except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
            if time.monotonic() > deadline:
                raise
            time.sleep(_COORDINATOR_PAUSE_S)


def unavailable(address: KafkaAddress, error: Exception) -> RadloopError:
    """Say why Kafka failed us: what it answered, else what a look at it finds, else the error's name."""
    found = explain(error) or probe(address)
    return found or Unavailable(
        "event-log-unavailable",
        expected=f"Kafka at {address.bootstrap} to answer in time",
        got=type(error).__name__,
        do="look at the brokers: a partition may have no leader, or too few replicas in sync",
    )
