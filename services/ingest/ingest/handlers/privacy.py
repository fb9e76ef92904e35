"""What keeps patients private: the site's profile, releases that two people agree on, and withdrawal to its end."""

from ingest.domain.messages import (
    AdmitPatient,
    AdoptProfile,
    DropNotice,
    EdgeCaseFlagged,
    ForgetObjects,
    LabelApproved,
    NoticeRetention,
    ProposeRelease,
    RefusePatient,
    StudyWithdrawn,
    WithdrawStudy,
)
from ingest.ports import Clock, IngestUnitOfWork
from radloop.errors import Conflict, NotFound, PermanentError
from radloop.messages import Message


def adopt_profile(cmd: AdoptProfile, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Remember the profile that what arrives is cleaned by, or refuse to start with another under a known name and version.

    Raises
    ------
    PermanentError
        ``site-profile-changed``.
    """
    known = uow.site_profiles.fingerprint(cmd.label)
    if known is None:
        uow.site_profiles.remember(cmd.label, cmd.fingerprint, cmd.body, clock())
        uow.audit("ingest", "adopt-profile", cmd.label)
    elif known != cmd.fingerprint:
        raise PermanentError(
            "site-profile-changed",
            expected=f"under {cmd.label!r} what it said before",
            got="something else",
            do="raise its version: objects name the profile they were cleaned by",
        )
    return []


def propose_release(cmd: ProposeRelease, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Note that a first person has looked and wants an instance released; a second one is to agree.

    Raises
    ------
    NotFound
        When nothing is held under the id (any more).
    Conflict
        ``second-person-needed`` when the same person has proposed it; ``release-proposed`` when another one just did.
    """
    held = uow.held.get(cmd.held_id)
    if held is None:
        raise NotFound("nothing-held", expected="an instance in quarantine", got="none under this id")
    if held.proposed_by == cmd.subject:
        raise second_person_needed()
    if held.proposed_by:
        raise Conflict("release-proposed", expected="an instance nobody has proposed", got="one", do="release it again")
    uow.held.propose(cmd.held_id, cmd.subject, clock())
    uow.audit(cmd.subject, "propose-release", cmd.held_id)
    return []


def second_person_needed() -> Conflict:
    """Return the error for who would agree with themselves."""
    return Conflict(
        "second-person-needed",
        expected="a second person, who looks as well and releases it",
        got="the one who proposed it",
        do="ask a colleague with the role site-admin: two different people release here (INGEST_RELEASE_PERSONS)",
    )


def refuse_withdrawn(uow: IngestUnitOfWork, study_key: str) -> None:
    """Stop where a study was withdrawn.

    Raises
    ------
    Conflict
        ``study-withdrawn``.
    """
    if uow.tombstones.has(study_key):
        raise Conflict("study-withdrawn", expected="a study that was not withdrawn", got="one that was")


def withdraw_study(cmd: WithdrawStudy, uow: IngestUnitOfWork, clock: Clock, site: str) -> list[Message]:
    """Put a tombstone, forget the rows and say it; a worker deletes the objects. A repeat changes nothing."""
    if uow.tombstones.has(cmd.study_key):
        return []
    study = uow.studies.get(cmd.study_key)
    version = study.record.key_version if study else cmd.key_version
    uow.tombstones.add(cmd.study_key, cmd.reason, clock(), version)
    uow.studies.forget(cmd.study_key)
    uow.used_cases.forget(cmd.study_key)
    uow.pulls.forget(cmd.study_key)
    uow.originals.forget(cmd.study_key)
    uow.exports.forget(cmd.study_key)
    uow.audit(cmd.subject, "withdraw", cmd.study_key)
    return [StudyWithdrawn(study_key=cmd.study_key, reason=cmd.reason, site=site)]


def keep_label(event: LabelApproved, uow: IngestUnitOfWork) -> list[Message]:
    """Remember that a case has an approved label: its study is kept as long as those that have one."""
    if not uow.tombstones.has(event.study_key):
        uow.used_cases.label(event.case_id, event.study_key)
    return []


def keep_flag(event: EdgeCaseFlagged, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Remember that a round asks for a case: nothing takes its study away in silence."""
    if not uow.tombstones.has(event.study_key):
        uow.used_cases.flag(event.case_id, event.study_key, clock())
    return []


def notice_retention(cmd: NoticeRetention, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Give notice that a study is due by the site's rules."""
    uow.used_cases.notice(cmd.study_key, cmd.why, clock())
    uow.audit("retention", "notice-retention", cmd.study_key)
    return []


def drop_notice(cmd: DropNotice, uow: IngestUnitOfWork) -> list[Message]:
    """Take notice back: a label came, a round asked for it, or a rule changed."""
    uow.used_cases.drop_notice(cmd.study_key)
    return []


def refuse_patient(cmd: RefusePatient, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Refuse a patient's studies from now on; those that are here are withdrawn one by one."""
    uow.refused_patients.add(cmd.patient, cmd.reason, clock(), cmd.key_version)
    uow.audit(cmd.subject, "refuse-patient", patient_target(cmd.patient))
    return []


def admit_patient(cmd: AdmitPatient, uow: IngestUnitOfWork) -> list[Message]:
    """Take a patient's studies in again; what was withdrawn stays withdrawn.

    Raises
    ------
    NotFound
        ``patient-not-refused``.
    """
    if not uow.refused_patients.remove(cmd.patients):
        raise NotFound("patient-not-refused", expected="a patient who is refused", got="another")
    uow.audit(cmd.subject, "admit-patient", patient_target(cmd.patients[0]))
    return []


def patient_target(patient: str) -> str:
    """Return how the audit trail names a patient: as the de-identified objects do."""
    return f"P-{patient[:16]}"


def forget_objects(cmd: ForgetObjects, uow: IngestUnitOfWork) -> list[Message]:
    """Remember that the objects of a withdrawn study are gone."""
    uow.tombstones.mark_empty(cmd.study_key)
    return []
