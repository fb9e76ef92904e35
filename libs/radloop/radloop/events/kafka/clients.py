"""An administrator's client for a few calls, its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from radloop.errors import RadloopError, Unavailable
from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.probe import explain, probe


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
        admin = KafkaAdminClient(**address.client_options())
        yield admin
    except (KafkaError, OSError) as error:
        raise unavailable(address, error) from error
    finally:
        if admin is not None:
            admin.close()


def unavailable(address: KafkaAddress, error: Exception) -> RadloopError:
    """Say why Kafka failed us: what it answered, else what a look at it finds, else the error's name."""
    found = explain(error) or probe(address)
    return found or Unavailable(
        "event-log-unavailable",
        expected=f"Kafka at {address.bootstrap} to answer in time",
        got=type(error).__name__,
        do="look at the brokers: a partition may have no leader, or too few replicas in sync",
    )
