"""Reads C-STORE requests straight off an association (PS3.7 section 9.3.1, PS3.8 section 9.3.5).

pynetdicom settles associations, and answers whatever is no C-STORE request. It makes objects of every fragment, hands them from
one thread to another, and both look for work a thousand times a second: of the time an instance takes that is more than half
(docs/benchmarks/ingest_store.md). So while an association is open its requests are read here, by pynetdicom's own thread of the
connection: fragments go where they belong in one buffer, and the answer goes out from where it was made.
"""

import contextlib
import struct
from collections.abc import Callable
from typing import Any

from ingest.adapters.patience import Patience

_P_DATA_TF = 0x04
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_COMMAND, _LAST = 1, 2
"""Bits of the message control header, PS3.8 section E.2."""
_NO_DATA_SET = 0x0101
_LONGEST_COMMAND = 1 << 16
_KEPT = 16 << 20
"""Bytes of the largest buffer that is kept for the next instance: fresh memory costs more than what is written into it."""
_ESTABLISHED = "Sta6"
"""State "association established and ready for data transfer", PS3.8 table 9-4."""
_LOOK_EVERY_S = 0.01
"""How long pynetdicom waits at most for what it has to send or to end, while nothing comes in."""

_PDU, _PDV, _ELEMENT = struct.Struct(">BxL"), struct.Struct(">LBB"), struct.Struct("<HHL")

Store = Callable[[memoryview, str], tuple[int, str]]
"""Takes an encoded data set and its transfer syntax; returns status and error comment. The buffer is used again afterwards."""


class NotUnderstood(Exception):
    """What came is no message; the association is aborted."""


