"""C-FIND as a service class user, study root (PS3.4 section C.4.1): what an archive has. `dimse_retrieve` fetches it.

What an archive answers is identity: it stays in memory, and no error quotes it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as FIND,
)

from ingest.adapters.archives import Archive
from ingest.adapters.association import associate
from ingest.adapters.dimse import acknowledge_at_once, silence_pynetdicom
from ingest.adapters.values import number_of, text_of, texts_of
from ingest.domain.cohorts import Found
from ingest.domain.pulls import Query
from radloop.errors import PermanentError, TemporaryError

SUCCESS, PENDING = 0x0000, (0xFF00, 0xFF01)
OUT_OF_RESOURCES = 0xA700
_DAYS_PER_FIND = 7
"""Longest span of Study Date in one request: many archives answer a few hundred studies at most, and say nothing of the rest."""

STUDY_KEYS = (
    *("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "StudyDate", "StudyDescription", "AccessionNumber"),
    *("ModalitiesInStudy", "NumberOfStudyRelatedInstances", "NumberOfStudyRelatedSeries"),
)


class DimseConnection:
    """Associations with one archive, one at a time.

    Parameters
    ----------
    archive : Archive
    """

    def __init__(self, archive: Archive) -> None:
        silence_pynetdicom()
        self.archive = archive
        self._association: Association | None = None
        self._aborted = threading.Event()

    def abort(self) -> None:
        """End what is under way, from another thread; nothing is begun any more."""
        self._aborted.set()
        association = self._association
        if association is not None and association.is_established:
            association.abort()
            # pynetdicom wakes who waits for an answer when the peer aborts, and not when we do.
            association.dimse.msg_queue.put((None, None))

    @contextmanager
    def association(self, entity: AE, **options: Any) -> Iterator[Association]:
        """Request an association, and release it at the end of the block.

        Raises
        ------
        TemporaryError
            ``archive-away``, ``archive-rejects`` or ``archive-stopped``.
        """
        if self._aborted.is_set():
            raise TemporaryError("archive-stopped", expected="a service that runs", got="one that ends")
        archive = self.archive
        entity.ae_title = archive.calling_ae_title
        entity.connection_timeout = entity.acse_timeout = min(30.0, archive.timeout_s)
        entity.dimse_timeout = entity.network_timeout = archive.timeout_s
        options["evt_handlers"] = [*options.get("evt_handlers", ()), (evt.EVT_DATA_RECV, acknowledge_at_once)]
        association = associate(entity, archive.host, archive.port, ae_title=archive.ae_title, **options)
        if not association.is_established:
            if association.is_rejected:
                raise TemporaryError(
                    "archive-rejects",
                    expected="an association with the archive",
                    got="a rejection",
                    do="have the archive know our AE title and address, and mend its own in INGEST_ARCHIVES_FILE",
                )
            raise away("no association")
        self._association = association
        try:
            yield association
        finally:
            self._association = None
            if association.is_established:
                association.release()

    def find(self, query: Query) -> list[Found]:
        """Return the studies that match at the study level, and maybe others: see `ports.ArchiveConnection`."""
        requests = list(_requests(query))
        with self.association(_finder()) as association:
            return [found_of(ds) for request in requests for ds in find(association, request)]

    def look(self, study_instance_uid: str) -> Found | None:
        """Return one study as it is now, counted by its series where the archive does not count studies."""
        request = _study_request(StudyInstanceUID=study_instance_uid, SOPClassesInStudy=None)
        with self.association(_finder()) as association:
            found = [found_of(ds) for ds in find(association, request)]
            found = [each for each in found if each.study_instance_uid == study_instance_uid]
            if not found:
                return None
            if found[0].instances is not None:
                return found[0]
            return replace(found[0], instances=_instances_by_series(association, study_instance_uid))

    def series_of(self, study_instance_uid: str) -> list[str]:
        """Return the Series Instance UIDs of a study."""
        request = _request("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID="")
        with self.association(_finder()) as association:
            return [text_of(ds, 0x0020000E) for ds in find(association, request)]

    def body_parts(self, study_instance_uid: str) -> frozenset[str]:
        """Return Body Part Examined of the series of a study."""
        request = _request("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID="", BodyPartExamined="")
        with self.association(_finder()) as association:
            parts = {text_of(ds, 0x00180015).upper() for ds in find(association, request)}
        return frozenset(part for part in parts if part)


def find(association: Association, request: Dataset) -> Iterator[Dataset]:
    """Yield what an archive answers to a C-FIND request.

    Raises
    ------
    TemporaryError
        ``archive-away``: the connection ended; ``archive-busy``: out of resources.
    PermanentError
        ``archive-refuses-find``: any other failure.
    """
    for status, ds in association.send_c_find(request, FIND):
        code = status.get("Status")
        if code is None:
            raise away("the connection ended")
        if code in PENDING:
            if ds is not None:
                yield ds
        elif code == OUT_OF_RESOURCES:
            raise TemporaryError("archive-busy", expected="an answer to C-FIND", got="out of resources")
        elif code != SUCCESS:
            raise PermanentError(
                "archive-refuses-find",
                expected="an answer to C-FIND",
                got=f"status 0x{code:04X}",
                do="see the archive's log: it may want other keys, or not let our AE title ask",
            )


def found_of(ds: Dataset) -> Found:
    """Read a study of an answer, of C-FIND or of QIDO-RS."""
    return Found(
        study_instance_uid=text_of(ds, 0x0020000D),
        patient_id=text_of(ds, 0x00100020),
        issuer=text_of(ds, 0x00100021),
        study_date=text_of(ds, 0x00080020),
        study_description=text_of(ds, 0x00081030),
        accession_number=text_of(ds, 0x00080050),
        modalities=tuple(each for each in texts_of(ds, 0x00080061) if each),
        instances=_whole(ds, 0x00201208),
        series=_whole(ds, 0x00201206),
        sop_classes=tuple(each for each in texts_of(ds, 0x00080062) if each),
    )


def away(got: str) -> TemporaryError:
    """Make the error of an archive that does not answer."""
    return TemporaryError(
        "archive-away", expected="an archive that answers", got=got, do="see whether it runs and the port is open"
    )


def spans(dates: tuple[str, str], today: date) -> list[str]:
    """Cut a range of dates, YYYYMMDD, into ranges an archive answers whole; an open end ends today.

    Returns
    -------
    list of str
        Range matching (PS3.4 section C.2.2.2.5), e.g. ``20190101-20190131``; one open range where there is no beginning.
    """
    first, last = dates
    if not first:
        return [f"-{last}" if last else ""]
    day, end = _day(first), _day(last) if last else today
    found = []
    while day <= end:
        until = min(day + timedelta(days=_DAYS_PER_FIND - 1), end)
        found.append(f"{day:%Y%m%d}-{until:%Y%m%d}")
        day = until + timedelta(days=1)
    return found


def _requests(query: Query) -> Iterator[Dataset]:
    # Archives differ in whether case counts and how letters beyond ASCII compare, so Study Description is matched here.
    keys = {"ModalitiesInStudy": query.modality}
    whole = "-".join(query.dates) if any(query.dates) else ""
    if query.patient_ids:
        for patient_id in query.patient_ids:
            yield _study_request(**keys, StudyDate=whole, PatientID=patient_id)
    elif query.accession_numbers:
        for number in query.accession_numbers:
            yield _study_request(**keys, StudyDate=whole, AccessionNumber=number)
    else:
        for span in spans(query.dates, date.today()):
            yield _study_request(**keys, StudyDate=span)


def _study_request(**keys: Any) -> Dataset:
    return _request("STUDY", **{**dict.fromkeys(STUDY_KEYS), **keys})


def _request(level: str, **keys: Any) -> Dataset:
    ds = Dataset()
    if not all(value.isascii() for value in keys.values() if isinstance(value, str)):
        ds.SpecificCharacterSet = "ISO_IR 192"
    ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(ds, keyword, value or None)
    return ds


def _instances_by_series(association: Association, study_instance_uid: str) -> int:
    """Count the instances of a study by its series, or by asking for each."""
    of_study = {"StudyInstanceUID": study_instance_uid}
    request = _request("SERIES", **of_study, SeriesInstanceUID="", NumberOfSeriesRelatedInstances="")
    total = 0
    for series in list(find(association, request)):
        count = _whole(series, 0x00201209)
        if count is None:
            of_series = of_study | {"SeriesInstanceUID": text_of(series, 0x0020000E)}
            count = sum(1 for _ in find(association, _request("IMAGE", **of_series, SOPInstanceUID="")))
        total += count
    return total


def _finder() -> AE:
    entity = AE()
    entity.add_requested_context(FIND)
    return entity


def _whole(ds: Dataset, tag: int) -> int | None:
    number = number_of(ds, tag)
    return None if number is None else int(number)


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()
