"""Kafka, PostgreSQL and S3 of one plane, outside of the cluster as in most hospitals, at an address that pods reach."""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from standalone.engines.kafka import KafkaCluster
from standalone.engines.postgresql import PostgresqlServer
from standalone.engines.provision import provision
from standalone.engines.real import RealEngines
from standalone.layout import Layout
from standalone.setup import Engines, Plane, settle_setup
from standalone.supervisor.process import Program
from tests.conftest import Running


@dataclass(frozen=True)
class PlaneEngines:
    """Running engines of a plane, and the folder by which our own commands find them from outside."""

    layout: Layout
    address: str
    """Of this machine, as pods reach it."""

    @property
    def _chosen(self) -> RealEngines:
        engines = self.layout.engines
        assert engines is not None
        return engines

    @property
    def brokers(self) -> str:
        """host:port of Kafka."""
        return f"{self.address}:{self._chosen.kafka_ports[0]}"

    @property
    def ports(self) -> dict[str, int]:
        """Ports of events, database and objects."""
        chosen = self._chosen
        return {"events": chosen.kafka_ports[0], "database": chosen.postgresql_port, "objects": chosen.s3_port}

    @property
    def objects_url(self) -> str:
        """The bucket."""
        return f"s3://radloop?endpoint=http://{self.address}:{self._chosen.s3_port}"

    @property
    def store_keys(self) -> dict[str, str]:
        """What the Secret of the object store holds."""
        return {
            name: value
            for name, value in self._chosen.s3.credentials.items()
            if name.startswith("AWS_") and "REGION" not in name
        }

    def database_urls(self) -> dict[str, str]:
        """Address of each component's database."""
        services = self.layout.setup.services
        return {name: self._chosen.database_url(name).replace("127.0.0.1", self.address) for name in services}


@contextmanager
def plane_engines(folder: Path, plane: Plane, site: str, address: str) -> Iterator[PlaneEngines]:
    """Start the engines of a plane, and set up topics, roles and the bucket in them."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    layout = Layout(folder)
    setup = settle_setup(layout.setup_file, {"plane": plane, "engines": Engines.REAL, "site": site})
    engines = layout.engines
    assert engines is not None
    layout.logs_folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        running = Running(layout.logs_folder)
        stack.callback(running.end)
        engines.prepare()
        running.start(*_reachable(engines, address))
        provision(engines, setup)
        yield PlaneEngines(layout, address)


def _reachable(engines: RealEngines, address: str) -> list[Program]:
    """Describe the engines' processes, listening for pods, too."""
    port, controller = engines.kafka_ports[0], engines.controller_ports[0]
    kafka = KafkaCluster(
        engines.kafka.folder,
        engines.kafka_ports,
        engines.controller_ports,
        properties={
            "listeners": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{address}:{port}",
        },
    )
    kafka.prepare()
    asked = engines.postgresql
    postgresql = PostgresqlServer(asked.folder, asked.port, asked.password, (("listen_addresses", "*"),))
    rules = asked.folder / "data" / "pg_hba.conf"
    if "all all all" not in rules.read_text():
        rules.write_text(f"{rules.read_text()}host all all all scram-sha-256\n")
    s3 = engines.s3.program()
    heard = [argument.replace("127.0.0.1:", ":") for argument in s3.arguments]
    return [postgresql.program(), *kafka.programs(), dataclasses.replace(s3, arguments=heard)]
