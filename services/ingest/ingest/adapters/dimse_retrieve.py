"""C-MOVE and C-GET as a service class user, study root (PS3.4 sections C.4.2 and C.4.3): fetching what `dimse_query` found.

By C-MOVE the archive sends to our own DICOM door, by C-GET over the association that asks: there the roles of each storage SOP
class are turned round (PS3.7 section D.3.3.4). Both end in the one reception.

Some archives (Orthanc by C-MOVE) give a study up at the first instance that is refused, a report for example. So what fails as a
study is asked for series by series.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, StoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as GET,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as MOVE,
)

from ingest.adapters.archives import Archive
from ingest.adapters.dimse import OUT_OF_RESOURCES, TRANSFER_SYNTAXES, answer_to
from ingest.adapters.dimse_query import PENDING, SUCCESS, DimseConnection
from ingest.adapters.parsing import ENCAPSULATED, NATIVE
from ingest.adapters.patience import Patience
from ingest.adapters.reception import Receiver, Reception
from ingest.domain.cohorts import Found
from ingest.domain.pulls import Failure, StudyFailed
from ingest.ports.pulling import Retrieved
from radloop.errors import PermanentError, TemporaryError
from radloop.telemetry import logger

log = logger(__name__)

_WARNING = 0xB000
"""Sub-operations complete, one or more failures: how many is counted."""
_DESTINATION_UNKNOWN = 0xA801
_MOST_CONTEXTS = 128
"""Presentation contexts of an association: their ids are odd and of one byte (PS3.8 section 9.3.2.2)."""


class MoveArchive(DimseConnection):
    """An archive whose studies come by C-MOVE; see `ports.ArchiveConnection`."""

    def retrieve(self, study: Found, anew: Callable[[], None]) -> Retrieved:
        """Have a study sent to our DICOM door; return when the archive says that it is through."""
        return _whole_or_by_series(self, study, self._move, anew)

    def _move(self, identifier: Dataset) -> Retrieved:
        entity = AE()
        entity.add_requested_context(MOVE)
        with self.association(entity) as association:
            return _through(association.send_c_move(identifier, self.archive.move_destination, MOVE))


class GetArchive(DimseConnection):
    """An archive whose studies come by C-GET; see `ports.ArchiveConnection`.

    Parameters
    ----------
    archive : Archive
    receiver : Receiver
    pace : callable
        Called before each instance; returns when it may come.
    largest_object_bytes : int
        Of one instance, as for the DICOM door.
    """

    def __init__(
        self, archive: Archive, receiver: Receiver, pace: Callable[[], None], largest_object_bytes: int
    ) -> None:
        super().__init__(archive)
        self._receiver, self._pace, self._largest = receiver, pace, largest_object_bytes

    def retrieve(self, study: Found, anew: Callable[[], None]) -> Retrieved:
        """Have a study sent over the association that asks for it."""
        contexts = storage_contexts(study.sop_classes)
        return _whole_or_by_series(self, study, lambda identifier: self._get(identifier, contexts), anew)

    def _get(self, identifier: Dataset, contexts: list[tuple[str, list[str]]]) -> Retrieved:
        entity = AE()
        entity.add_requested_context(GET)
        for sop_class, syntaxes in contexts:
            entity.add_requested_context(sop_class, syntaxes)
        roles = [build_role(sop_class, scp_role=True) for sop_class in {each for each, _ in contexts}]
        patience = Patience(self._largest, self.archive.timeout_s, _gave_up)
        with self._receiver.open(self.archive.move_destination) as reception:
            handlers: list[Any] = [
                (evt.EVT_CONN_OPEN, lambda event: patience.bind(event.assoc.dul.socket)),
                (evt.EVT_C_STORE, self._on_store, [reception, patience]),
            ]
            with self.association(entity, ext_neg=roles, evt_handlers=handlers) as association:
                return _through(association.send_c_get(identifier, GET))

    def _on_store(self, event: evt.Event, reception: Reception, patience: Patience) -> object:
        patience.message_is_whole()
        self._pace()
        try:
            outcome = reception.receive(event.request.DataSet.getvalue(), str(event.context.transfer_syntax))
        except Exception:  # temporary errors of store and index: the study is asked for again
            log.error("instance of a pull not stored, its study is asked for again")
            return OUT_OF_RESOURCES
        status, _ = answer_to(outcome)
        return status


def storage_contexts(sop_classes: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return which SOP classes to offer to receive, and in which transfer syntaxes.

    Parameters
    ----------
    sop_classes : sequence of str
        Those of the study; empty where the archive does not say: then those that are common, each once.

    Returns
    -------
    list of (str, list of str)
        An archive takes one transfer syntax of a context, and what it has in another it must convert or leave out. So, while there
        is room, each class is offered in native syntaxes and in each compressed one by itself.
    """
    room = _MOST_CONTEXTS - 1
    known = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    of_study = [each for each in dict.fromkeys(sop_classes) if each in known]
    if not of_study:
        common = [str(context.abstract_syntax) for context in StoragePresentationContexts]
        return [(sop_class, TRANSFER_SYNTAXES) for sop_class in common[:room]]
    native = [str(uid) for uid in (*NATIVE, DeflatedExplicitVRLittleEndian)]
    one_each = [
        (sop_class, syntaxes) for syntaxes in (native, *([str(u)] for u in ENCAPSULATED)) for sop_class in of_study
    ]
    if len(one_each) <= room:
        return one_each
    return [(sop_class, TRANSFER_SYNTAXES) for sop_class in of_study[:room]]


