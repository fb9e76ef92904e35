"""What `ingest` does: one function per message, ending in the table HANDLERS. What keeps patients private is in `privacy`, what
labels do that go back in `exports`, cohorts that are fetched in `pulls`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from ingest.domain.exports import Destination
from ingest.domain.keys import Chosen, KeyRing, Names
from ingest.domain.messages import (
    AcceptInstance,
    AdmitPatient,
    AdoptProfile,
    AdoptSiteKeys,
    Case,
    CloseReception,
    CompleteStudies,
    DropNotice,
    DropSiteKey,
    EdgeCaseFlagged,
    ForgetObjects,
    FormAgain,
    HoldInstance,
    ImportSplit,
    LabelApproved,
    NoteDifference,
    NoteRefusal,
    NoticeRetention,
    OpenReception,
    ProjectConfigured,
    ProposeRelease,
    RecordCases,
    RefusePatient,
    ReleaseHeld,
    Reseal,
    SayRefusals,
    StudyIngested,
    StudyRejected,
    WithdrawStudy,
)
from ingest.domain.model import (
    FormedCase,
    Instance,
    Refusal,
    SeriesRecord,
    StudyRecord,
    StudyStep,
    next_state,
)
from ingest.domain.reasons import RejectReason
from ingest.domain.routing import hashed_split
from ingest.handlers import exports, privacy, pulls
from ingest.ports import Clock, IngestUnitOfWork, Series, StoredCase, Study
from radloop.errors import Conflict, NotFound, PermanentError
from radloop.messages import Message


def configure_project(event: ProjectConfigured, uow: IngestUnitOfWork) -> list[Message]:
    """Take over a project's routing, split and phase rule; an older version than the known one changes nothing."""
    known = uow.projects.get(event.project_id)
    if known is None or known.project_version <= event.project_version:
        uow.projects.save(event)
    return []


Keys = Callable[[], KeyRing]
"""The key versions as they are now."""


def adopt_site_keys(cmd: AdoptSiteKeys, uow: IngestUnitOfWork) -> list[Message]:
    """Bind the index to the site's keys, taking up newer versions, or refuse to start with others.

    Raises
    ------
    PermanentError
        ``site-key-changed``: a version that the index knows is missing or another one.
    """
    known, given = uow.site_keys.fingerprints(), dict(cmd.fingerprints)
    for version, fingerprint in known.items():
        if given.get(version) != fingerprint:
            raise PermanentError(
                "site-key-changed",
                expected=f"the site key this index was made with: version {version}, fingerprint {fingerprint}",
                got="another one" if version in given else "none of that version",
                do="restore the file INGEST_SITE_KEY_FILE names; with a new key every patient would get a second pseudonym",
            )
    newest = max(known, default=0)
    for version, fingerprint in given.items():
        # What is older and unknown was dropped from the index first, and its line has not gone yet.
        if version > newest:
            uow.site_keys.remember(version, fingerprint)
            if known:
                uow.audit(cmd.subject or "ingest", "rotate-site-key", fingerprint)
    return []


def drop_site_key(cmd: DropSiteKey, uow: IngestUnitOfWork) -> list[Message]:
    """Let go of an old key version.

    Raises
    ------
    NotFound
        ``site-key-unknown``.
    Conflict
        ``site-key-needed``: it is the newest, or something is named or encrypted under it.
    """
    known = uow.site_keys.fingerprints()
    if cmd.version not in known:
        raise NotFound("site-key-unknown", expected=f"a version of {sorted(known)}", got=str(cmd.version))
    needs = {what: count for what, count in uow.site_keys.needs().get(cmd.version, {}).items() if count}
    if cmd.version == uow.site_keys.current():
        needs["what arrives"] = 1
    if needs:
        raise Conflict(
            "site-key-needed",
            expected="a version that nothing needs",
            got=", ".join(f"{what}: {count}" for what, count in needs.items()),
            do="keep it: without it, what was named under it would not be recognised when it comes again",
        )
    uow.site_keys.forget(cmd.version)
    uow.audit(cmd.subject, "drop-site-key", known[cmd.version])
    return []


def reseal(cmd: Reseal, uow: IngestUnitOfWork) -> list[Message]:
    """Put newly encrypted content in the place of the old.

    Raises
    ------
    Conflict
        ``sealed-changed``: somebody else was first.
    """
    if not uow.sealed.replace(cmd.old, cmd.text, cmd.version, cmd.object):
        raise Conflict("sealed-changed", expected="what was read", got="something newer")
    return []


