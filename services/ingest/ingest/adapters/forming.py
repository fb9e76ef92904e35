"""The worker that turns complete studies into cases: reads slices, writes volumes and manifests, then records them.

Everything it writes is determined by what it reads, so that a kill at any point is mended by doing it again.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ingest.adapters.encoding import decode_frames
from ingest.adapters.metrics import CASES, FORMING_SECONDS
from ingest.adapters.reception import Dispatch
from ingest.adapters.vault import Vault
from ingest.domain.cases import PlannedCase, SeriesInHand, assemble_volume, formed_case, manifest, plan, refusal_of
from ingest.domain.messages import ForgetObjects, ProjectConfigured, RecordCases, SayRefusals
from ingest.domain.model import FormedCase, Instance, Refusal
from ingest.domain.reasons import Refused, RejectReason
from ingest.domain.routing import RoutingAttributes
from ingest.ports import Clock, Study
from radloop.errors import Conflict, PermanentError
from radloop.imaging import write_nifti
from radloop.objects import Objects
from radloop.references import ObjectRef

_READERS = 2
"""Slices that are read at a time: most of it is waiting, checking digests and decoding, which other threads do not wait for."""

REST_S = 30.0
"""Pause before a study whose forming failed (store or index away) is tried again, in seconds."""


class Forming:
    """Forms the cases of studies that are complete.

    Parameters
    ----------
    dispatch, unit_of_work, objects, vault
        As `Receiver`.
    site : str
    clock : Clock
    quiet_s : float
        A study is complete when nothing came for this many seconds.
    broken_quiet_s : float
        The same for a study whose sender broke off.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        unit_of_work: Callable[[], Any],
        objects: Objects,
        vault: Vault,
        *,
        site: str,
        clock: Clock,
        quiet_s: float,
        broken_quiet_s: float,
    ) -> None:
        self._dispatch, self._unit_of_work, self._objects, self._vault = dispatch, unit_of_work, objects, vault
        self._site, self._clock, self._quiet_s = site, clock, quiet_s
        self._broken_quiet_s = broken_quiet_s
        self._failed_at: dict[str, float] = {}

    def step(self) -> bool:
        """Form the cases of one study that is due, or say one study's refusals; return whether there was any."""
        now = self._clock()
        quiet_since = now - self._quiet_s
        not_after = now + self._broken_quiet_s
        resting = [study_key for study_key, at in self._failed_at.items() if abs(now - at) < REST_S]
        with self._unit_of_work() as uow:
            study_key = uow.studies.next_due(quiet_since, now - self._broken_quiet_s, skip=resting, not_after=not_after)
            refused_key = None if study_key else uow.refusals.next_due(quiet_since, not_after=not_after)
        if study_key is not None:
            self._try(study_key, now)
        elif refused_key is not None:
            self._dispatch(SayRefusals(refused_key))
        return study_key is not None or refused_key is not None

    def _try(self, study_key: str, now: float) -> None:
        """Form a study; one that fails rests for a while, so that it does not stand in the way of all others."""
        try:
            with FORMING_SECONDS.time():
                self.form(study_key)
        except Exception:
            self._failed_at[study_key] = now
            raise
        self._failed_at.pop(study_key, None)

    def failing(self) -> list[str]:
        """Return the studies whose forming failed and is to be tried again."""
        return list(self._failed_at)

    def form(self, study_key: str) -> None:
        """Form what can be formed of a study now, and record it."""
        with self._unit_of_work() as uow:
            study = uow.studies.get(study_key)
            if study is None:
                return
            in_hand = self._in_hand(uow, study)
            projects: list[ProjectConfigured] = uow.projects.all()
            formed = frozenset((s.case.project_id, s.case.series_keys[0]) for s in uow.cases.of_study(study_key))
        planned = plan(study_key, self._site, in_hand, projects, formed)
        cases: list[FormedCase] = []
        refusals: list[Refusal] = list(planned.refusals)
        for series in in_hand:
            wanted = [case for case in planned.cases if case.series is series]
            if not wanted:
                continue
            try:
                cases += self._write_series(series, wanted)
            except Refused as refused:
                refusals.append(refusal_of(study_key, series, refused))
        try:
            self._dispatch(RecordCases(study_key, study.generation, tuple(cases), tuple(refusals)))
        except Conflict:  # withdrawn meanwhile: what was written after its objects were deleted goes too
            delete_objects(self._objects, study_key)
            return
        for case in cases:
            CASES.labels(case.project_id).inc()

    def _in_hand(self, uow: Any, study: Study) -> list[SeriesInHand]:
        """Return the series of which something arrived since the study was last looked at; all when it is formed again."""
        study_key, since = study.record.study_key, study.completed_generation
        arrived = uow.instances.of_study(study_key)
        result = []
        for series in uow.studies.series_of(study_key):
            key = series.record.series_key
            # A document is kept with its study, and is no slice of anything.
            images = (
                (generation, instance)
                for generation, instance in arrived
                if instance.header.frames or instance.header.rows
            )
            mine = [(generation, instance) for generation, instance in images if instance.series_key == key]
            new_count = sum(generation > since for generation, _ in mine)
            if new_count or (study.again and mine):
                # By UID, not by arrival: the same series gives the same bytes whoever came first.
                instances = tuple(sorted((instance for _, instance in mine), key=lambda one: one.sop_key))
                routing = RoutingAttributes(**self._vault.open_fields(series.record.routing))
                result.append(SeriesInHand(key, routing, instances, new_count))
        return result

    def _write_series(self, series: SeriesInHand, wanted: Sequence[PlannedCase]) -> list[FormedCase]:
        with ThreadPoolExecutor(_READERS) as readers:
            decoded = list(readers.map(lambda one: decode_frames(self._read(one), one.header), series.instances))
        frames = [frame for each in decoded for frame in each]
        written: dict[int, tuple[bytes, tuple[int, ...]]] = {}
        return [self._write_case(case, frames, written) for case in wanted]

    def _read(self, instance: Instance) -> bytes:
        try:
            return self._objects.get(instance.object)
        except PermanentError as error:
            raise Refused(RejectReason.UNDECODABLE, "a stored instance that is missing or damaged") from error

    def _write_case(
        self, case: PlannedCase, frames: Sequence[np.ndarray], written: dict[int, tuple[bytes, tuple[int, ...]]]
    ) -> FormedCase:
        """Write volumes and manifest; ``written`` keeps each phase's NIfTI for the next project that wants it."""
        study_key = case.series.instances[0].study_key
        folder = f"ingest/{study_key}/{case.case_id}"
        volumes: list[ObjectRef] = []
        shape: tuple[int, ...] = ()
        for channel, (phase, stack) in enumerate(case.channels):
            if phase not in written:
                volume = assemble_volume(frames, case.series, stack)
                written[phase] = (write_nifti(volume), volume.array.shape)
            data, shape = written[phase]
            volumes.append(self._put(f"{folder}/channel-{channel}.nii", data))
        text = json.dumps(manifest(case, volumes, shape), sort_keys=True, separators=(",", ":"))
        ref = self._put(f"{folder}/manifest.json", text.encode())
        return formed_case(case, ref, volumes, shape)

    def _put(self, key: str, data: bytes) -> ObjectRef:
        try:
            return self._objects.put(key, data)
        except Conflict:
            # Left by a kill before the case was recorded, and slices have come since: nobody knows of it yet.
            self._objects.delete(key)
            return self._objects.put(key, data)


class Forgetting:
    """Deletes the objects of withdrawn studies."""

    def __init__(self, dispatch: Dispatch, unit_of_work: Callable[[], Any], objects: Objects) -> None:
        self._dispatch, self._unit_of_work, self._objects = dispatch, unit_of_work, objects

    def step(self) -> bool:
        """Delete the objects of one withdrawn study; return whether there was one."""
        with self._unit_of_work() as uow:
            study_key = uow.tombstones.next_full()
        if study_key is None:
            return False
        delete_objects(self._objects, study_key)
        self._dispatch(ForgetObjects(study_key))
        return True


def delete_objects(objects: Objects, study_key: str) -> None:
    """Delete everything `ingest` stored of a study."""
    for key in objects.keys(f"ingest/{study_key}/"):
        objects.delete(key)
