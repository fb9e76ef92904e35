"""Ports of the loopback address."""

import os
import socket

from radloop.errors import Conflict

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Find ports of the loopback address that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def check_port(port: int, option: str) -> None:
    """Make sure that a port somebody asked for is free.

    Raises
    ------
    Conflict
        Something listens there.
    """
    with socket.socket() as trial:
        # As the servers do: a port that only waits for old connections to time out is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            raise Conflict(
                "port-taken",
                expected=f"port {port} to be free",
                got=os.strerror(error.errno or 0),
                do=f"choose another with {option}",
            ) from error
