"""The DICOM door: C-ECHO and C-STORE as a service class provider (PS3.4 Annex A and B)."""

import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import pynetdicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from ingest.adapters.metrics import TURNED_AWAY
from ingest.adapters.parsing import ENCAPSULATED
from ingest.adapters.patience import PDU_BYTES, Patience, acknowledge
from ingest.adapters.reception import Fate, Outcome, Receiver, Reception
from ingest.adapters.store_requests import StoreRequests
from ingest.domain.reasons import RejectReason
from radloop.errors import PermanentError
from radloop.telemetry import logger

log = logger(__name__)

# pynetdicom takes the first of its own list that the sender offers; its default begins with Implicit VR, which makes senders
# rewrite everything.
TRANSFER_SYNTAXES = [
    str(uid)
    for uid in (
        ExplicitVRLittleEndian,
        *ENCAPSULATED,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    )
]

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
"""Refused: Out of Resources. The sender may try again."""

STATUS: dict[RejectReason, int] = {
    # PS3.4 table B.2-1: Cxxx is "Cannot Understand"; the last digits are ours, the comment says the reason.
    RejectReason.NOT_DICOM: 0xC000,
    RejectReason.TRUNCATED: 0xC001,
    RejectReason.NO_PIXEL_DATA: 0xC002,
    RejectReason.UNDECODABLE: 0xC003,
    RejectReason.PIXELS_DIFFER: 0xC004,
    # PS3.7 C.5.10: Refused: Not authorized.
    RejectReason.WITHDRAWN: 0x0124,
}

_COMMENT_LENGTH = 64  # Error Comment (0000,0902) is LO


class DicomDoor:
    """Listens for associations.

    Parameters
    ----------
    receiver : Receiver
    host, port : str, int
        Port 0 takes a free one; `port` tells which.
    ae_title : str
        Our own. Any called AE title is accepted: projects route by it.
    max_associations : int
    calling_ae_titles : sequence of str
        Senders that are known; none: whoever comes is accepted.
    largest_object_bytes : int
        Of one instance, as it is sent.
    timeout_s : float
        How long a sender may say nothing, or take for one PDU.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        host: str,
        port: int,
        ae_title: str,
        max_associations: int,
        calling_ae_titles: Sequence[str] = (),
        largest_object_bytes: int = 2 << 30,
        timeout_s: float = 60.0,
    ) -> None:
        self._receiver, self._address = receiver, (host, port)
        self._largest_object_bytes, self._timeout_s = largest_object_bytes, timeout_s
        self._patience: dict[object, Patience] = {}
        self.turned_away: Counter[str] = Counter()
        self._receptions: dict[object, Reception] = {}
        self._lock = threading.Lock()
        self._ae = AE(ae_title=ae_title)
        self._ae.maximum_associations = max_associations
        self._ae.maximum_pdu_size = PDU_BYTES
        self._ae.require_calling_aet = list(calling_ae_titles)
        self._ae.network_timeout = timeout_s
        self._ae.add_supported_context(Verification, TRANSFER_SYNTAXES)
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(context.abstract_syntax, TRANSFER_SYNTAXES)
        self._server: pynetdicom.transport.ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """The port listened on; 0 while closed."""
        return self._server.server_address[1] if self._server else 0

    def open(self) -> None:
        """Begin to listen.

        Raises
        ------
        PermanentError
            When the port is taken.
        """
        silence_pynetdicom()
        handlers: list[tuple[object, Callable[..., object]]] = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_DATA_RECV, acknowledge_at_once),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]
        try:
            self._server = self._ae.start_server(self._address, block=False, evt_handlers=handlers)  # type: ignore[arg-type,assignment]
        except OSError as error:
            raise PermanentError(
                "dicom-port-taken", expected="a free port", got=f"{self._address[1]}", do="set INGEST_DICOM_PORT"
            ) from error
        log.info("listening for DICOM associations", port=self.port)

    def close(self) -> None:
        """Stop listening and abort what is open; senders were not told Success for what is not durable."""
        self._ae.shutdown()
        self._server = None

    def _on_open(self, event: evt.Event) -> None:
        transport = event.assoc.dul.socket
        if transport is not None and transport.socket is not None:
            # Each response goes out without waiting for the acknowledgement of the last.
            transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            patience = Patience(self._largest_object_bytes, self._timeout_s, self._turn_away)
            with self._lock:
                self._patience[event.assoc] = patience
            patience.bind(transport)
            association = event.assoc
            StoreRequests(association, patience, lambda data, syntax: self._store(association, data, syntax)).bind()

    def _on_rejected(self, event: evt.Event) -> None:
        title = str(event.assoc.requestor.primitive.calling_ae_title or "").strip()
        known = self._ae.require_calling_aet
        self._turn_away("unknown-sender" if known and title not in known else "too-many")

    def _turn_away(self, why: str) -> None:
        self.turned_away[why] += 1
        TURNED_AWAY.labels(why).inc()
        log.warning("a sender was turned away", reason=why)

    def _on_echo(self, event: evt.Event) -> int:
        with self._lock:
            patience = self._patience.get(event.assoc)
        if patience is not None:
            patience.message_is_whole()
        return SUCCESS

    def _on_close(self, event: evt.Event) -> None:
        with self._lock:
            self._patience.pop(event.assoc, None)
            reception = self._receptions.pop(event.assoc, None)
        if reception is not None:
            reception.close(broken=not event.assoc.is_released)

    def _reception(self, association: Association) -> Reception:
        with self._lock:
            if association not in self._receptions:
                called = str(association.requestor.primitive.called_ae_title or "").strip()
                self._receptions[association] = self._receiver.open(called)
            return self._receptions[association]

    def _store(self, association: Association, data: memoryview, transfer_syntax_uid: str) -> tuple[int, str]:
        """Take one instance in; every answer is a status and a comment, whatever happened."""
        try:
            outcome = self._reception(association).receive(data, transfer_syntax_uid)
        except Exception:  # temporary errors of store and index, and what nobody foresaw: nothing was stored
            log.error("instance not stored, the sender may try again")
            return OUT_OF_RESOURCES, "could not be stored now"
        return answer_to(outcome)


def answer_to(outcome: Outcome) -> tuple[int, str]:
    """Return what a C-STORE request is answered with: status and error comment."""
    if outcome.fate is Fate.REFUSED or outcome.reason is RejectReason.PIXELS_DIFFER:
        assert outcome.reason is not None
        return STATUS[outcome.reason], outcome.reason.value.upper()[:_COMMENT_LENGTH]
    return SUCCESS, ""


def acknowledge_at_once(event: evt.Event) -> None:
    """Acknowledge what has come over an association, for each of its PDUs; see `patience.acknowledge`."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        acknowledge(transport.socket)


def silence_pynetdicom() -> None:
    """Its logs carry AE titles, UIDs and data sets."""
    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    pynetdicom._config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom._config.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
