"""The one way in, whatever the door: begin index, clean in memory, store, end index. DIMSE, uploads and folders call it.

Identified bytes live in memory between `receive` being called and its answer, and nowhere else.
"""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from ingest.adapters.encoding import all_pixels, header_differences
from ingest.adapters.metrics import INSTANCES
from ingest.adapters.parsing import RefusedInstance
from ingest.adapters.preparation import Preparation, Prepared
from ingest.adapters.vault import Vault
from ingest.domain.deidentification import Profile
from ingest.domain.keys import KeyRing
from ingest.domain.messages import (
    AcceptInstance,
    CloseReception,
    HoldInstance,
    KeepOriginal,
    NoteDifference,
    NoteRefusal,
    OpenReception,
    ReleaseHeld,
)
from ingest.domain.model import (
    UNREADABLE,
    HeldInstance,
    Instance,
    Refusal,
)
from ingest.domain.pseudonyms import content_id
from ingest.domain.reasons import Refused, RejectReason
from radloop.errors import Conflict, NotFound, TemporaryError
from radloop.messages import Message
from radloop.objects import Objects
from radloop.references import ObjectRef, digest_of
from radloop.telemetry import logger

log = logger(__name__)

Dispatch = Callable[[Message], Any]

_KEYS_ROTATED = "keys-rotated"
_PREPARED_AT_MOST = 5


class Fate(StrEnum):
    """What became of an instance that was sent."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """Known with these pixels; the first is kept."""
    HELD = "held"
    """In quarantine until a person releases it."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one instance."""

    fate: Fate
    study_key: str
    reason: RejectReason | None = None
    detail: str = ""
    """For the sender and the operator; never an identifier."""


class Receiver:
    """Takes instances in.

    Parameters
    ----------
    dispatch : callable
        Runs a command's handler in a transaction.
    unit_of_work : callable
        Makes a read-only unit of work.
    objects : Objects
    keys : callable
        Returns the key versions as they are now.
    profile : Profile
        Of de-identification.
    vault : Vault
    """

    def __init__(
        self,
        dispatch: Dispatch,
        unit_of_work: Callable[[], Any],
        objects: Objects,
        keys: Callable[[], KeyRing],
        profile: Profile,
        vault: Vault,
    ) -> None:
        self.dispatch, self.unit_of_work, self.objects = dispatch, unit_of_work, objects
        self.keys, self.vault = keys, vault
        self.preparation = Preparation(keys, unit_of_work, profile, vault)
        self.watches: list[Callable[[Outcome], None]] = []
        """Told of every instance's answer; what pulls count by."""

    def open(self, called_ae_title: str) -> "Reception":
        """Begin to receive from one sender; ``called_ae_title`` is empty for an upload."""
        return Reception(self, called_ae_title)

    def release(self, held_id: str, subject: str = "") -> str:
        """Let a held instance in after all, because ``subject`` looked at it, and return its study's key.

        Raises
        ------
        NotFound, Conflict
            See `handlers.release_held`.
        """
        with self.unit_of_work() as uow:
            held = uow.held.get(held_id)
        if held is None:
            raise NotFound("nothing-held", expected="an instance in quarantine", got="none under this id")
        data = self.vault.open(self.objects.get(held.object))
        with self.open("") as reception:
            reception.begin(held.study_key)
            digest = digest_of(data)
            ref = self.objects.put(_object_key(held.study_key, held.sop_key, digest), data, digest)
            instance = Instance(held.sop_key, held.series_key, held.study_key, ref, held.header, held.changes)
            try:
                self.dispatch(ReleaseHeld(held_id, instance, subject))
            except Conflict:
                self.objects.delete(ref.key)
                raise
        self.objects.delete(held.object.key)
        return held.study_key

    def sweep(self) -> int:
        """Delete objects that a crash left behind: written, but never counted. Return how many.

        Run before anything is received: a reception that is open then belongs to a process that is dead.
        """
        deleted = 0
        try:
            deleted = self._delete_uncounted()
        except TemporaryError as error:
            # The service starts without the store; what stays behind is for `radloop objects sweep` then.
            log.warning("objects of a crash stay for a later sweep", reason=error.code)
        for reception_id in self._open_receptions():
            self.dispatch(CloseReception(reception_id, broken=True))
        return deleted

    def _delete_uncounted(self) -> int:
        deleted = 0
        with self.unit_of_work() as uow:
            studies = uow.receptions.studies()
        for study_key in studies:
            with self.unit_of_work() as uow:
                counted = {instance.object.key for _, instance in uow.instances.of_study(study_key)}
                counted |= set(uow.held.object_keys(study_key))
            for folder in ("instances", "held"):
                for key in self.objects.keys(f"ingest/{study_key}/{folder}/"):
                    if key not in counted:
                        self.objects.delete(key)
                        deleted += 1
        return deleted

    def _open_receptions(self) -> list[str]:
        with self.unit_of_work() as uow:
            return uow.receptions.ids()

    def refuse(self, refused: Refused) -> Outcome:
        """Note why an instance was refused, and answer so."""
        study_key, series_key = UNREADABLE, ""
        if isinstance(refused, RefusedInstance):
            keys = self.keys()
            with self.unit_of_work() as uow:
                study_key, version = keys.study_key(refused.study_instance_uid, uow.patients)
            series_key = keys[version].uid(refused.series_instance_uid)
        self.dispatch(NoteRefusal(Refusal(study_key, series_key, refused.reason, 1, refused.detail)))
        return Outcome(Fate.REFUSED, study_key, refused.reason, refused.detail)