def open_reception(cmd: OpenReception, uow: IngestUnitOfWork) -> list[Message]:
    """Begin: say, before the first object is written, that objects of this study will be."""
    uow.receptions.open(cmd.reception_id, cmd.study_key)
    return []


def close_reception(cmd: CloseReception, uow: IngestUnitOfWork) -> list[Message]:
    """The sender is gone, and every object it wrote is in the index; what it broke off waits longer."""
    if cmd.broken:
        uow.receptions.mark_broken(cmd.reception_id)
    uow.receptions.close(cmd.reception_id)
    return []


def accept_instance(cmd: AcceptInstance, uow: IngestUnitOfWork, clock: Clock, keys: Keys) -> list[Message]:
    """End: count a stored instance. From here on it is the platform's.

    Raises
    ------
    Conflict
        ``study-withdrawn``; ``instance-exists`` when another sender was first with other bytes; ``keys-rotated``.
    """
    privacy.refuse_withdrawn(uow, cmd.study.study_key)
    _refuse_outdated(uow, cmd.study, cmd.names, keys)
    known = uow.instances.get(cmd.instance.sop_key)
    if known is not None:
        if known.object.digest == cmd.instance.object.digest:
            return []
        raise Conflict("instance-exists", expected="a new SOP Instance UID", got="one that is stored")
    if cmd.changes is not None:
        uow.changes.remember(cmd.changes)
    _count(uow, cmd.instance, cmd.study, cmd.series, clock())
    if cmd.original is not None:
        uow.originals.add(cmd.original)
    return []


def hold_instance(cmd: HoldInstance, uow: IngestUnitOfWork, clock: Clock, keys: Keys) -> list[Message]:
    """Keep an instance until a person has looked at it; its study is listed, and the reason is said.

    Raises
    ------
    Conflict
        ``study-withdrawn``, ``keys-rotated``.
    """
    privacy.refuse_withdrawn(uow, cmd.study.study_key)
    _refuse_outdated(uow, cmd.study, cmd.names, keys)
    if uow.held.get(cmd.held.held_id) is not None:
        return []
    study = uow.studies.get(cmd.study.study_key)
    state = next_state(study.state if study else None, StudyStep.HOLD)
    if study is None:
        uow.studies.save(Study(cmd.study, state, 0, 0, told=False, received_at=clock()))
        uow.patients.remember(cmd.study.patient, cmd.study.patient_version)
    uow.studies.save_series(Series(cmd.series, generation=0))
    uow.held.add(cmd.held, clock())
    if cmd.changes is not None:
        uow.changes.remember(cmd.changes)
    if cmd.original is not None:
        uow.originals.add(cmd.original)
    held = cmd.held
    uow.refusals.note(Refusal(held.study_key, held.series_key, held.reason, 1, held.detail), clock())
    return []


def release_held(cmd: ReleaseHeld, uow: IngestUnitOfWork, clock: Clock, persons: int = 1) -> list[Message]:
    """Count an instance that a person has looked at, or two where the site has it so.

    Raises
    ------
    NotFound
        When nothing is held under the id (any more).
    Conflict
        When the instance is held because its pixels differ from those stored under the same UID; ``second-person-needed``.
    """
    held = uow.held.get(cmd.held_id)
    study = uow.studies.get(cmd.instance.study_key)
    if held is None or study is None:
        raise NotFound("nothing-held", expected="an instance in quarantine", got="none under this id")
    privacy.refuse_withdrawn(uow, held.study_key)
    if held.reason is RejectReason.PIXELS_DIFFER or uow.instances.get(held.sop_key) is not None:
        raise Conflict(
            "another-is-stored",
            expected="an instance held for burned-in text",
            got="one whose UID belongs to other stored pixels",
            do="withdraw the study and send it again to replace the first",
        )
    if persons > 1 and held.proposed_by in ("", cmd.subject):
        raise privacy.second_person_needed()
    (series,) = (s for s in uow.studies.series_of(held.study_key) if s.record.series_key == held.series_key)
    uow.held.release(cmd.held_id)
    uow.audit(cmd.subject or "ingest", "release", cmd.held_id)
    _count(uow, cmd.instance, study.record, series.record, clock())
    return []


