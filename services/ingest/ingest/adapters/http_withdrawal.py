"""The HTTP side of withdrawal: of a study, or of all studies of a patient, by ids as they are known outside or by key."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ingest.adapters.finding import Finding
from ingest.adapters.reception import Dispatch
from ingest.adapters.site_key import SiteKeyFile
from ingest.domain.messages import AdmitPatient, RefusePatient, WithdrawStudy
from ingest.domain.pseudonyms import PatientIdentity
from ingest.domain.reasons import WithdrawReason
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.errors import Invalid, NotFound
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]
Named = Annotated[str, Field(max_length=64)]


class PatientNamed(BaseModel):
    """A patient as known outside."""

    model_config = ConfigDict(extra="forbid")

    patient_id: Annotated[str, Field(min_length=1, max_length=64)]
    issuer: Named = ""


class Withdrawal(BaseModel):
    """What to forget: one study by its original UID or its key, or all studies of a patient, of an accession number, or of both."""

    model_config = ConfigDict(extra="forbid")

    study_instance_uid: Named = ""
    study_key: Named = ""
    patient_id: Named = ""
    issuer: Named = ""
    accession_number: Named = ""
    reason: WithdrawReason
    dry_run: bool = False
    """Only say what would be forgotten."""
    refuse_future: bool = False
    """Refuse what comes of the patient from now on."""


def make_withdrawal_router(
    *, dispatch: Dispatch, unit_of_work: Callable[..., Any], site_key: SiteKeyFile, finding: Finding
) -> APIRouter:
    """Return the endpoints, each bound to what it needs."""
    router = APIRouter(prefix="/v1")

    @router.post("/withdraw")
    def withdraw(body: Withdrawal, principal: Asking) -> dict[str, Any]:
        """Forget studies everywhere, and refuse them from now on. `before` of a single one is received, withdrawn or unknown."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        _check(body)
        if body.study_instance_uid or body.study_key:
            return one_study(body, principal)
        identity = PatientIdentity(issuer=body.issuer, patient_id=body.patient_id)
        names = site_key.ring.names(identity, "").patients
        study_keys = finding.of_patient(names.values()) if body.patient_id else None
        if body.accession_number:
            accessed = finding.of_accession_number(body.accession_number)
            study_keys = [key for key in accessed if study_keys is None or key in study_keys]
        assert study_keys is not None  # one of the two was given
        answer: dict[str, Any] = {
            "studies": finding.what_hangs_on(study_keys),
            "other_issuers": finding.of_other_issuers(identity) if body.patient_id else 0,
            "dry_run": body.dry_run,
            "refused_from_now_on": body.refuse_future and not body.dry_run,
        }
        noted(principal, [study["study_key"] for study in answer["studies"]])
        if body.dry_run:
            return answer
        if body.refuse_future:
            with unit_of_work(read_only=True) as uow:
                patient, version = site_key.ring.patient(identity, uow.patients)
            # Before its studies go, so that none slips in between.
            dispatch(RefusePatient(patient, version, body.reason, principal.subject))
        for study in answer["studies"]:
            dispatch(WithdrawStudy(study["study_key"], body.reason, principal.subject))
        return answer

    @router.post("/patients/admit")
    def admit(body: PatientNamed, principal: Asking) -> dict[str, Any]:
        """Take in again what comes of a patient who was refused; what was withdrawn stays withdrawn."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        names = site_key.ring.names(PatientIdentity(issuer=body.issuer, patient_id=body.patient_id), "")
        dispatch(AdmitPatient(tuple(names.patients.values()), principal.subject))
        return {"refused_from_now_on": False}

    def one_study(body: Withdrawal, principal: Principal) -> dict[str, Any]:
        keys = site_key.ring
        study_key, version = body.study_key, keys.current
        with unit_of_work(read_only=True) as uow:
            if body.study_instance_uid:
                study_key, version = keys.study_key(body.study_instance_uid, uow.patients)
            known, withdrawn = uow.studies.get(study_key) is not None, uow.tombstones.has(study_key)
        if body.study_key and not (known or withdrawn):
            raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
        before = "withdrawn" if withdrawn else "received" if known else "unknown"
        if body.dry_run:
            noted(principal, [study_key])
            return {"study_key": study_key, "before": before, "dry_run": True} | {
                "studies": finding.what_hangs_on([study_key])
            }
        dispatch(WithdrawStudy(study_key, body.reason, principal.subject, version))
        return {"study_key": study_key, "before": before}

    def noted(principal: Principal, study_keys: list[str]) -> None:
        """Looking for a patient's studies says whose they are: who looked is on record."""
        with unit_of_work() as uow:
            for study_key in study_keys:
                uow.audit(principal.subject, "look-for-withdrawal", study_key)
            uow.commit()

    return router


def _check(body: Withdrawal) -> None:
    studies, patients = bool(body.study_instance_uid) + bool(body.study_key), body.patient_id or body.accession_number
    if studies + bool(patients) != 1:
        raise Invalid(
            "withdrawal-unclear",
            expected="study_instance_uid, or study_key, or patient_id and accession_number or one of them",
            got="none or several",
        )
    if not body.patient_id and (body.issuer or body.refuse_future):
        raise Invalid("withdrawal-unclear", expected="patient_id beside issuer and refuse_future", got="none")
