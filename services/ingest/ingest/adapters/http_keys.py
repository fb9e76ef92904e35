"""The HTTP side of the site key: which versions there are and what needs them, a rotation, and letting go of one."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from ingest.adapters.reception import Dispatch
from ingest.adapters.site_key import SiteKeyFile
from ingest.domain.messages import AdoptSiteKeys, DropSiteKey
from radloop.auth import Principal, Role
from radloop.http import authenticated

_SITE = "*"

Asking = Annotated[Principal, Depends(authenticated)]


def make_keys_router(*, dispatch: Dispatch, unit_of_work: Callable[..., Any], site_key: SiteKeyFile) -> APIRouter:
    """Return the endpoints under ``/v1/keys``; no key is ever answered."""
    router = APIRouter(prefix="/v1/keys")

    def versions() -> dict[str, Any]:
        with unit_of_work(read_only=True) as uow:
            fingerprints, needs, current = uow.site_keys.fingerprints(), uow.site_keys.needs(), uow.site_keys.current()
        return {
            "current": current,
            "versions": [
                {"version": version, "fingerprint": fingerprint, "needed_by": needs.get(version, {})}
                for version, fingerprint in fingerprints.items()
            ],
        }

    @router.get("")
    def show(principal: Asking) -> dict[str, Any]:
        """Fingerprint of each key version, and counts of what needs it."""
        principal.require(_SITE, Role.SITE_ADMIN, Role.AUDITOR)
        return versions()

    @router.post("/rotate")
    def rotate(principal: Asking) -> dict[str, Any]:
        """Make a new version: who is new from now on is named under it, and the vault is encrypted with it."""
        principal.require(_SITE, Role.SITE_ADMIN)
        # The file first: a version that the index knows must never be missing from it. Killed between the two, the next
        # start takes it up.
        site_key.add()
        dispatch(AdoptSiteKeys(tuple(site_key.ring.fingerprints.items()), principal.subject))
        return versions()

    @router.post("/{version}/drop")
    def drop(version: int, principal: Asking) -> dict[str, Any]:
        """Let go of a version that nothing needs."""
        principal.require(_SITE, Role.SITE_ADMIN)
        dispatch(DropSiteKey(version, principal.subject))
        site_key.drop(version)
        return versions()

    return router
