"""MirrorMaker 2 at the site: the only road between the two planes' Kafka clusters, dialled from here.

Out go the topics of `radloop.contracts.topics.mirror_allow_list`, generated from the contracts: none with a field that must
stay at the site. In come the control plane's own. No topic is on both lists, so nothing goes in circles.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from radloop.contracts.topics import TOPICS, mirror_allow_list
from radloop.events.topics import LARGEST_RECORD_BYTES
from standalone.engines.installation import java, kafka_classpath
from standalone.engines.kafka import LOG4J
from standalone.supervisor.process import Program

CONTROL_PLANE = "control-plane"

_OUTAGE_MS = 14 * 24 * 3600 * 1000
"""Longest time the other plane may be away before the mirror needs a restart."""


def outgoing_topics() -> tuple[str, ...]:
    """Return the topics a site says that may leave it."""
    return tuple(name for name in mirror_allow_list() if TOPICS[name].producer != CONTROL_PLANE)


def incoming_topics() -> tuple[str, ...]:
    """Return the topics the control plane says."""
    return tuple(name for name, topic in TOPICS.items() if topic.producer == CONTROL_PLANE)


@dataclass(frozen=True)
class Mirror:
    """A MirrorMaker to be.

    Attributes
    ----------
    folder
        Its properties are written there.
    site, site_events, control_plane_events
        Name of the site; ``host:port,…`` of the two clusters.
    notes
        Part of the name that the mirror keeps its offsets under; see `Setup.mirror_notes`.
    security
        Properties of the connection to the control plane's cluster beside its address, e.g. ``security.protocol``.
    """

    folder: Path
    site: str
    site_events: str
    control_plane_events: str
    notes: str = ""
    security: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Write the properties, for this user alone: they may hold a password."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = "\n".join(f"{name} = {value}" for name, value in self.properties().items())
        file = self.folder / "mirror.properties"
        file.touch(mode=0o600)
        file.write_text(lines + "\n")

    def program(self) -> Program:
        """Describe the process; it is ready when it runs, for it answers to nobody."""
        arguments = [
            str(java()),
            "-Xmx192m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={LOG4J}",
            "-cp",
            kafka_classpath(),
            "org.apache.kafka.connect.mirror.MirrorMaker",
            str(self.folder / "mirror.properties"),
        ]
        return Program("mirror", arguments, {"PATH": os.environ.get("PATH", "")}, lambda: True)

    def properties(self) -> dict[str, str]:
        """Return the lines of the properties file."""
        # Two sites mirror into one control plane: names of their own keep their offsets apart.
        here, there = f"{self.site}{self.notes}", f"cloud{self.notes}"
        found = {
            "clusters": f"{here}, {there}",
            f"{here}.bootstrap.servers": self.site_events,
            f"{there}.bootstrap.servers": self.control_plane_events,
            # Topics keep their names: a service subscribes to the same topic on either side.
            "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
            "tasks.max": "2",
            f"{here}->{there}.enabled": "true",
            f"{here}->{there}.topics": _pattern(outgoing_topics()),
            f"{there}->{here}.enabled": "true",
            f"{there}->{here}.topics": _pattern(incoming_topics()),
            "emit.heartbeats.enabled": "false",
            "heartbeats.replication.enabled": "false",
            "emit.checkpoints.enabled": "false",
            "sync.topic.acls.enabled": "false",
            # Each plane declares its own topics; partitions and retention of the other are its own affair.
            "sync.topic.configs.enabled": "false",
            "refresh.topics.interval.seconds": "5",
            "scheduled.rebalance.max.delay.ms": "0",
        }
        # MirrorMaker's own topics are as the brokers of each cluster are set to make topics.
        own = ("checkpoints.topic", "heartbeats.topic", "offset-syncs.topic")
        storage = ("config.storage", "offset.storage", "status.storage")
        found |= {f"{kind}.replication.factor": "-1" for kind in (*own, *storage)}
        found |= {"replication.factor": "-1", "offset.storage.partitions": "1", "status.storage.partitions": "1"}
        for cluster in (here, there):
            # Only with its target's name in front is this heeded. What is mirrored twice after a crash is a repeat to the inbox.
            found[f"{cluster}.offset.flush.interval.ms"] = "1000"
            # A worker that cannot ask its group for so long leaves it, and may then wait an hour before it looks again though
            # the cluster is back. It is alone in its group: nobody waits for it meanwhile.
            found[f"{cluster}.rebalance.timeout.ms"] = str(_OUTAGE_MS)
            found[f"{cluster}.producer.max.request.size"] = str(LARGEST_RECORD_BYTES)
        return found | {f"{there}.{name}": value for name, value in self.security.items()}


def _pattern(topics: tuple[str, ...]) -> str:
    return ", ".join(topics)
