"""Fakes of `ingest`'s ports, and phantom slices as DICOM."""

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from ingest import app
from ingest.adapters.cleaning import load_profile
from ingest.adapters.parsing import configure_libraries
from ingest.adapters.reception import Receiver
from ingest.adapters.site_key import SiteKeyFile
from ingest.adapters.vault import Vault
from ingest.domain.messages import AdoptSiteKeys, Member, PhaseRule, ProjectConfigured, Role, RoutingRule, SplitPolicy
from ingest.domain.model import HeldInstance, Instance, Refusal, SliceHeader
from ingest.domain.pseudonyms import Pseudonyms
from ingest.domain.reasons import WithdrawReason
from ingest.ports import NotedRefusal, Series, StoredCase, Study
from radloop.dispatch import Dispatcher
from radloop.messages import Message
from radloop.references import Split
from radloop.testing import FakeObjects, FakeUnitOfWork
from tests.unit.ingest.export_fakes import FakeExports, FakeOriginals
from tests.unit.ingest.fake_pulls import FakePulls
from tests.unit.ingest.fakes import FakeChanges, FakeRefusedPatients, FakeSiteKeys, FakeSiteProfiles, FakeUsedCases
from tests.unit.ingest.phantom_slices import Phantoms

SITE_KEY = bytes(range(32))


class FakeStudies:
    def __init__(self, instances: "FakeInstances", held: "FakeHeld", cases: "FakeCases") -> None:
        self.rows: dict[str, Study] = {}
        self.at_hand: dict[str, str] = {}
        self.series: dict[str, Series] = {}
        self._instances, self._held, self._cases = instances, held, cases

    def get(self, study_key: str) -> Study | None:
        return self.rows.get(study_key)

    def save(self, study: Study) -> None:
        self.rows[study.record.study_key] = study

    def save_series(self, series: Series) -> None:
        known = self.series.get(series.record.series_key)
        if known is None:
            self.series[series.record.series_key] = series
        elif known.generation < series.generation:
            self.series[series.record.series_key] = dataclasses.replace(known, generation=series.generation)

    def series_of(self, study_key: str) -> list[Series]:
        mine = [one for one in self.series.values() if one.record.study_key == study_key]
        return sorted(mine, key=lambda one: one.record.series_key)

    def _waiting(self) -> list[Study]:
        return [study for study in self.rows.values() if study.waits]

    def next_due(
        self, quiet_since: float, broken_since: float, skip: Collection[str] = (), *, not_after: float = math.inf
    ) -> str | None:
        due = [
            study
            for study in self._waiting()
            if study.record.study_key not in skip
            and (
                study.told
                or study.received_at <= (broken_since if self._unfinished(study) else quiet_since)
                or study.received_at > not_after
            )
        ]
        return min(due, key=lambda study: study.received_at).record.study_key if due else None

    def _unfinished(self, study: Study) -> bool:
        return study.broken or study.record.study_key in self.at_hand.values()

    def tell_all(self) -> None:
        for study in self._waiting():
            self.save(dataclasses.replace(study, told=True))

    def forget(self, study_key: str) -> None:
        self.rows.pop(study_key, None)
        for rows in (self.series, self._instances.rows, self._held.rows, self._cases.rows):
            for key in [key for key, row in rows.items() if _study_of(row) == study_key]:
                del rows[key]


def _study_of(row: Any) -> str:
    for value in (
        row,
        getattr(row, "record", None),
        getattr(row, "case", None),
        row[1] if isinstance(row, tuple) else None,
    ):
        if hasattr(value, "study_key"):
            return value.study_key
    raise AssertionError(row)


class FakeInstances:
    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, Instance]] = {}
        self.differences: list[tuple[str, tuple[str, ...]]] = []

    def get(self, sop_key: str) -> Instance | None:
        return self.rows[sop_key][1] if sop_key in self.rows else None

    def add(self, instance: Instance, generation: int) -> None:
        assert instance.sop_key not in self.rows
        self.rows[instance.sop_key] = (generation, instance)

    def of_study(self, study_key: str) -> list[tuple[int, Instance]]:
        return sorted((row for row in self.rows.values() if row[1].study_key == study_key), key=lambda row: row[0])

    def note_difference(self, sop_key: str, keywords: Sequence[str], at: float) -> None:
        self.differences.append((sop_key, tuple(keywords)))


class FakeReceptions:
    def __init__(self, studies: FakeStudies) -> None:
        self.rows: set[tuple[str, str]] = set()
        self._studies = studies

    def open(self, reception_id: str, study_key: str) -> None:
        self.rows.add((reception_id, study_key))
        self._studies.at_hand[reception_id] = study_key

    def mark_broken(self, reception_id: str) -> None:
        for study_key in [row[1] for row in self.rows if row[0] == reception_id]:
            if study := self._studies.get(study_key):
                self._studies.save(dataclasses.replace(study, broken=True))

    def close(self, reception_id: str) -> None:
        self.rows = {row for row in self.rows if row[0] != reception_id}
        self._studies.at_hand.pop(reception_id, None)

    def studies(self) -> list[str]:
        return sorted({row[1] for row in self.rows})

    def ids(self) -> list[str]:
        return sorted({row[0] for row in self.rows})