class StoreRequests:
    """The C-STORE requests of one association.

    Parameters
    ----------
    association : pynetdicom.association.Association
    patience : Patience
        Bound to its connection.
    store : callable
        See `Store`.
    """

    def __init__(self, association: Any, patience: Patience, store: Store) -> None:
        self._association, self._patience, self._store = association, patience, store
        self._dul = association.dul
        self._contexts: dict[int, str] = {}
        self._command = bytearray()
        self._request: dict[int, bytes] | None = None
        self._data, self._length = bytearray(1 << 16), 0
        self._context_id = 0

    def bind(self) -> None:
        """Read them from now on."""
        pynetdicoms, pause_s = self._dul._is_transport_event, self._dul._run_loop_delay

        def look() -> bool:
            """Return whether pynetdicom has something to do, as what this stands for does."""
            if self._dul.state_machine.current_state != _ESTABLISHED:
                self._dul._run_loop_delay = pause_s
                return bool(pynetdicoms())
            self._dul._run_loop_delay = 0  # the wait is here
            return self._serve()

        self._dul._is_transport_event = look

    def _serve(self) -> bool:
        # pynetdicom's other thread of the association looks for messages a thousand times a second; it waits here while we read.
        checkpoint = self._association._reactor_checkpoint
        try:
            while not self._dul.to_provider_queue.qsize() and not self._dul._kill_thread:
                head = self._patience.head(_PDU.size + _PDV.size, _LOOK_EVERY_S)
                if head is None:
                    return False
                checkpoint.clear()
                if head[0] != _P_DATA_TF or not self._read(head):
                    self._dul._read_pdu_data()
                    return True
                self._dul._idle_timer.restart()
        except OSError:
            self._dul.event_queue.put("Evt17")  # as pynetdicom says that the connection is closed
            return True
        except NotUnderstood:
            self._dul.event_queue.put("Evt19")  # as it says that a PDU is none
            return True
        finally:
            checkpoint.set()
        return False

    def _read(self, head: bytes) -> bool:
        """Read the rest of a P-DATA-TF PDU; return False, and give it back, when it begins a message that is no C-STORE request."""
        _, left = _PDU.unpack_from(head)
        self._patience.expect(left)
        place = _PDU.size
        while left:
            if len(head) - place < _PDV.size:
                head, place = head[place:] + self._patience.read(_PDV.size - (len(head) - place)), 0
            length, context_id, control = _PDV.unpack_from(head, place)
            size, left = length - 2, left - 4 - length
            if size < 0 or left < 0:
                raise NotUnderstood
            if control & _COMMAND:
                fragment = self._patience.read(size)
                if not self._is_store(fragment, control):
                    self._patience.give_back(_PDU.pack(_P_DATA_TF, 4 + length + left) + head[place:] + fragment)
                    return False
                self._context_id = context_id
            else:
                self._append(size, context_id)
            if control & _LAST and (not control & _COMMAND or self._has_no_data_set()):
                self._answer()
            head, place = b"", 0
        return True

    def _is_store(self, fragment: bytes, control: int) -> bool:
        if self._request is not None or self._length:
            raise NotUnderstood
        if not self._command and control & _LAST and _elements_of(fragment).get(0x0100) != _us(_C_STORE_RQ):
            return False
        self._command += fragment
        if len(self._command) > _LONGEST_COMMAND:
            raise NotUnderstood
        if control & _LAST:
            self._request = _elements_of(bytes(self._command))
            self._command = bytearray()
            if self._request.get(0x0100) != _us(_C_STORE_RQ):
                raise NotUnderstood  # in several fragments, which pynetdicom cannot be given back
        return True

    def _has_no_data_set(self) -> bool:
        return self._request is not None and self._request.get(0x0800) == _us(_NO_DATA_SET)

    def _append(self, size: int, context_id: int) -> None:
        """Read a fragment of the data set to its place."""
        if self._request is None or context_id != self._context_id:
            raise NotUnderstood
        end = self._length + size
        if end > len(self._data):
            self._data += bytes(max(end, min(2 * len(self._data), len(self._data) + _KEPT)) - len(self._data))
        with memoryview(self._data) as whole, whole[self._length : end] as part:
            self._patience.read_into(part)
        self._length = end

    def _answer(self) -> None:
        request, self._request = self._request or {}, None
        length, self._length = self._length, 0
        if self._context_id not in self._contexts:
            accepted = self._association.accepted_contexts
            self._contexts = {context.context_id: str(context.transfer_syntax[0]) for context in accepted}
            if self._context_id not in self._contexts:
                raise NotUnderstood
        self._patience.message_is_whole()
        with memoryview(self._data) as whole, whole[:length] as data:
            status, comment = self._store(data, self._contexts[self._context_id])
        if len(self._data) > _KEPT:
            self._data = bytearray(1 << 16)
        self._dul.socket.socket.sendall(_response(self._context_id, request, status, comment))


def _elements_of(command: bytes) -> dict[int, bytes]:
    """Return the values of a command set by element number; Implicit VR Little Endian, PS3.7 section 6.3.1.

    Raises
    ------
    NotUnderstood
        Where it ends inside an element.
    """
    found, place = {}, 0
    with contextlib.suppress(struct.error):
        while place < len(command):
            _, element, length = _ELEMENT.unpack_from(command, place)
            place += _ELEMENT.size + length
            found[element] = command[place - length : place]
    if place != len(command):
        raise NotUnderstood
    return found


def _us(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _response(context_id: int, request: dict[int, bytes], status: int, comment: str) -> bytes:
    """Return the P-DATA-TF PDU of a C-STORE response, PS3.7 table 9.3-2."""
    text = comment.encode("ascii", "replace")
    elements = {
        0x0002: request.get(0x0002, b""),
        0x0100: _us(_C_STORE_RSP),
        0x0120: request.get(0x0110, _us(0)),
        0x0800: _us(_NO_DATA_SET),
        0x0900: _us(status),
        **({0x0902: text + b" " * (len(text) % 2)} if text else {}),
        0x1000: request.get(0x1000, b""),
    }
    body = b"".join(_ELEMENT.pack(0, element, len(value)) + value for element, value in elements.items())
    command = _ELEMENT.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body
    return _PDU.pack(_P_DATA_TF, len(command) + 6) + _PDV.pack(len(command) + 2, context_id, _COMMAND | _LAST) + command
