"""How much a sender may send at a time, and how long it may take: what it sends is in memory until it is whole.

pynetdicom waits for as long as a PDU takes and believes any length. So the call by which it reads from a connection is replaced,
here and for each connection, by one with limits.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

PDU_BYTES = 1 << 17
"""What senders are asked to send at most at a time (PS3.8 section D.1)."""
LARGEST_PDU = 1 << 20
"""Bytes of the largest PDU taken from those who do not listen."""
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
        self._deadline = 0.0
        self._is_over = False
        self._given_back = b""
        self._connection: Any = None

    def message_is_whole(self) -> None:
        """Begin to count anew."""
        self._received = 0

    def bind(self, transport: Any) -> None:
        """Read from a connection (`pynetdicom.transport.AssociationSocket`) within the limits from now on."""
        self._connection = transport.socket

        def recv(count: int) -> bytearray:
            """Return ``count`` bytes, or fewer where the connection ends; raises OSError, which ends it."""
            self.expect(count)
            read = bytearray(count)
            with memoryview(read) as view:
                place = self._fill(view)
            self._connection.settimeout(None)
            del read[place:]
            return read

        transport.recv = recv

    def head(self, most: int, wait_s: float) -> bytes | None:
        """Return the first bytes of a PDU, at least its head of 6 and at most ``most``; None when none came within ``wait_s``.

        Raises
        ------
        OSError
            The connection has ended.
        """
        acknowledge(self._connection)
        self._connection.settimeout(wait_s)
        try:
            read: bytes = self._connection.recv(most)
        except TimeoutError:
            return None
        if not read:
            raise OSError("the connection has ended")
        self.expect(len(read))
        if len(read) < 6:
            read += self.read(6 - len(read))
        if read[0] != 0x04:  # not P-DATA-TF: pynetdicom's, from its first byte
            self.give_back(read)
        return read

    def expect(self, count: int) -> None:
        """Begin to read ``count`` bytes that belong together, and their time.

        Raises
        ------
        OSError
            They are too many.
        """
        self._received += count
        if count > LARGEST_PDU or self._received > self._largest + LARGEST_PDU:
            raise self._over("too-large")
        self._deadline = time.monotonic() + self._timeout_s

    def read(self, count: int) -> bytes:
        """Return the next bytes; see `read_into`."""
        read = bytearray(count)
        with memoryview(read) as view:
            self.read_into(view)
        return bytes(read)

    def read_into(self, view: memoryview) -> None:
        """Fill a buffer.

        Raises
        ------
        OSError
            The connection has ended, or took too long.
        """
        if self._fill(view) < len(view):
            raise OSError("the connection has ended")

    def give_back(self, data: bytes) -> None:
        """Have the next to read begin with these bytes."""
        self._given_back = data + self._given_back

    def _fill(self, view: memoryview) -> int:
        place = min(len(self._given_back), len(view))
        if place:
            view[:place] = self._given_back[:place]
            self._given_back = self._given_back[place:]
        while place < len(view):
            left_s = self._deadline - time.monotonic()
            if left_s <= 0:
                raise self._over("too-slow")
            self._connection.settimeout(left_s)
            try:
                got = self._connection.recv_into(view[place:], min(len(view) - place, _CHUNK))
            except TimeoutError:
                raise self._over("too-slow") from None
            if not got:
                break
            place += got
        return place

    def _over(self, why: str) -> OSError:
        if not self._is_over:  # pynetdicom may read once more before it closes
            self._is_over = True
            self._gave_up(why)
        return OSError(why)


def acknowledge(connection: socket.socket) -> None:
    """Spare senders that leave Nagle's algorithm on (DCMTK and pynetdicom do) the delayed acknowledgement.

    They send a request in two writes, and hold the second back until the first is acknowledged: 40 ms for each instance.
    Linux takes the option back by itself, so it is set again for every PDU.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