class Reception:
    """Instances from one sender: an association, an upload, a folder.

    Use as a context manager; what it began is ended when the sender is gone. An association may break while an instance of it
    is being taken: that the sender broke off is noted after it, and nothing is taken any more.
    """

    def __init__(self, receiver: Receiver, called_ae_title: str) -> None:
        self._receiver, self._called_ae_title = receiver, called_ae_title
        self._id = str(uuid.uuid4())
        self._begun: set[str] = set()
        self._one_at_a_time = threading.RLock()
        self._closed = False

    def __enter__(self) -> "Reception":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self.close(broken=kind is not None)

    def begin(self, study_key: str) -> None:
        """Say that objects of a study are about to be written; once per study."""
        if study_key not in self._begun:
            self._receiver.dispatch(OpenReception(self._id, study_key))
            self._begun.add(study_key)

    def close(self, *, broken: bool = False) -> None:
        """The sender is gone; ``broken``: without having said that this was all."""
        with self._one_at_a_time:
            self._closed = True
            if self._begun:
                self._receiver.dispatch(CloseReception(self._id, broken))
                self._begun = set()

    def receive(self, data: bytes | memoryview, transfer_syntax_uid: str | None = None) -> Outcome:
        """Take one instance in. When this returns, what became of it is durable.

        Parameters
        ----------
        data : bytes or memoryview
            A Part 10 file, or an encoded data set in ``transfer_syntax_uid``; nothing of it is kept.
        transfer_syntax_uid : str, optional

        Raises
        ------
        TemporaryError
            When the object store or the index cannot take it now, or the sender is gone; nothing of it is stored then.
        """
        with self._one_at_a_time:
            if self._closed:
                raise TemporaryError("sender-gone", expected="an open association", got="one that is closed")
            try:
                outcome = self._prepare_and_take(data, transfer_syntax_uid)
            except Refused as refused:
                outcome = self._receiver.refuse(refused)
        INSTANCES.labels(outcome.fate.value).inc()
        for watch in tuple(self._receiver.watches):
            watch(outcome)
        return outcome

    def _prepare_and_take(self, data: bytes | memoryview, transfer_syntax_uid: str | None) -> Outcome:
        for attempt in range(1, _PREPARED_AT_MOST + 1):
            cleaned = self._receiver.preparation.prepare(data, transfer_syntax_uid, self._called_ae_title)
            try:
                return self._take(cleaned)
            except Conflict as conflict:
                # The site key was rotated, or the patient named by another sender, since the names were chosen.
                if conflict.code != _KEYS_ROTATED or attempt == _PREPARED_AT_MOST:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _take(self, cleaned: Prepared) -> Outcome:
        study_key = cleaned.study.study_key
        with self._receiver.unit_of_work() as uow:
            # Once begun, counting looks for the tombstone anyway.
            withdrawn = study_key not in self._begun and (
                uow.tombstones.has(study_key) or uow.refused_patients.has(tuple(cleaned.names.patients.values()))
            )
            known = uow.instances.get(cleaned.sop_key)
            kept = known is None or uow.originals.has(cleaned.sop_key)
        if withdrawn:
            return self._refuse_withdrawn(cleaned)
        if known is not None:
            outcome = self._repeated(cleaned, known)
            if not kept and outcome.fate is Fate.DUPLICATE:
                self._receiver.dispatch(KeepOriginal(cleaned.original, cleaned.study))
            return outcome
        if cleaned.suspicion is not None:
            return self._hold(cleaned, RejectReason.BURNED_IN_TEXT, cleaned.suspicion)
        return self._store(cleaned)

    def _store(self, cleaned: Prepared) -> Outcome:
        study_key, series_key = cleaned.study.study_key, cleaned.series.series_key
        self.begin(study_key)
        key = _object_key(study_key, cleaned.sop_key, cleaned.digest)
        ref = self._receiver.objects.put(key, cleaned.data, cleaned.digest)
        instance = Instance(cleaned.sop_key, series_key, study_key, ref, cleaned.header, cleaned.changes.digest)
        try:
            self._receiver.dispatch(
                AcceptInstance(
                    instance, cleaned.study, cleaned.series, cleaned.names, cleaned.changes, cleaned.original
                )
            )
        except Conflict as conflict:
            # Withdrawn, or sent by two senders at once, since we looked.
            self._receiver.objects.delete(key)
            if conflict.code == "study-withdrawn":
                return self._refuse_withdrawn(cleaned)
            if conflict.code == _KEYS_ROTATED:
                raise
            return self._take(cleaned)
        return Outcome(Fate.STORED, study_key)

    def _refuse_withdrawn(self, cleaned: Prepared) -> Outcome:
        detail = "the study was withdrawn, or its patient wants none here"
        study_key, series_key = cleaned.study.study_key, cleaned.series.series_key
        self._receiver.dispatch(NoteRefusal(Refusal(study_key, series_key, RejectReason.WITHDRAWN, 1, detail)))
        return Outcome(Fate.REFUSED, study_key, RejectReason.WITHDRAWN, detail)

    def _repeated(self, cleaned: Prepared, known: Instance) -> Outcome:
        """The same UID again: the same bytes, the same pixels under another header, or other pixels."""
        study_key = cleaned.study.study_key
        objects = self._receiver.objects
        if _object_key(known.study_key, known.sop_key, cleaned.digest) == known.object.key:
            return Outcome(Fate.DUPLICATE, study_key)
        first = objects.get(known.object)
        same = np.array_equal(all_pixels(first, known.header), all_pixels(cleaned.data, cleaned.header))
        if not same or known.study_key != study_key:
            detail = "other pixels under a SOP Instance UID that is stored"
            return self._hold(
                cleaned,
                RejectReason.PIXELS_DIFFER,
                detail if not same else "a stored SOP Instance UID in another study",
            )
        self._receiver.dispatch(NoteDifference(cleaned.sop_key, header_differences(first, cleaned.data)))
        return Outcome(Fate.DUPLICATE, study_key)

    def _hold(self, cleaned: Prepared, reason: RejectReason, detail: str) -> Outcome:
        study_key, series_key = cleaned.study.study_key, cleaned.series.series_key
        held_id = content_id(study_key, cleaned.sop_key, reason, _digest_part(cleaned.digest))
        with self._receiver.unit_of_work() as uow:
            if uow.held.get(held_id) is not None:
                return Outcome(Fate.HELD, study_key, reason, detail)
        self.begin(study_key)
        # Encrypted bytes differ every time, so each attempt has a key of its own and a crash leaves no conflict behind.
        sealed = self._receiver.vault.seal(cleaned.data)
        ref: ObjectRef = self._receiver.objects.put(
            f"ingest/{study_key}/held/{held_id}-{uuid.uuid4().hex[:12]}", sealed
        )
        held = HeldInstance(
            held_id,
            reason,
            detail,
            cleaned.sop_key,
            series_key,
            study_key,
            ref,
            cleaned.header,
            cleaned.study.vault_version,
            cleaned.changes.digest,
        )
        try:
            self._receiver.dispatch(
                HoldInstance(held, cleaned.study, cleaned.series, cleaned.names, cleaned.changes, cleaned.original)
            )
        except Conflict as conflict:  # withdrawn, or the keys were rotated, since we looked
            self._receiver.objects.delete(ref.key)
            if conflict.code == _KEYS_ROTATED:
                raise
            return self._refuse_withdrawn(cleaned)
        return Outcome(Fate.HELD, study_key, reason, detail)


def _digest_part(digest: str) -> str:
    return digest.removeprefix("sha256:")[:16]


def _object_key(study_key: str, sop_key: str, digest: str) -> str:
    """Return the key of an instance: its content is part of it, so that two senders cannot disturb each other."""
    return f"ingest/{study_key}/instances/{sop_key}-{_digest_part(digest)}.dcm"
