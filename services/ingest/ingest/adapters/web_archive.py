"""An archive by DICOMweb: found by QIDO-RS (PS3.18 section 10.6), fetched by WADO-RS (section 10.4), an instance at a time in memory."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import httpx
from pydicom.dataset import Dataset

from ingest.adapters.archives import Archive
from ingest.adapters.dimse_query import away, found_of
from ingest.adapters.multipart import UnreadableBody, UnsupportedMedia
from ingest.adapters.multipart_stream import parts_in
from ingest.adapters.reception import Receiver
from ingest.adapters.values import text_of
from ingest.domain.cohorts import Found
from ingest.domain.pulls import Failure, Query, StudyFailed
from ingest.ports.pulling import Retrieved
from radloop.errors import PermanentError, TemporaryError

_PAGE = 200
_INCLUDED = ["00081030", "00100021", "00201206", "00201208", "00080062"]
"""Study Description, Issuer of Patient ID, both counts, SOP Classes in Study; the rest is answered anyway (table 10.6.3-3). Each
in a parameter of its own: Orthanc 1.10 does not take a list."""
_WANTED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_DICOM_JSON = "application/dicom+json"


class WebArchive:
    """An archive that is asked by DICOMweb; see `ports.ArchiveConnection`.

    Parameters
    ----------
    archive : Archive
    receiver : Receiver
    pace : callable
        Called before each instance; returns when it may come.
    largest_object_bytes : int
        Of one instance.
    """

    def __init__(
        self, archive: Archive, receiver: Receiver, pace: Callable[[], None], largest_object_bytes: int
    ) -> None:
        self._archive, self._receiver, self._pace, self._largest = archive, receiver, pace, largest_object_bytes
        self._aborted = threading.Event()

    def abort(self) -> None:
        """End what is under way after the instance at hand."""
        self._aborted.set()

    def find(self, query: Query) -> list[Found]:
        """Return the studies that match at the study level, and maybe others."""
        return [found for asked in _parameters(query) for found in self._search("/studies", asked, found_of)]

    def look(self, study_instance_uid: str) -> Found | None:
        """Return one study as it is now, counted by its instances where the archive does not count studies."""
        asked = {"StudyInstanceUID": study_instance_uid, "includefield": _INCLUDED}
        found = [
            each for each in self._search("/studies", asked, found_of) if each.study_instance_uid == study_instance_uid
        ]
        if not found or found[0].instances is not None:
            return found[0] if found else None
        instances = self._search(f"/studies/{study_instance_uid}/instances", {}, _sop_instance_uid)
        return replace(found[0], instances=len(set(instances)))

    def body_parts(self, study_instance_uid: str) -> frozenset[str]:
        """Return Body Part Examined of the series of a study."""
        asked = {"includefield": "00180015"}
        parts = self._search(f"/studies/{study_instance_uid}/series", asked, lambda ds: text_of(ds, 0x00180015).upper())
        return frozenset(part for part in parts if part)

    def retrieve(self, study: Found, anew: Callable[[], None]) -> Retrieved:
        """Have a study sent in parts, and give each to the reception as it comes."""
        sent = 0
        with self._client() as client, self._receiver.open(self._archive.move_destination) as reception:
            try:
                for data in self._parts(client, study.study_instance_uid):
                    if self._aborted.is_set():
                        raise StudyFailed(Failure.BROKEN_OFF, "the end of this service")
                    self._pace()
                    reception.receive(data)
                    sent += 1
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise away(type(error).__name__) from error
            except (httpx.TransportError, UnreadableBody) as error:
                raise StudyFailed(Failure.BROKEN_OFF, type(error).__name__) from error
            except TemporaryError as error:
                raise StudyFailed(Failure.NOT_STORED, error.code) from error
        return Retrieved(sent, 0)

    def _parts(self, client: httpx.Client, study_instance_uid: str) -> Iterator[bytes]:
        path = f"{self._archive.web_url}/studies/{study_instance_uid}"
        with client.stream("GET", path, headers={"Accept": _WANTED}) as answer:
            if answer.status_code == HTTPStatus.NOT_FOUND:
                raise StudyFailed(Failure.GONE, "status 404")
            if answer.is_error and answer.status_code not in (401, 403):
                raise StudyFailed(Failure.ARCHIVE_REFUSED, f"status {answer.status_code}")
            _check(answer)
            try:
                yield from parts_in(answer.iter_bytes(), answer.headers.get("Content-Type", ""), self._largest)
            except UnsupportedMedia as error:
                raise StudyFailed(Failure.ARCHIVE_REFUSED, error.got) from error

    def _search(self, path: str, asked: dict[str, Any], read: Callable[[Dataset], Any]) -> list[Any]:
        """Return what an archive answers to a search, page by page, until a page brings nothing new."""
        found: list[Any] = []
        known: set[str] = set()
        with self._client() as client:
            while True:
                page = {**asked, "limit": str(_PAGE), "offset": str(len(known))}
                answer = self._get(client, path, page)
                fresh = [each for each in answer if str(each) not in known]
                if not fresh:
                    return found
                known |= {str(each) for each in fresh}
                found += [read(_dataset(each)) for each in fresh]

    def _get(self, client: httpx.Client, path: str, asked: dict[str, Any]) -> list[Any]:
        if self._aborted.is_set():
            raise TemporaryError("archive-stopped", expected="a service that runs", got="one that ends")
        try:
            answer = client.get(self._archive.web_url + path, params=asked, headers={"Accept": _DICOM_JSON})
        except httpx.TransportError as error:
            raise away(type(error).__name__) from error
        if answer.status_code in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            return []
        _check(answer)
        try:
            page = answer.json()
        except ValueError as error:
            raise away("no DICOM JSON") from error
        return page if isinstance(page, list) else []

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        token = self._archive.token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        file = self._archive.ca_file
        verify = ssl.create_default_context(cafile=str(file) if file else None)
        timeout = httpx.Timeout(self._archive.timeout_s, connect=min(30.0, self._archive.timeout_s))
        with httpx.Client(headers=headers, timeout=timeout, verify=verify, trust_env=False) as client:
            yield client


def _check(answer: httpx.Response) -> None:
    if answer.status_code in (401, 403):
        raise PermanentError(
            "archive-refuses",
            expected="an archive that lets us ask",
            got=f"status {answer.status_code}",
            do="renew the token in bearer_token_file",
        )
    if answer.is_server_error:
        raise away(f"status {answer.status_code}")
    if answer.is_error:
        raise PermanentError(
            "archive-refuses-find", expected="an answer to QIDO-RS", got=f"status {answer.status_code}"
        )


def _parameters(query: Query) -> Iterator[dict[str, Any]]:
    """Yield the searches of a query. Study Description is matched here: it is no key that a server must know (table 10.6.1-5)."""
    first, last = query.dates
    asked: dict[str, Any] = {
        "StudyDate": f"{first}-{last}" if first or last else "",
        "ModalitiesInStudy": query.modality,
        "includefield": _INCLUDED,
    }
    asked = {name: value for name, value in asked.items() if value}
    if query.patient_ids:
        yield from (asked | {"PatientID": each} for each in query.patient_ids)
    elif query.accession_numbers:
        yield from (asked | {"AccessionNumber": each} for each in query.accession_numbers)
    else:
        yield asked


def _dataset(answered: Any) -> Dataset:
    try:
        return Dataset.from_json(answered)
    except Exception as error:  # pydicom raises many kinds for values that are none
        raise away("no DICOM JSON") from error


def _sop_instance_uid(ds: Dataset) -> str:
    return text_of(ds, 0x00080018)