def _whole_or_by_series(
    archive: DimseConnection, study: Found, retrieve: Callable[[Dataset], Retrieved], anew: Callable[[], None]
) -> Retrieved:
    """Have a study sent; where the archive gives it up, each of its series by itself.

    Raises
    ------
    StudyFailed
        The connection ended, or the archive gave up a series, too: all of them were asked for then.
    """
    uid = study.study_instance_uid
    try:
        return retrieve(_identifier("STUDY", StudyInstanceUID=uid))
    except StudyFailed as failure:
        if failure.failure is not Failure.ARCHIVE_REFUSED:
            raise
        refused = failure
    series = archive.series_of(uid)
    if len(series) < 2:
        raise refused
    anew()
    came: list[Retrieved] = []
    last: StudyFailed | None = None
    for each in series:
        try:
            came.append(retrieve(_identifier("SERIES", StudyInstanceUID=uid, SeriesInstanceUID=each)))
        except StudyFailed as failure:
            last = failure
    if last is not None:
        raise last
    return Retrieved(sum(one.sent or 0 for one in came), sum(one.failed or 0 for one in came))


def _identifier(level: str, **uids: str) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, uid in uids.items():
        setattr(ds, keyword, uid)
    return ds


def _through(answers: Any) -> Retrieved:
    """Hear an archive out; return what it counted.

    Raises
    ------
    StudyFailed
        The connection ended in the middle, or the archive answered with a failure.
    TemporaryError, PermanentError
        It will do so for no study: ``archive-busy``, ``move-destination-unknown``.
    """
    status = Dataset()
    for status, _ in answers:
        code = status.get("Status")
        if code is None:
            raise StudyFailed(Failure.BROKEN_OFF, "the end of the connection")
        if code not in PENDING:
            break
    code = status.get("Status")
    if code is None or code in PENDING:
        raise StudyFailed(Failure.BROKEN_OFF, "no last answer")
    if code == _DESTINATION_UNKNOWN:
        raise PermanentError(
            "move-destination-unknown",
            expected="an archive that knows where to send to",
            got="status 0xA801",
            do="register our AE title, address and DICOM port at the archive",
        )
    if code in (SUCCESS, _WARNING) or status.get("NumberOfCompletedSuboperations"):
        warned = status.get("NumberOfWarningSuboperations") or 0
        completed, failed = status.get("NumberOfCompletedSuboperations"), status.get("NumberOfFailedSuboperations")
        return Retrieved(None if completed is None else completed + warned, failed)
    if code in (0xA701, 0xA702):
        raise TemporaryError("archive-busy", expected="the instances of a study", got=f"status 0x{code:04X}")
    raise StudyFailed(Failure.ARCHIVE_REFUSED, f"status 0x{code:04X}")


def _gave_up(why: str) -> None:
    log.warning("an archive was cut off", reason=why)
