"""Where Kafka is and how a service signs in, read from ``RADLOOP_EVENTS_URL``. Nothing here is ever printed whole."""

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from radloop.errors import PermanentError
from radloop.events.kafka.sockets import DIRECT

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
DEFAULT_PORT = 9092
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_FORM = (
    "kafka://[user:password@]host:port[,host:port]"
    "?tls=true&ca=<file>&mechanism=SCRAM-SHA-512&replication=3, reserved characters in percent form"
)


@dataclass(frozen=True)
class KafkaAddress:
    """A cluster and one user of it.

    Attributes
    ----------
    servers : tuple of (host, port)
        Brokers asked first; they name the others.
    user, password : str
        Empty: nobody signs in.
    tls : bool
        Whether connections are encrypted and the brokers' certificates and names checked.
    ca : str
        File with the authorities that are trusted; empty: those the system trusts.
    mechanism : str
        How the user signs in.
    replication : int
        Copies of each partition of a topic that is made; -1: as many as the brokers make by default.
    """

    servers: tuple[tuple[str, int], ...]
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    mechanism: str = MECHANISMS[0]
    replication: int = -1

    @classmethod
    def parse(cls, url: str) -> "KafkaAddress":
        """Read a URL.

        Raises
        ------
        PermanentError
            When it is no such URL; the message quotes no part that may hold a password.
        """
        # Taken apart here: since Python 3.13 urlsplit refuses a list of hosts in which a bracket comes later.
        scheme, _, rest = url.partition("://")
        place, _, query = rest.partition("?")
        authority, _, path = place.partition("/")
        credentials, _, places = authority.rpartition("@")
        user, _, password = credentials.partition(":")
        options = dict(parse_qsl(query, keep_blank_values=True))
        unknown = sorted(options.keys() - {"tls", "ca", "mechanism", "replication"})
        if scheme.lower() != "kafka" or path or "#" in url or unknown:
            raise _invalid(f"the option {unknown[0]}" if unknown else "a URL of another form")
        if bool(user) != bool(password):
            raise _invalid("a user without a password, or a password without a user")
        tls = options.get("tls", "false").lower()
        if tls not in _TRUE + _FALSE:
            raise _invalid("tls neither true nor false")
        mechanism = options.get("mechanism", MECHANISMS[0]).upper()
        if mechanism not in MECHANISMS:
            raise _invalid(f"a mechanism that is none of {', '.join(MECHANISMS)}")
        if mechanism == "PLAIN" and tls in _FALSE:
            raise _invalid("the mechanism PLAIN without TLS: whoever listens would read the password")
        replication = options.get("replication", "-1")
        if replication != "-1" and not (replication.isdecimal() and int(replication) > 0):
            raise _invalid("replication that is no positive number")
        return cls(
            servers=tuple(_server(place) for place in places.split(",")),
            user=unquote(user),
            password=unquote(password),
            tls=tls in _TRUE,
            ca=options.get("ca", ""),
            mechanism=mechanism,
            replication=int(replication),
        )

    @property
    def bootstrap(self) -> str:
        """The brokers as people write them: ``host:port,…``."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.servers)

    def trust(self) -> ssl.SSLContext:
        """Make the TLS context.

        Raises
        ------
        PermanentError
            When the file of authorities cannot be read.
        """
        try:
            return ssl.create_default_context(cafile=self.ca or None)
        except (OSError, ssl.SSLError) as error:
            raise PermanentError(
                "events-url-invalid",
                expected=f"certificates in PEM form in the file {self.ca}",
                got=type(error).__name__,
                do="set ca in RADLOOP_EVENTS_URL to the file with the authority that signed the brokers' certificates",
            ) from error

    def client_options(self) -> dict[str, Any]:
        """Return what every client of `kafka-python` is made with."""
        secure = "SSL" if self.tls else "PLAINTEXT"
        options: dict[str, Any] = {
            "bootstrap_servers": [*self.bootstrap.split(",")],
            "bootstrap_timeout_ms": 10_000,
            "request_timeout_ms": 10_000,
            "reconnect_backoff_max_ms": 1_000,
            "proxy_url": DIRECT,
            "security_protocol": f"SASL_{secure}" if self.user else secure,
        }
        if self.tls:
            options["ssl_context"] = self.trust()
        if self.user:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return options


def _server(place: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
    except ValueError as error:
        raise _invalid("a URL of another form") from error
    try:
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise _invalid("a port that is no number") from error
    if not host or parts.username is not None:
        raise _invalid("a broker without a host")
    return host, port


def _invalid(got: str) -> PermanentError:
    return PermanentError("events-url-invalid", expected=_FORM, got=got, do="set RADLOOP_EVENTS_URL")
