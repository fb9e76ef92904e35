"""Sends the cohort to ``ingest`` as a PACS would: C-STORE over real associations, side by side (PS3.4 Annex B)."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from radloop.errors import TemporaryError
from standalone.association import associate
from standalone.demo.cohort import CohortPatient
from standalone.demo.dicom_series import series
from standalone.demo.stopping import Stop

SUCCESS = 0x0000
CALLING_AE_TITLE = "RADLOOPDEMO"
# How often a sender opens an association anew when one is lost, as an archive's queue would.
ATTEMPTS = 5
# For the answer to an instance at hand when told to stop.
_STOP_PATIENCE_S = 5.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Destination:
    """The application entity to send to."""

    host: str
    port: int
    ae_title: str


@dataclass
class Sent:
    """What was sent so far; read by the progress display while the senders work."""

    studies: int = 0
    instances: int = 0
    refused: list[int] = field(default_factory=list)


def send_patients(
    patients: Sequence[CohortPatient],
    destination: Destination,
    *,
    associations: int = 4,
    progress: Callable[[Sent], None] = lambda sent: None,
    stop: Stop | None = None,
) -> Sent:
    """Send every study of some patients.

    Parameters
    ----------
    patients
        Who to send; one study each.
    destination
        Where to.
    associations
        Number of associations open side by side.
    progress
        Called after every study.
    stop
        When set, the senders end after the instance at hand; one that gets no answer is not waited for.

    Returns
    -------
    Sent
        Counts, and the status of every instance that was not stored.

    Raises
    ------
    TemporaryError
        The destination does not accept the association, or breaks it; what was sent is sent again without harm.
    """
    todo: queue.SimpleQueue[CohortPatient] = queue.SimpleQueue()
    for patient in patients:
        todo.put(patient)
    sent, lock, failures = Sent(), threading.Lock(), []
    stop = stop or Stop()

    def work() -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _send_all(todo, destination, sent, lock, progress, stop)
                return
            except TemporaryError as error:
                nobody_there = error.code == "association-refused" and sent.instances == 0
                if attempt == ATTEMPTS or nobody_there:
                    failures.append(error)
                    return
                stop.wait(attempt)

    names = [f"sender-{number}" for number in range(max(1, associations))]
    threads = [threading.Thread(target=work, name=name, daemon=True) for name in names]
    for thread in threads:
        thread.start()
    patience_s = _STOP_PATIENCE_S
    while patience_s > 0 and any(thread.is_alive() for thread in threads):
        patience_s -= _LOOK_EVERY_S if stop.is_set() else 0
        time.sleep(_LOOK_EVERY_S)
    if failures:
        raise failures[0]
    return sent


def _send_all(
    todo: "queue.SimpleQueue[CohortPatient]",
    destination: Destination,
    sent: Sent,
    lock: threading.Lock,
    progress: Callable[[Sent], None],
    stop: Stop,
) -> None:
    entity = AE(ae_title=CALLING_AE_TITLE)
    entity.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = associate(entity, destination.host, destination.port, ae_title=destination.ae_title)
    if not association.is_established:
        raise TemporaryError(
            "association-refused",
            expected=f"an association with {destination.ae_title} at {destination.host}:{destination.port}",
            got="none",
            do="look at the log of ingest",
        )
    whole = True
    try:
        while not stop.is_set():
            try:
                patient = todo.get_nowait()
            except queue.Empty:
                return
            whole = False
            try:
                statuses = _send_study(association, patient, stop)
            except TemporaryError:
                todo.put(patient)  # from its first instance on, by whoever comes next
                raise
            if statuses is None:
                return
            whole = True
            with lock:
                sent.instances += len(statuses)
                sent.refused += [status for status in statuses if status != SUCCESS]
                sent.studies += 1
                progress(sent)
    finally:
        if association.is_established:
            # A release says that this was all; a study cut in its middle is to be waited for.
            association.release() if whole else association.abort()


def _send_study(association: Association, patient: CohortPatient, stop: Stop) -> list[int] | None:
    """Send one study; return the status of each instance, or None when told to stop."""
    statuses = []
    for number, volume in enumerate(patient.volumes, start=1):
        for ds in series(patient, volume, number):
            if stop.is_set():
                return None
            statuses.append(_store(association, ds))
    return statuses


# Out of Resources (PS3.4 table B.2-1): a busy receiver asks to be tried again.
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_PATIENCE_S = 60.0


def _store(association: Association, ds: Dataset) -> int:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            answer = association.send_c_store(ds)
        except RuntimeError as error:
            raise TemporaryError("association-lost", expected="an answer", got=str(error), do="send again") from error
        if "Status" not in answer:
            raise TemporaryError("association-lost", expected="an answer", got="none", do="send again")
        if answer.Status not in _OUT_OF_RESOURCES or time.monotonic() > deadline:
            return int(answer.Status)
        time.sleep(0.5)
