"""How much a sender may send at a time, and how long it may take: what it sends is in memory until it is whole.

pynetdicom waits for as long as a PDU takes and believes any length. So the call by which it reads from a connection is replaced,
here and for each connection, by one with limits.
"""

import time
from collections.abc import Callable
from typing import Any

LARGEST_PDU = 1 << 20
"""Bytes. We ask senders for at most 16 KiB at a time (PS3.8 section D.1), and bear with those who do not listen."""
_CHUNK = 1 << 18


class Patience:
    """The limits of one connection.

    Parameters
    ----------
    largest_object_bytes : int
        Bytes from one message to the next.
    timeout_s : float
        Longest time for one PDU, once it has begun.
    gave_up : callable
        Told why: "too-large" or "too-slow".
    """

    def __init__(self, largest_object_bytes: int, timeout_s: float, gave_up: Callable[[str], None]) -> None:
        self._largest, self._timeout_s, self._gave_up = largest_object_bytes, timeout_s, gave_up
        self._received = 0
        self._is_over = False

    def message_is_whole(self) -> None:
        """Begin to count anew."""
        self._received = 0

    def bind(self, transport: Any) -> None:
        """Read from a connection (`pynetdicom.transport.AssociationSocket`) within the limits from now on."""
        connection = transport.socket

        def recv(count: int) -> bytearray:
            """Return ``count`` bytes, or fewer where the connection ends; raises OSError, which ends it."""
            self._received += count
            if count > LARGEST_PDU or self._received > self._largest + LARGEST_PDU:
                raise self._over("too-large")
            read, place = bytearray(count), 0
            view = memoryview(read)
            deadline = time.monotonic() + self._timeout_s
            while place < count:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise self._over("too-slow")
                connection.settimeout(left_s)
                try:
                    got = connection.recv_into(view[place:], min(count - place, _CHUNK))
                except TimeoutError:
                    raise self._over("too-slow") from None
                if not got:
                    break
                place += got
            connection.settimeout(None)
            view.release()
            del read[place:]
            return read

        transport.recv = recv

    def _over(self, why: str) -> OSError:
        if not self._is_over:  # pynetdicom may read once more before it closes
            self._is_over = True
            self._gave_up(why)
        return OSError(why)
