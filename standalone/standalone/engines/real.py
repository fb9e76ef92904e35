"""The real engines of one data folder: their addresses and passwords, their processes, and what is set up in them."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from standalone.engines.kafka import KafkaCluster
from standalone.engines.postgresql import PostgresqlServer
from standalone.engines.s3 import S3Server
from standalone.setup import write_private
from standalone.supervisor.ports import free_ports
from standalone.supervisor.process import Program

DATABASE = "radloop"


@dataclass(frozen=True)
class RealEngines:
    """What is kept in ``engines.json``, for this user alone.

    Attributes
    ----------
    folder
        Each engine has a folder of its own in it.
    kafka_ports, controller_ports
        One of each for every broker.
    postgresql_port, postgresql_password
        Of the superuser.
    s3_port, s3_access_key, s3_secret_key
        Of the one user.
    database_passwords
        By service.
    """

    folder: str
    kafka_ports: tuple[int, ...]
    controller_ports: tuple[int, ...]
    postgresql_port: int
    postgresql_password: str
    s3_port: int
    s3_access_key: str
    s3_secret_key: str
    database_passwords: Mapping[str, str]

    @classmethod
    def make(cls, folder: Path, *, brokers: int, services: tuple[str, ...]) -> "RealEngines":
        """Choose ports and passwords for engines that do not exist yet."""
        ports = free_ports(2 * brokers + 2)
        return cls(
            folder=str(folder.resolve()),
            kafka_ports=tuple(ports[:brokers]),
            controller_ports=tuple(ports[brokers : 2 * brokers]),
            postgresql_port=ports[-2],
            postgresql_password=secrets.token_urlsafe(24),
            s3_port=ports[-1],
            s3_access_key="radloop",
            s3_secret_key=secrets.token_urlsafe(24),
            database_passwords={name: secrets.token_urlsafe(24) for name in services},
        )

    @classmethod
    def read(cls, file: Path) -> "RealEngines":
        """Read what `write` wrote."""
        stored = json.loads(file.read_text())
        for name in ("kafka_ports", "controller_ports"):
            stored[name] = tuple(stored[name])
        return cls(**stored)

    def write(self, file: Path) -> None:
        """Keep it for the next start, and for the commands."""
        write_private(file, json.dumps(asdict(self), indent=2) + "\n")

    @property
    def kafka(self) -> KafkaCluster:
        """The Kafka cluster."""
        return KafkaCluster(Path(self.folder) / "kafka", self.kafka_ports, self.controller_ports)

    @property
    def postgresql(self) -> PostgresqlServer:
        """The PostgreSQL server."""
        return PostgresqlServer(Path(self.folder) / "postgresql", self.postgresql_port, self.postgresql_password)

    @property
    def s3(self) -> S3Server:
        """The S3 server."""
        return S3Server(Path(self.folder) / "s3", self.s3_port, self.s3_access_key, self.s3_secret_key)

    @property
    def events_url(self) -> str:
        """The event log, as `radloop.events` opens it."""
        return self.kafka.url

    @property
    def objects_url(self) -> str:
        """The object store, as `radloop.objects` opens it."""
        return self.s3.url

    def database_url(self, service: str) -> str:
        """Return the state of a service, as `radloop.sql` opens it: a role and a schema of its own."""
        role, password = service.replace("-", "_"), self.database_passwords[service]
        return f"postgresql+psycopg://{role}:{password}@127.0.0.1:{self.postgresql_port}/{DATABASE}"

    def prepare(self) -> None:
        """Format Kafka's storage, make the database cluster and the bucket; what is there stays.

        Raises
        ------
        PermanentError
            An engine is not installed, or could not be made.
        """
        self.kafka.prepare()
        self.postgresql.prepare()
        self.s3.prepare()

    def programs(self) -> list[Program]:
        """Describe the engines' processes."""
        return [self.postgresql.program(), *self.kafka.programs(), self.s3.program()]