class FakeHeld:
    def __init__(self) -> None:
        self.rows: dict[str, HeldInstance] = {}

    def get(self, held_id: str) -> HeldInstance | None:
        return self.rows.get(held_id)

    def add(self, held: HeldInstance, at: float) -> None:
        self.rows.setdefault(held.held_id, held)

    def propose(self, held_id: str, by: str, at: float) -> None:
        self.rows[held_id] = dataclasses.replace(self.rows[held_id], proposed_by=by)

    def release(self, held_id: str) -> None:
        del self.rows[held_id]

    def object_keys(self, study_key: str) -> list[str]:
        return [held.object.key for held in self.rows.values() if held.study_key == study_key]


class FakeRefusals:
    def __init__(self, studies: FakeStudies) -> None:
        self.rows: list[NotedRefusal] = []
        self._studies = studies

    def note(self, refusal: Refusal, at: float) -> None:
        for number, row in enumerate(self.rows):
            same = (row.refusal.study_key, row.refusal.series_key, row.refusal.reason)
            if not row.said and same == (refusal.study_key, refusal.series_key, refusal.reason):
                count = row.refusal.instance_count + refusal.instance_count
                more = dataclasses.replace(row.refusal, instance_count=count)
                self.rows[number] = NotedRefusal(row.rejection_id, more, False, at)
                return
        self.rows.append(NotedRefusal(f"rejection-{len(self.rows)}", refusal, False, at))

    def unsaid(self, study_key: str) -> list[NotedRefusal]:
        mine = [row for row in self.rows if row.refusal.study_key == study_key and not row.said]
        return sorted(mine, key=lambda row: row.at)

    def mark_said(self, study_key: str) -> None:
        self.rows = [
            dataclasses.replace(row, said=True) if row.refusal.study_key == study_key else row for row in self.rows
        ]

    def next_due(self, quiet_since: float, *, not_after: float = math.inf) -> str | None:
        latest: dict[str, float] = {}
        for row in self.rows:
            if not row.said:
                at = 0.0 if row.hurried else row.at
                latest[row.refusal.study_key] = max(at, latest.get(row.refusal.study_key, at))
        waiting = {study.record.study_key for study in self._studies._waiting()}
        due = sorted(key for key, at in latest.items() if (at <= quiet_since or at > not_after) and key not in waiting)
        return due[0] if due else None

    def hurry(self, study_key: str | None) -> None:
        hurried = [row for row in self.rows if not row.said and study_key in (None, row.refusal.study_key)]
        self.rows = [dataclasses.replace(row, hurried=row.hurried or row in hurried) for row in self.rows]


class FakeCases:
    def __init__(self) -> None:
        self.rows: dict[str, StoredCase] = {}

    def get(self, case_id: str) -> StoredCase | None:
        return self.rows.get(case_id)

    def of_study(self, study_key: str) -> list[StoredCase]:
        mine = [row for row in self.rows.values() if row.case.study_key == study_key]
        return sorted(mine, key=lambda row: (row.case.project_id, row.case.phase))

    def add(self, stored: StoredCase) -> None:
        assert stored.case.case_id not in self.rows
        self.rows[stored.case.case_id] = stored


class FakeProjects:
    def __init__(self) -> None:
        self.rows: dict[str, ProjectConfigured] = {}

    def get(self, project_id: str) -> ProjectConfigured | None:
        return self.rows.get(project_id)

    def save(self, project: ProjectConfigured) -> None:
        self.rows[project.project_id] = project

    def all(self) -> list[ProjectConfigured]:
        return [self.rows[key] for key in sorted(self.rows)]


class FakeSplits:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Split] = {}

    def get(self, project_id: str, patient_key: str) -> Split | None:
        return self.rows.get((project_id, patient_key))

    def decide(self, project_id: str, patient_key: str, split: Split, *, imported: bool, key_version: int) -> None:
        assert (project_id, patient_key) not in self.rows
        self.rows[(project_id, patient_key)] = split


class FakeTombstones:
    def __init__(self) -> None:
        self.rows: dict[str, WithdrawReason] = {}
        self.full: list[str] = []

    def has(self, study_key: str) -> bool:
        return study_key in self.rows

    def add(self, study_key: str, reason: WithdrawReason, at: float, key_version: int) -> None:
        self.rows[study_key] = reason
        self.full.append(study_key)

    def mark_empty(self, study_key: str) -> None:
        self.full = [key for key in self.full if key != study_key]

    def next_full(self) -> str | None:
        return self.full[0] if self.full else None


