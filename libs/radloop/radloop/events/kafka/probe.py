"""Finds out why Kafka cannot be used: `kafka-python` reports a closed port, an unknown authority and a wrong password alike.

One broker after the other is asked with sockets of our own: TCP, then TLS, then the user's name and password.
"""

import socket
import ssl
import struct

from kafka import errors
from kafka.net.sasl import get_sasl_mechanism

from radloop.errors import RadloopError, Unavailable
from radloop.events.kafka.address import KafkaAddress

_TIMEOUT_S = 3.0
_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_UNSUPPORTED_MECHANISM = 33
_LARGEST_ANSWER = 1 << 20


class _Refused(Exception):
    def __init__(self, code: str, expected: str, got: str, do: str) -> None:
        super().__init__(code)
        self.code, self.expected, self.got, self.do = code, expected, got, do


def probe(address: KafkaAddress) -> Unavailable | None:
    """Look at the brokers of an address, in their order.

    Returns
    -------
    Unavailable or None
        What is wrong with the first of them when none can be used; None as soon as one can.
    """
    first: _Refused | None = None
    for host, port in address.servers:
        try:
            _sign_in(address, host, port)
            return None
        except _Refused as refused:
            first = first or refused
    assert first is not None  # an address has at least one broker
    return Unavailable(first.code, delay_s=1.0, expected=first.expected, got=first.got, do=first.do)


def explain(error: Exception) -> RadloopError | None:
    """Put what Kafka answered into words where it says itself what is wrong."""
    text = f"{type(error).__name__} {error}"
    if isinstance(error, errors.MessageSizeTooLargeError) or "RecordTooLarge" in text:
        return Unavailable(
            "event-too-large",
            expected="an event of 16 MiB at most, and a topic whose max.message.bytes allows it",
            got="a larger one, or an older topic",
            do="radloop topics apply",
        )
    for name, operation in (
        ("TopicAuthorizationFailedError", "Read or Write on the topic"),
        ("GroupAuthorizationFailedError", "Read on the group"),
        # An idempotent producer may begin once its user may write to any topic.
        ("ClusterAuthorizationFailedError", "Write on the topics it says, or IdempotentWrite on the cluster"),
    ):
        if name in text:
            return Unavailable(
                "event-log-forbidden",
                delay_s=5.0,
                expected=f"an ACL that allows {operation}",
                got=f"{name.removesuffix('Error')}",
                do="radloop topics acls --apply, or grant it by hand",
            )
    return None


def _sign_in(address: KafkaAddress, host: str, port: int) -> None:
    where = f"{host}:{port}"
    try:
        connection = socket.create_connection((host, port), timeout=_TIMEOUT_S)
    except OSError as error:
        raise _Refused(
            "event-log-unreachable",
            f"Kafka to answer at {where}",
            _words(error),
            "check host and port in RADLOOP_EVENTS_URL, that the broker runs, and that a firewall lets us through",
        ) from error
    with connection:
        if address.tls:
            connection = _encrypt(address, connection, host, where)
        try:
            with connection:
                _greet(address, connection, where)
                if address.user:
                    _authenticate(address, connection, where)
        except (OSError, EOFError, struct.error) as error:
            raise _Refused(
                "event-log-unreachable", f"an answer in Kafka's protocol at {where}", _words(error), _protocol(address)
            ) from error


def _encrypt(address: KafkaAddress, connection: socket.socket, host: str, where: str) -> ssl.SSLSocket:
    try:
        return address.trust().wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        wrong_name = error.verify_code in (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        raise _Refused(
            "event-log-untrusted",
            f"a certificate for {host} at {where}"
            if wrong_name
            else f"a certificate at {where} by an authority we trust",
            "a certificate for another name" if wrong_name else (error.verify_message or "another certificate"),
            "name the broker as its certificate does"
            if wrong_name
            else "set ca in RADLOOP_EVENTS_URL to the file with the authority that signed the brokers' certificates",
        ) from error
    except (OSError, EOFError) as error:
        raise _Refused(
            "event-log-no-tls",
            f"TLS at {where}",
            f"something else: {_words(error)}",
            "check the port: it may be the one without TLS; or leave tls out of RADLOOP_EVENTS_URL",
        ) from error


def _greet(address: KafkaAddress, connection: socket.socket, where: str) -> None:
    """Ask for the protocol's versions, which a broker tells before anybody has signed in."""
    connection.settimeout(_TIMEOUT_S)
    _ask(connection, _API_VERSIONS, 0, b"")


def _authenticate(address: KafkaAddress, connection: socket.socket, where: str) -> None:
    name = address.mechanism.encode()
    answer = _ask(connection, _SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
    if struct.unpack_from(">h", answer)[0] == _UNSUPPORTED_MECHANISM:
        raise _Refused(
            "event-log-refused",
            f"a broker at {where} that knows {address.mechanism}",
            "one that offers " + (", ".join(_strings(answer[2:])) or "none"),
            "set mechanism in RADLOOP_EVENTS_URL",
        )
    options = address.client_options()
    mechanism = get_sasl_mechanism(address.mechanism)(**options)
    while not mechanism.is_done():
        said = mechanism.auth_bytes()
        answer = _ask(connection, _SASL_AUTHENTICATE, 0, struct.pack(">i", len(said)) + said)
        if struct.unpack_from(">h", answer)[0] != 0:
            raise _Refused(
                "event-log-refused",
                f"the broker at {where} to accept the user in RADLOOP_EVENTS_URL",
                "reachable and trusted, but refused",
                "check user and password; a user may have been made for another mechanism",
            )
        (told,) = _bytes(answer[2:])
        try:
            mechanism.receive(told)
        except ValueError as error:
            raise _Refused(
                "event-log-refused",
                f"a broker at {where} that knows the password, too",
                "one that does not",
                "check whom RADLOOP_EVENTS_URL names: this is not the cluster that has the user",
            ) from error


def _ask(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    request = struct.pack(">hhih", api, version, 1, -1) + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _exactly(connection, 4))
    if not 4 <= length <= _LARGEST_ANSWER:
        raise EOFError("bytes of another protocol")
    return _exactly(connection, length)[4:]


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = connection.recv(count - len(found))
        if not piece:
            raise EOFError("a connection that was closed")
        found += piece
    return found


def _strings(raw: bytes) -> list[str]:
    (count,) = struct.unpack_from(">i", raw)
    found, at = [], 4
    for _ in range(count):
        (length,) = struct.unpack_from(">h", raw, at)
        found.append(raw[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return found


def _bytes(raw: bytes) -> tuple[bytes]:
    """Skip the nullable error message of an answer and return the bytes after it."""
    (length,) = struct.unpack_from(">h", raw)
    at = 2 + max(0, length)
    (size,) = struct.unpack_from(">i", raw, at)
    return (raw[at + 4 : at + 4 + max(0, size)],)


def _protocol(address: KafkaAddress) -> str:
    if address.tls:
        return "check that the port is one of Kafka's"
    return "check that the port is one of Kafka's, and the one without TLS: else set tls=true in RADLOOP_EVENTS_URL"


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {_TIMEOUT_S:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "a host name that nobody knows"
    return str(error) or type(error).__name__
