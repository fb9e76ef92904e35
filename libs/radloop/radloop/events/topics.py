"""How each topic is to be: the contracts' topics and their dead letters, with the settings of ``proto/topics.yaml``."""

from dataclasses import dataclass
from typing import Any

from radloop.contracts.topic_settings import DEAD_LETTERS, TOPIC_SETTINGS
from radloop.contracts.topics import TOPICS
from radloop.events.port import dead_letter_topic

FOREVER = "forever"
LARGEST_RECORD_BYTES = 16 * 2**20
"""Most bytes of one event with its headers. The largest names every label of a training, with 284 bytes each: 59,000 labels."""
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class TopicPlan:
    """One topic as declared.

    Attributes
    ----------
    name : str
    partitions : int
    retention_ms : int
        How long a record stays, in milliseconds; -1: forever.
    cleanup : str
        ``delete`` or ``compact``.
    """

    name: str
    partitions: int
    retention_ms: int
    cleanup: str

    def configs(self, replication: int) -> dict[str, str]:
        """Return the settings of the topic by Kafka's own names; ``replication`` -1 leaves what depends on it to the brokers."""
        found = {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            # A producer's clock may jump: the broker's decides how old a record is.
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(LARGEST_RECORD_BYTES),
        }
        if replication > 0:
            # As many copies may be away as leave one that outlives the next loss.
            found["min.insync.replicas"] = str(max(1, replication - 1))
        return found


def planned_topics() -> list[TopicPlan]:
    """Return every topic of the platform, dead letters after the rest."""
    plans = [_plan(name, TOPIC_SETTINGS[name]) for name in TOPICS]
    letters = [dead_letter_topic(topic.name, group) for topic in TOPICS.values() for group in topic.heard_by]
    return plans + [_plan(name, DEAD_LETTERS) for name in letters]


def _plan(name: str, settings: dict[str, Any]) -> TopicPlan:
    days = settings["retention"]
    retention_ms = -1 if days == FOREVER else int(days) * _DAY_MS
    return TopicPlan(name, settings["partitions"], retention_ms, settings["cleanup"])