class FakePatients:
    def __init__(
        self, studies: FakeStudies, tombstones: FakeTombstones, splits: FakeSplits, projects: FakeProjects
    ) -> None:
        self.rows: dict[str, int] = {}
        self._studies, self._tombstones, self._splits, self._projects = studies, tombstones, splits, projects

    def knows_study(self, study_key: str) -> bool:
        return study_key in self._studies.rows or study_key in self._tombstones.rows

    def patient_version(self, patient: str) -> int | None:
        return self.rows.get(patient)

    def knows_split(self, project_id: str, patient_key: str) -> bool:
        return (project_id, patient_key) in self._splits.rows

    def project_ids(self) -> list[str]:
        return list(self._projects.rows)

    def remember(self, patient: str, key_version: int) -> None:
        self.rows.setdefault(patient, key_version)


class FakeIngestUnitOfWork(FakeUnitOfWork):
    """One unit of work for a whole test: state stays; what is published is collected in ``said``."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Message] = []
        self.instances, self.held, self.cases = FakeInstances(), FakeHeld(), FakeCases()
        self.studies = FakeStudies(self.instances, self.held, self.cases)
        self.receptions, self.refusals = FakeReceptions(self.studies), FakeRefusals(self.studies)
        self.projects, self.splits = FakeProjects(), FakeSplits()
        self.tombstones, self.site_keys = FakeTombstones(), FakeSiteKeys()
        self.used_cases = FakeUsedCases()
        self.refused_patients = FakeRefusedPatients()
        self.changes, self.site_profiles = FakeChanges(), FakeSiteProfiles()
        self.originals, self.exports = FakeOriginals(), FakeExports()
        self.patients = FakePatients(self.studies, self.tombstones, self.splits, self.projects)
        self.pulls = FakePulls(self.instances, self.held)

    def publish(self, *messages: Message) -> None:
        self.said += messages


@pytest.fixture
def uow() -> FakeIngestUnitOfWork:
    return FakeIngestUnitOfWork()


class FakeClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pseudonyms() -> Pseudonyms:
    return Pseudonyms(SITE_KEY)


@pytest.fixture
def objects() -> FakeObjects:
    return FakeObjects()


@pytest.fixture
def site_key(tmp_path: Path) -> SiteKeyFile:
    file = tmp_path / "site-key"
    file.touch(mode=0o600)
    file.write_text(SITE_KEY.hex())
    return SiteKeyFile(file)


@pytest.fixture
def dispatch(uow: FakeIngestUnitOfWork, clock: FakeClock, site_key: SiteKeyFile) -> Callable[[Message], list[Message]]:
    dispatch = Dispatcher(app.bind("site-1", lambda: site_key.ring, clock), lambda: uow).dispatch
    dispatch(AdoptSiteKeys(tuple(site_key.ring.fingerprints.items())))
    return dispatch


@pytest.fixture
def receiver(uow, dispatch, objects, site_key) -> Receiver:  # type: ignore[no-untyped-def]
    configure_libraries()
    return Receiver(dispatch, lambda: uow, objects, lambda: site_key.ring, load_profile(), Vault(site_key.vault_keys))


@pytest.fixture
def phantoms() -> Phantoms:
    configure_libraries()
    return Phantoms()


@pytest.fixture
def header() -> Callable[..., SliceHeader]:
    """Makes slice headers; arguments replace fields of a plain axial MR slice."""

    def make(**changes: Any) -> SliceHeader:
        plain = SliceHeader(
            modality="MR",
            sop_class_uid=MRImageStorage,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            image_type=("ORIGINAL", "PRIMARY"),
            rows=4,
            columns=6,
            frames=1,
            samples_per_pixel=1,
            bits_allocated=16,
            bits_stored=12,
            high_bit=11,
            signed=False,
            position_lps_mm=(0.0, 0.0, 0.0),
            orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            pixel_spacing_mm=(2.0, 3.0),
            slice_step_mm=1.5,
            rescale_slope=1.0,
            rescale_intercept=0.0,
        )
        return dataclasses.replace(plain, **changes)

    return make


@pytest.fixture
def project() -> Callable[..., ProjectConfigured]:
    """Makes projects; arguments replace fields of one that takes all MR."""

    def make(**changes: Any) -> ProjectConfigured:
        plain = ProjectConfigured(
            project_id="hippocampus",
            project_version=1,
            routing=(RoutingRule("", "MR", "", ""),),
            split=SplitPolicy(validation_fraction=0.2, test_fraction=0.2),
            phases=PhaseRule.SPLIT,
            members=(Member("lead", Role.PROJECT_LEAD),),
        )
        return dataclasses.replace(plain, **changes)

    return make