def _refuse_outdated(uow: IngestUnitOfWork, record: StudyRecord, names: Names, keys: Keys) -> None:
    """Refuse a new study of a refused patient, or whose names were chosen before a rotation or before somebody else's choice."""
    if uow.studies.get(record.study_key) is not None:
        return
    if uow.refused_patients.has(tuple(names.patients.values())):
        raise Conflict("study-withdrawn", expected="a study of a patient who is not refused", got="one who is")
    if names.newest == uow.site_keys.current():
        chosen = keys().choose(names, uow.patients)
        if chosen == Chosen(record.key_version, record.patient_version):
            return
    raise Conflict("keys-rotated", expected="names under the keys of now", got="names chosen a moment ago")


def _count(uow: IngestUnitOfWork, instance: Instance, record: StudyRecord, series: SeriesRecord, now: float) -> None:
    study = uow.studies.get(instance.study_key)
    state = next_state(study.state if study else None, StudyStep.ACCEPT)
    generation = study.generation + 1 if study else 1
    completed = study.completed_generation if study else 0
    again = study.again if study else False
    uow.studies.save(Study(record, state, generation, completed, told=False, received_at=now, again=again))
    if study is None or study.record.patient != record.patient:
        uow.patients.remember(record.patient, record.patient_version)
    uow.studies.save_series(Series(series, generation))
    uow.instances.add(instance, generation)


