"""A secured broker: TLS by an authority of its own, SCRAM users, ACLs and nobody else."""

import datetime
import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from radloop.events.kafka import KafkaAddress
from standalone.engines.kafka import HOST, KafkaCluster
from standalone.supervisor.ports import free_ports
from standalone.supervisor.process import WatchedProcess

ADMIN = "admin:admin-pw"
READY_WITHIN_S = 180


class Authority:
    """Signs certificates for brokers."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key).add_extension(basic, critical=True)
        self._pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._pem)

    def broker(self, name: str, *alternatives: x509.GeneralName) -> Path:
        """Write key, certificate and authority into one file and return it."""
        key = ec.generate_private_key(ec.SECP256R1())
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(uses, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._folder / f"{name}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
            + self._pem
        )
        return file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


@dataclass(frozen=True)
class Secured:
    """The broker's place and whom to trust."""

    port: int
    ca: Path

    def url(self, credentials: str, *, host: str = HOST, ca: Path | None = None, more: str = "") -> str:
        return f"kafka://{credentials}@{host}:{self.port}?tls=true&ca={ca or self.ca}{more}"

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(**KafkaAddress.parse(self.url(ADMIN)).client_options())


@pytest.fixture(scope="session")
def secured(engines_folder, running) -> Secured:
    """The broker, with the users ``admin``, ``qa`` and ``stranger``, who has no rights."""
    folder = engines_folder / "kafka-secured"
    folder.mkdir()
    authority = Authority(folder, "test-ca")
    broker = authority.broker("broker1", x509.IPAddress(ipaddress.ip_address(HOST)))
    port, controller = free_ports(2)
    login = "org.apache.kafka.common.security.scram.ScramLoginModule"
    user, password = ADMIN.split(":")
    cluster = KafkaCluster(
        folder,
        [port],
        [controller],
        listener="SASL_SSL",
        format_options=["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"],
        properties={
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                f'{login} required username="{user}" password="{password}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.file),
            "listener.name.controller.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:CN=broker1",
            "allow.everyone.if.no.acl.found": "false",
        },
    )
    cluster.prepare()
    running.start(*cluster.programs())
    found = Secured(port, authority.file)
    admin = found.admin()
    for name in ("qa", "stranger"):
        upsertion = UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, f"{name}-pw")
        admin.alter_user_scram_credentials([upsertion])
    admin.close()
    return found


class Broker:
    """One broker of a test's own, to be killed and started again."""

    def __init__(self, folder: Path) -> None:
        port, controller = free_ports(2)
        self._cluster = KafkaCluster(folder, [port], [controller])
        self._cluster.prepare()
        self.url, self.bootstrap = self._cluster.url, self._cluster.bootstrap
        (program,) = self._cluster.programs()
        self._process = WatchedProcess(program, folder / "kafka.log")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process.start(time.monotonic())
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._process.ready:
            assert self._process.step(time.monotonic()) != "died", self._process.last_lines(20)
            assert time.monotonic() < deadline, self._process.last_lines(20)
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, as the power does."""
        self._process.kill()


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory):
    """A broker without security that no other module uses."""
    broker = Broker(tmp_path_factory.mktemp("own-kafka"))
    broker.start()
    yield broker
    broker.kill()
