"""From a sender's bytes to a de-identified instance, wholly in memory: parse, take what is needed, clean, encode."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ingest.adapters.cleaning import Cleaner
from ingest.adapters.encoding import encode, stored_syntax
from ingest.adapters.extraction import header_of, identity_of, routing_of, searched_of, series_of, suspicion_of
from ingest.adapters.parsing import Parsed, RefusedInstance, parse
from ingest.adapters.restoring import instance_fields, study_fields
from ingest.adapters.vault import Vault
from ingest.domain.changes import Changes
from ingest.domain.deidentification import Profile
from ingest.domain.keys import Chosen, KeyRing, Names
from ingest.domain.model import Original, SeriesRecord, SliceHeader, StudyRecord
from ingest.domain.pseudonyms import Pseudonyms
from ingest.domain.reasons import Refused
from radloop.references import digest_of

_LATELY = 64
"""How many sealed texts are kept: one for each series that is being received, and one for its study."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A de-identified instance in memory, ready to be stored."""

    data: bytes
    digest: str
    header: SliceHeader
    sop_key: str
    study: StudyRecord
    series: SeriesRecord
    suspicion: str | None
    names: Names
    changes: Changes
    original: Original


class Preparation:
    """Prepares instances for storing.

    Parameters
    ----------
    keys : callable
        Returns the key versions as they are now.
    unit_of_work : callable
        Makes a read-only unit of work, to see which version a study and its patient are known under.
    profile : Profile
    vault : Vault
        Seals who the study is about, and what routing needs.
    """

    def __init__(
        self,
        keys: Callable[[], KeyRing],
        unit_of_work: Callable[[], AbstractContextManager[Any]],
        profile: Profile,
        vault: Vault,
    ) -> None:
        self._keys, self._unit_of_work, self._profile, self._vault = keys, unit_of_work, profile, vault
        self._lately_sealed: dict[tuple[int, str], str] = {}

    def prepare(self, data: bytes | memoryview, transfer_syntax_uid: str | None, called_ae_title: str) -> Prepared:
        """Return the instance as it will be stored.

        Parameters
        ----------
        data : bytes or memoryview
            A Part 10 file, or an encoded data set in ``transfer_syntax_uid``.
        transfer_syntax_uid : str or None
        called_ae_title : str
            Title the sender called; empty for an upload.

        Raises
        ------
        Refused
            See `parsing.parse`; also UNDECODABLE for what only shows when every element is looked at.
        """
        parsed = parse(data, transfer_syntax_uid, self._profile.site.documents)
        keys = self._keys()
        identity = identity_of(parsed)
        names = keys.names(identity, parsed.study_instance_uid)
        if len(keys.versions) == 1:
            chosen = Chosen(keys.current, keys.current)
        else:
            with self._unit_of_work() as uow:
                chosen = keys.choose(names, uow.patients)
        of_study, of_patient = keys[chosen.study], keys[chosen.patient]
        patient = names.patients[chosen.patient]
        study_key, series_key = names.study_keys[chosen.study], of_study.uid(parsed.series_instance_uid)
        routing = routing_of(parsed, called_ae_title)
        header = header_of(parsed, stored_syntax(parsed.transfer_syntax_uid))
        suspicion = suspicion_of(parsed)
        # Before anything is sealed: a newer one that comes in between is put right by whoever seals anew.
        vault_version = keys.current
        sealed_identity = self._sealed(study_fields(parsed))
        sealed_original = self._vault.seal_fields(instance_fields(parsed))
        sealed_routing = self._sealed(
            {
                "called_ae_title": routing.called_ae_title,
                "modality": routing.modality,
                "body_part": routing.body_part,
                "description": routing.description,
            }
        )
        sop_key = of_study.uid(parsed.sop_instance_uid)
        cleaned, header, changes = self._clean(parsed, of_study, patient, of_patient.days_back(patient), header)
        return Prepared(
            data=cleaned,
            digest=digest_of(cleaned),
            header=header,
            sop_key=sop_key,
            study=StudyRecord(
                study_key,
                patient,
                sealed_identity,
                chosen.study,
                chosen.patient,
                vault_version,
                searched_of(parsed.ds),
            ),
            series=SeriesRecord(series_key, study_key, sealed_routing, vault_version, **series_of(parsed.ds)),
            suspicion=suspicion,
            names=names,
            changes=changes,
            original=Original(sop_key, study_key, sealed_original, vault_version),
        )

    def _sealed(self, fields: dict[str, Any]) -> str:
        """Seal what every instance of a study or series has alike, once for all that come one after the other."""
        asked = (self._keys().current, json.dumps(fields))
        found = self._lately_sealed.get(asked)
        if found is None:
            found = self._vault.seal_fields(fields)
            if len(self._lately_sealed) >= _LATELY:
                self._lately_sealed.clear()
            self._lately_sealed[asked] = found
        return found

    def _clean(
        self, parsed: Parsed, of_study: Pseudonyms, patient: str, days_back: int, header: SliceHeader
    ) -> tuple[bytes, SliceHeader, Changes]:
        try:
            cleaner = Cleaner(self._profile, of_study)
            changes = cleaner.clean(parsed.ds, patient, days_back, document=parsed.is_document)
            return *encode(parsed, header, of_study.uid(parsed.sop_instance_uid)), changes
        except Refused as refused:
            raise RefusedInstance(
                refused.reason, refused.detail, parsed.study_instance_uid, parsed.series_instance_uid
            ) from refused
