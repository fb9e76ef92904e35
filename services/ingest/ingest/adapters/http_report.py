"""The report of what de-identification changed in a study, for the site's administrator and its auditors."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydicom.datadict import keyword_for_tag

from ingest.adapters.sql_profiles import Reports
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]


def make_report_router(reports: Reports, unit_of_work: Callable[..., Any]) -> APIRouter:
    """Return the endpoint; ``unit_of_work()`` opens a transaction, for the audit trail."""
    router = APIRouter(prefix="/v1")

    @router.get("/studies/{study_key}/deidentification")
    def deidentification(study_key: str, principal: Asking) -> dict[str, Any]:
        """What was changed in a study: by profile and action the attributes and in how many instances; no value."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.AUDITOR)
        found = reports.of_study(study_key)
        for profile in found["profiles"]:
            for attributes in profile["actions"].values():
                for one in attributes:
                    one["keyword"] = _keyword(one["attribute"])
        with unit_of_work() as uow:
            uow.audit(principal.subject, "view-deidentification", study_key)
            uow.commit()
        return found

    return router


def _keyword(attribute: str) -> str:
    try:
        return keyword_for_tag(int(attribute, 16))
    except ValueError:  # a private attribute, or a group
        return ""
