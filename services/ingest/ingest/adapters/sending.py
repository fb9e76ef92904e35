"""Sends objects to the site's archives: by C-STORE (PS3.4 Annex B) or STOW-RS (PS3.18 section 10.5)."""

import uuid
from collections.abc import Callable

import httpx
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE

from ingest.adapters.association import associate
from ingest.adapters.destinations import Archive, Web
from radloop.dicom.files import written
from radloop.errors import PermanentError, TemporaryError

_SUCCESS, _OUT_OF_RESOURCES = 0x0000, 0xA700
_WARNINGS = range(0xB000, 0xC000)

Way = Archive | Web


def send(ds: Dataset, way: Way, ae_title: str) -> None:
    """Send an object; when this returns, the receiver has said that it is stored.

    Parameters
    ----------
    ds : pydicom.dataset.Dataset
        With its file meta information.
    way : Archive or Web
    ae_title : str
        Ours.

    Raises
    ------
    TemporaryError
        The receiver is away or busy, or lets nobody in now.
    PermanentError
        It has answered that it does not take the object.
    """
    if isinstance(way, Archive):
        _by_dimse(ds, way, ae_title)
    else:
        _by_stow(ds, way)


Send = Callable[[Dataset, Way, str], None]


def _by_dimse(ds: Dataset, way: Archive, ae_title: str) -> None:
    entity = AE(ae_title=ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = way.timeout_s
    entity.maximum_pdu_size = 0
    entity.add_requested_context(ds.SOPClassUID, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = associate(entity, way.host, way.port, ae_title=way.ae_title)
    if not association.is_established:
        refused = association.is_rejected
        raise TemporaryError(
            "archive-refuses" if refused else "archive-away",
            expected="an association with the destination",
            got="a rejection" if refused else "none",
            do="let it know our AE title and address"
            if refused
            else "see whether it runs and can be reached from here",
        )
    try:
        if not association.accepted_contexts:
            raise PermanentError(
                "class-not-taken",
                expected="a destination that accepts this SOP class",
                got="none of its presentation contexts",
                do="take another form for it in the file that INGEST_DESTINATIONS_FILE names",
            )
        status = association.send_c_store(ds)
    finally:
        association.release()
    _judge(status.get("Status") if status else None)


def _judge(status: int | None) -> None:
    """Tell what a C-STORE's status means (PS3.4 table B.2-1, PS3.7 Annex C)."""
    if status == _SUCCESS or status in _WARNINGS:
        return
    if status is None or status & 0xFF00 == _OUT_OF_RESOURCES:
        got = "no answer" if status is None else f"status 0x{status:04X}, out of resources"
        raise TemporaryError("archive-busy", expected="a C-STORE that succeeds", got=got)
    raise PermanentError(
        "archive-declines",
        expected="a C-STORE that succeeds",
        got=f"status 0x{status:04X}",
        do="see the destination's log for why it does not take the object",
    )


def _by_stow(ds: Dataset, way: Web) -> None:
    boundary = uuid.uuid4().hex
    part = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    if way.token_file is not None:
        headers["Authorization"] = _credentials(way)
    body = part + written(ds) + f"\r\n--{boundary}--\r\n".encode()
    try:
        answer = httpx.post(f"{way.url.rstrip('/')}/studies", content=body, headers=headers, timeout=way.timeout_s)
    except httpx.HTTPError as error:
        raise TemporaryError(
            "archive-away",
            expected="an answer of the destination",
            got=type(error).__name__,
            do="see whether it runs and can be reached from here",
        ) from error
    if answer.status_code in (httpx.codes.OK, httpx.codes.ACCEPTED):
        return
    kind = TemporaryError if answer.status_code in _MAY_PASS or answer.is_server_error else PermanentError
    raise kind(
        "archive-declines",
        expected="200 or 202 of STOW-RS",
        got=f"{answer.status_code}",
        do="see the destination's log for why it does not take the object",
    )


_MAY_PASS = frozenset({401, 403, 408, 425, 429})
"""A token that has run out is renewed by somebody; the object is all right."""


def _credentials(way: Web) -> str:
    """Return the Authorization header: a file with a bare word holds a bearer token, else the whole value (``Basic ...``)."""
    assert way.token_file is not None
    try:
        token = way.token_file.read_text().strip()
    except OSError as error:
        raise TemporaryError(
            "token-unreadable",
            expected="the file with the destination's token",
            got=type(error).__name__,
            do="mend token_file in the file that INGEST_DESTINATIONS_FILE names",
        ) from error
    return token if " " in token else f"Bearer {token}"
