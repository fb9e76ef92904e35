"""One Kafka cluster on the loopback address: one broker, or three that survive the loss of one (KRaft, combined mode)."""

import base64
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from radloop.errors import PermanentError
from standalone.engines.installation import java, kafka_classpath, kafka_start
from standalone.supervisor.process import Program

HOST = "127.0.0.1"
LOG4J = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True)
class KafkaCluster:
    """A cluster to be.

    Attributes
    ----------
    folder
        Each broker has a folder of its own in it.
    ports, controller_ports
        One of each for every broker: 1 or 3.
    properties
        Lines of ``server.properties`` beside, or instead of, our own, e.g. of a TLS listener.
    format_options
        Further arguments of the storage tool, e.g. ``--add-scram``.
    heap_mb
        Java heap of each broker.
    listener
        Name of the clients' listener: its security protocol.
    """

    folder: Path
    ports: Sequence[int]
    controller_ports: Sequence[int]
    properties: dict[str, str] = field(default_factory=dict)
    format_options: Sequence[str] = ()
    heap_mb: int = 160
    listener: str = "PLAINTEXT"

    @property
    def bootstrap(self) -> str:
        """Addresses of the brokers: ``host:port,…``."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    @property
    def url(self) -> str:
        """The cluster as `radloop.events` opens it, without security."""
        return f"kafka://{self.bootstrap}"

    def prepare(self) -> None:
        """Write each broker's properties and format its storage; storage that is formatted stays.

        Raises
        ------
        PermanentError
            When the storage tool failed, with its words.
        """
        for number in range(len(self.ports)):
            home = self._home(number)
            home.mkdir(parents=True, exist_ok=True)
            lines = "\n".join(f"{name}={value}" for name, value in self._properties(number).items())
            (home / "server.properties").write_text(lines + "\n")
            if not (home / "data" / "meta.properties").exists():
                self._format(home)

    def programs(self) -> list[Program]:
        """Describe the broker processes, ``kafka`` or ``kafka-1`` to ``kafka-3``."""
        return [self._program(number) for number in range(len(self.ports))]

    def _home(self, number: int) -> Path:
        return self.folder / f"broker-{number + 1}"

    def _program(self, number: int) -> Program:
        home = self._home(number)
        arguments = [
            str(java()),
            *kafka_start(),
            f"-Xmx{self.heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={LOG4J}",
            "-cp",
            kafka_classpath(),
            "kafka.Kafka",
            str(home / "server.properties"),
        ]
        name = "kafka" if len(self.ports) == 1 else f"kafka-{number + 1}"
        return Program(name, arguments, {}, lambda: self.answers(number))

    def answers(self, number: int) -> bool:
        """Whether a broker answers to the protocol; behind TLS, whether its port is open."""
        # ApiVersions, version 0: the one request that a broker answers before anybody has signed in.
        request = struct.pack(">hhih", 18, 0, 1, -1)
        try:
            with socket.create_connection((HOST, self.ports[number]), timeout=2) as connection:
                if "SSL" in self.listener:
                    return True
                connection.sendall(struct.pack(">i", len(request)) + request)
                return len(connection.recv(4)) == 4
        except OSError:
            return False

    def _format(self, home: Path) -> None:
        arguments = [
            str(java()),
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xmx64m",
            "-cp",
            kafka_classpath(),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            base64.urlsafe_b64encode(b"radloop-cluster!").decode().rstrip("="),
            "-c",
            str(home / "server.properties"),
            *(["--standalone"] if len(self.ports) == 1 else []),
            *self.format_options,
        ]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermanentError(
                "kafka-not-formatted", expected=f"a formatted folder {home}", got=(done.stdout + done.stderr)[-400:]
            )

    def _properties(self, number: int) -> dict[str, str]:
        port, controller = self.ports[number], self.controller_ports[number]
        several = len(self.ports) > 1
        copies = str(min(3, len(self.ports)))
        found = {
            "process.roles": "broker,controller",
            "node.id": str(number + 1),
            "listeners": f"{self.listener}://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"{self.listener}://{HOST}:{port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"{self.listener}:{self.listener},CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": self.listener,
            "log.dirs": str(self._home(number) / "data"),
            "default.replication.factor": copies,
            "min.insync.replicas": "2" if several else "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            # The default buffer of 128 MB is more than the whole heap.
            "log.cleaner.dedupe.buffer.size": "4194304",
        }
        if several:
            voters = [f"{i + 1}@{HOST}:{each}" for i, each in enumerate(self.controller_ports)]
            found |= {
                "controller.quorum.voters": ",".join(voters),
                "broker.session.timeout.ms": "3000",
                "broker.heartbeat.interval.ms": "500",
            }
        else:
            found["controller.quorum.bootstrap.servers"] = f"{HOST}:{controller}"
        for kind in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
            found[f"{kind}.replication.factor"] = copies
            found[f"{kind}.num.partitions"] = "3"
        for kind in ("transaction.state.log", "share.coordinator.state.topic"):
            found[f"{kind}.min.isr"] = "2" if several else "1"
        return found | self.properties
