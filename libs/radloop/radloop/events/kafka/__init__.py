"""The event log on Apache Kafka, by `kafka-python`."""

from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.log import KafkaEventLog

__all__ = ["KafkaAddress", "KafkaEventLog"]