def note_refusal(cmd: NoteRefusal, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Remember that instances were refused."""
    uow.refusals.note(cmd.refusal, clock())
    return []


def note_difference(cmd: NoteDifference, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Remember for the operator in which attributes a repeated instance differed."""
    uow.instances.note_difference(cmd.sop_key, cmd.keywords, clock())
    return []


def complete_studies(cmd: CompleteStudies, uow: IngestUnitOfWork) -> list[Message]:
    """Let waiting studies be looked at without the quiet time.

    Raises
    ------
    NotFound
        When a study is named that is not here.
    """
    uow.refusals.hurry(cmd.study_key)
    if cmd.study_key is None:
        uow.studies.tell_all()
        return []
    study = uow.studies.get(cmd.study_key)
    if study is None:
        raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
    uow.studies.save(dataclasses.replace(study, told=True))
    return []


def form_again(cmd: FormAgain, uow: IngestUnitOfWork) -> list[Message]:
    """Let a study be looked at once more, all of it and with the projects as they are now; a case never changes.

    Raises
    ------
    NotFound
        When there is no such study.
    IllegalTransition
        When all of it is held for a person.
    """
    study = uow.studies.get(cmd.study_key)
    if study is None:
        raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
    state = next_state(study.state, StudyStep.AGAIN)
    uow.studies.save(dataclasses.replace(study, state=state, told=True, again=True))
    uow.audit(cmd.subject, "form-again", cmd.study_key)
    return []


def record_cases(cmd: RecordCases, uow: IngestUnitOfWork, clock: Clock, keys: Keys, site: str) -> list[Message]:
    """Record what came of a study, and say it: one `StudyIngested` per project, `StudyRejected` per reason.

    Raises
    ------
    Conflict
        ``study-withdrawn`` when that happened while the cases were being formed.
    """
    privacy.refuse_withdrawn(uow, cmd.study_key)
    study = uow.studies.get(cmd.study_key)
    if study is None or (study.completed_generation >= cmd.generation and not study.again):
        return []
    known = uow.cases.of_study(cmd.study_key)
    known_ids = {stored.case.case_id for stored in known}
    fresh = [case for case in cmd.cases if case.case_id not in known_ids]
    said: list[Message] = []
    for project_id in sorted({case.project_id for case in fresh}):
        cases = [case for case in fresh if case.project_id == project_id]
        revision = 1 + max((s.revision for s in known if s.case.project_id == project_id), default=0)
        said.append(_ingest(uow, study, cases, revision, keys, site))
    for refusal in cmd.refusals:
        uow.refusals.note(refusal, clock())
    said += _say_refusals(uow, cmd.study_key, site)
    state = study.state
    if study.generation == cmd.generation:
        state = next_state(state, StudyStep.FORM if fresh or known else StudyStep.REFUSE)
    uow.studies.save(dataclasses.replace(study, state=state, completed_generation=cmd.generation, again=False))
    return said


def _ingest(
    uow: IngestUnitOfWork, study: Study, cases: Sequence[FormedCase], revision: int, keys: Keys, site: str
) -> StudyIngested:
    project_id = cases[0].project_id
    version = uow.patients.patient_version(study.record.patient)
    assert version is not None  # remembered with the study
    pseudonyms = keys()[version]
    patient_key = pseudonyms.patient_key(project_id, study.record.patient)
    split = uow.splits.get(project_id, patient_key)
    if split is None:
        project = uow.projects.get(project_id)
        assert project is not None  # its routing has just taken the study
        split = hashed_split(project.split, pseudonyms.fraction(project_id, patient_key))
        uow.splits.decide(project_id, patient_key, split, imported=False, key_version=version)
    for case in cases:
        uow.cases.add(StoredCase(case, revision, patient_key, split))
    names = [field.name for field in dataclasses.fields(Case)]
    return StudyIngested(
        study_key=study.record.study_key,
        site=site,
        project_id=project_id,
        project_version=cases[0].project_version,
        revision=revision,
        patient_key=patient_key,
        split=split,
        cases=tuple(Case(**{name: getattr(case, name) for name in names}) for case in cases),
    )


def say_refusals(cmd: SayRefusals, uow: IngestUnitOfWork, site: str) -> list[Message]:
    """Say what was refused of a study, once its sender has gone quiet."""
    return _say_refusals(uow, cmd.study_key, site)


def _say_refusals(uow: IngestUnitOfWork, study_key: str, site: str) -> list[Message]:
    noted = uow.refusals.unsaid(study_key)
    if noted:
        uow.refusals.mark_said(study_key)
    return [
        StudyRejected(
            study_key=study_key,
            series_key=one.refusal.series_key,
            reason=one.refusal.reason,
            instance_count=one.refusal.instance_count,
            site=site,
            rejection_id=one.rejection_id,
        )
        for one in noted
    ]


def hear_label(
    event: LabelApproved, uow: IngestUnitOfWork, clock: Clock, destinations: Mapping[str, Destination]
) -> list[Message]:
    """Remember an approved label: its study is kept as long as those that have one, and it could go back to the archive."""
    return privacy.keep_label(event, uow) + exports.keep_label(event, uow, clock, destinations)


def import_split(cmd: ImportSplit, uow: IngestUnitOfWork) -> list[Message]:
    """Decide the split of patients before they are seen.

    Raises
    ------
    Conflict
        When a patient of the list is in another split already: a split is never changed. Nothing is imported then.
    """
    for patient_key, version, split in cmd.patients:
        known = uow.splits.get(cmd.project_id, patient_key)
        if known is None:
            uow.splits.decide(cmd.project_id, patient_key, split, imported=True, key_version=version)
        elif known is not split:
            raise Conflict(
                "split-decided",
                expected=f"{split} for {patient_key}",
                got=f"{known}, decided before",
                do="take the patient off the list: a split is decided once and never changed",
            )
    uow.audit(cmd.subject, "import-split", cmd.project_id)
    return []


HANDLERS: dict[type, Callable[..., list[Message]]] = {
    ProjectConfigured: configure_project,
    LabelApproved: hear_label,
    EdgeCaseFlagged: privacy.keep_flag,
    NoticeRetention: privacy.notice_retention,
    DropNotice: privacy.drop_notice,
    AdoptSiteKeys: adopt_site_keys,
    AdoptProfile: privacy.adopt_profile,
    DropSiteKey: drop_site_key,
    Reseal: reseal,
    OpenReception: open_reception,
    CloseReception: close_reception,
    AcceptInstance: accept_instance,
    HoldInstance: hold_instance,
    ProposeRelease: privacy.propose_release,
    ReleaseHeld: release_held,
    NoteRefusal: note_refusal,
    NoteDifference: note_difference,
    CompleteStudies: complete_studies,
    FormAgain: form_again,
    RecordCases: record_cases,
    SayRefusals: say_refusals,
    WithdrawStudy: privacy.withdraw_study,
    ForgetObjects: privacy.forget_objects,
    RefusePatient: privacy.refuse_patient,
    AdmitPatient: privacy.admit_patient,
    ImportSplit: import_split,
    **exports.HANDLERS,
    **pulls.HANDLERS,
}
