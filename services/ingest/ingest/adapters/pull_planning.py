"""Which studies a pull will fetch: an archive is asked, its answers are matched again, priors are added, what is here is seen.

A dry run ends here; a pull keeps the list, with everything that identifies anybody encrypted.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingest.adapters.vault import Vault
from ingest.domain.cohorts import Found, by_kind_and_year, kind_of, matches, newest, priors_of
from ingest.domain.keys import KeyRing
from ingest.domain.pseudonyms import PatientIdentity
from ingest.domain.pulls import Entry, Fate, Order, Query, estimated_s
from ingest.ports.pulling import ArchiveConnection

_UNMEASURED_BYTES = 530_000
"""Of an instance of a modality of which nothing is stored yet: 512 x 512 pixels of 16 bits, and a header."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A study to fetch, and what is here of it."""

    found: Found = field(repr=False)
    study_key: str
    prior: bool
    present: int
    withdrawn: bool

    @property
    def known(self) -> bool:
        """Whether all of it is here."""
        return bool(self.found.instances) and self.present >= (self.found.instances or 0)

    @property
    def wanted(self) -> bool:
        """Whether it is to be fetched."""
        return not self.known and not self.withdrawn


@dataclass(frozen=True, slots=True)
class Plan:
    """The studies of an order: per query, and all of them, each once, priors last."""

    found: tuple[tuple[Found, ...], ...]
    studies: tuple[Planned, ...]


class Planning:
    """Makes plans.

    Parameters
    ----------
    unit_of_work : callable
        Makes a read-only unit of work.
    keys : callable
        Returns the key versions as they are now.
    vault : Vault
    mean_bytes : callable
        Returns the mean size in bytes of what is stored, by modality.
    """

    def __init__(
        self,
        unit_of_work: Callable[[], Any],
        keys: Callable[[], KeyRing],
        vault: Vault,
        mean_bytes: Callable[[], dict[str, float]],
    ) -> None:
        self._unit_of_work, self._keys, self._vault, self._mean_bytes = unit_of_work, keys, vault, mean_bytes

    def plan(self, order: Order, archive: ArchiveConnection) -> Plan:
        """Ask an archive for the studies of an order.

        Raises
        ------
        TemporaryError, PermanentError
            As `ports.ArchiveConnection`.
        """
        found = tuple(tuple(_found(query, archive)) for query in order.queries)
        cohort = newest((study for each in found for study in each), None)
        priors: list[Found] = []
        if order.priors:
            priors = _priors(cohort, order.priors, archive)
        studies = [self._planned(study, prior=False) for study in cohort]
        studies += [self._planned(study, prior=True) for study in priors]
        return Plan(found, tuple(studies))

    def entries(self, pull_id: str, plan: Plan) -> tuple[Entry, ...]:
        """Return a plan's studies as those of a pull, who they are about encrypted."""
        version = self._keys().current
        return tuple(
            Entry(
                entry_id=str(uuid.uuid4()),
                pull_id=pull_id,
                position=position,
                study_key=planned.study_key,
                fate=_fate(planned),
                identity=self._sealed(planned.found) if planned.wanted else "",
                vault_version=version,
                modality=kind_of(planned.found),
                prior=planned.prior,
                expected=planned.found.instances,
                present=planned.present,
            )
            for position, planned in enumerate(plan.studies)
        )

    def summary(self, order: Order, plan: Plan) -> dict[str, Any]:
        """Return what a plan would fetch, in numbers; no study is named.

        Returns
        -------
        dict
            ``studies`` are all, ``to_pull`` those that are neither here nor withdrawn. ``estimated_bytes`` is by the mean size of what
            is stored of the same modality; ``estimated_s`` is at the throttle, in hours that the window is open, None without one.
        """
        wanted = [planned for planned in plan.studies if planned.wanted]
        instances = sum(planned.found.instances or 0 for planned in wanted)
        means = self._mean_bytes()
        sizes = (
            (planned.found.instances or 0) * means.get(kind_of(planned.found), _UNMEASURED_BYTES) for planned in wanted
        )
        seconds = estimated_s(order.throttle, len(wanted), instances)
        nights = None if seconds is None or order.window is None else seconds / order.window.length_s
        return {
            "queries": [{"studies": len(each), "instances": _instances(each)} for each in plan.found],
            "by_modality_and_year": by_kind_and_year([planned.found for planned in plan.studies]),
            "studies": len(plan.studies),
            "priors": sum(planned.prior for planned in plan.studies),
            "known": sum(planned.known for planned in plan.studies),
            "partly_known": sum(0 < planned.present and planned.wanted for planned in plan.studies),
            "withdrawn": sum(planned.withdrawn for planned in plan.studies),
            "to_pull": len(wanted),
            "instances_to_pull": instances,
            "uncounted": sum(planned.found.instances is None for planned in wanted),
            "estimated_bytes": round(sum(sizes)),
            "estimated_s": None if seconds is None else round(seconds),
            "estimated_windows": None if nights is None else round(nights, 1),
        }

    def keys_of(self, found: Found) -> tuple[str, tuple[str, ...]]:
        """Return the key a study has or would get, and all it could have."""
        keys = self._keys()
        names = keys.names(PatientIdentity(found.issuer, found.patient_id), found.study_instance_uid)
        with self._unit_of_work() as uow:
            chosen = keys.choose(names, uow.patients)
        return names.study_keys[chosen.study], tuple(names.study_keys.values())

    def here(self, study_keys: Sequence[str]) -> tuple[int, bool]:
        """Return how many instances of a study are here, and whether it was withdrawn."""
        with self._unit_of_work() as uow:
            return uow.pulls.present(study_keys), any(uow.tombstones.has(key) for key in study_keys)

    def found_of(self, entry: Entry) -> Found:
        """Return whom a study of a pull is about."""
        return Found(**self._vault.open_fields(entry.identity))

    def _planned(self, found: Found, *, prior: bool) -> Planned:
        study_key, every = self.keys_of(found)
        present, withdrawn = self.here(every)
        return Planned(found, study_key, prior, present, withdrawn)

    def _sealed(self, found: Found) -> str:
        names = ("study_instance_uid", "patient_id", "issuer")
        return self._vault.seal_fields({name: getattr(found, name) for name in names})


def _found(query: Query, archive: ArchiveConnection) -> list[Found]:
    studies = newest((study for study in archive.find(query) if matches(study, query)), None)
    if query.body_part:
        with_parts = (replace(s, body_parts=archive.body_parts(s.study_instance_uid)) for s in studies)
        studies = _at_most((s for s in with_parts if query.body_part in s.body_parts), query.at_most)
    return studies[: query.at_most]


def _at_most(studies: Iterable[Found], at_most: int | None) -> list[Found]:
    """Return the first studies, asking for no more of them than that."""
    taken: list[Found] = []
    for study in studies:
        taken.append(study)
        if len(taken) == at_most:
            break
    return taken


def _priors(cohort: Sequence[Found], at_most: int, archive: ArchiveConnection) -> list[Found]:
    """Return earlier studies of the cohort's patients that are not in it themselves."""
    of_patient: dict[str, list[Found]] = {}
    parts: dict[str, frozenset[str]] = {}

    def with_parts(study: Found) -> Found:
        uid = study.study_instance_uid
        if uid not in parts:
            parts[uid] = study.body_parts or archive.body_parts(uid)
        return replace(study, body_parts=parts[uid])

    chosen: list[Found] = []
    for study in cohort:
        if not study.patient_id:
            continue
        if study.patient_id not in of_patient:
            of_patient[study.patient_id] = archive.find(Query(patient_ids=(study.patient_id,)))
        # All that fit but for the body part, which takes a request for each.
        candidates = priors_of(study, of_patient[study.patient_id], len(of_patient[study.patient_id]))
        if candidates:
            chosen += priors_of(with_parts(study), map(with_parts, candidates), at_most)
    in_cohort = {study.study_instance_uid for study in cohort}
    return newest((study for study in chosen if study.study_instance_uid not in in_cohort), None)


def _fate(planned: Planned) -> Fate:
    if planned.withdrawn:
        return Fate.WITHDRAWN
    return Fate.KNOWN if planned.known else Fate.WAITING


def _instances(found: Sequence[Found]) -> int:
    return sum(study.instances or 0 for study in found)
