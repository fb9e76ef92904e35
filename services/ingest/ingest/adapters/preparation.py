"""From a sender's bytes to a de-identified instance, wholly in memory: parse, take what is needed, clean, encode."""

from dataclasses import dataclass

from ingest.adapters.cleaning import Cleaner
from ingest.adapters.encoding import encode, stored_syntax
from ingest.adapters.extraction import header_of, identity_of, routing_of, suspicion_of
from ingest.adapters.parsing import Parsed, RefusedInstance, parse
from ingest.adapters.vault import Vault
from ingest.domain.model import SeriesRecord, SliceHeader, StudyRecord
from ingest.domain.pseudonyms import Pseudonyms
from ingest.domain.reasons import Refused


@dataclass(frozen=True, slots=True)
class Prepared:
    """A de-identified instance in memory, ready to be stored."""

    data: bytes
    header: SliceHeader
    sop_key: str
    study: StudyRecord
    series: SeriesRecord
    suspicion: str | None


class Preparation:
    """Prepares instances for storing.

    Parameters
    ----------
    pseudonyms : Pseudonyms
    cleaner : Cleaner
    vault : Vault
        Seals who the study is about, and what routing needs.
    """

    def __init__(self, pseudonyms: Pseudonyms, cleaner: Cleaner, vault: Vault) -> None:
        self._pseudonyms, self._cleaner, self._vault = pseudonyms, cleaner, vault

    def prepare(self, data: bytes, transfer_syntax_uid: str | None, called_ae_title: str) -> Prepared:
        """Return the instance as it will be stored.

        Parameters
        ----------
        data : bytes
            A Part 10 file, or an encoded data set in ``transfer_syntax_uid``.
        transfer_syntax_uid : str or None
        called_ae_title : str
            Title the sender called; empty for an upload.

        Raises
        ------
        Refused
            See `parsing.parse`; also UNDECODABLE for what only shows when every element is looked at.
        """
        parsed = parse(data, transfer_syntax_uid)
        uid = self._pseudonyms.uid
        identity = identity_of(parsed)
        patient = self._pseudonyms.patient(identity, parsed.study_instance_uid)
        study_key, series_key = uid(parsed.study_instance_uid), uid(parsed.series_instance_uid)
        routing = routing_of(parsed, called_ae_title)
        header = header_of(parsed, stored_syntax(parsed.transfer_syntax_uid))
        suspicion = suspicion_of(parsed)
        sealed_identity = self._vault.seal_fields(
            {
                "study_instance_uid": parsed.study_instance_uid,
                "patient_id": identity.patient_id,
                "issuer": identity.issuer,
            }
        )
        sealed_routing = self._vault.seal_fields(
            {
                "called_ae_title": routing.called_ae_title,
                "modality": routing.modality,
                "body_part": routing.body_part,
                "description": routing.description,
            }
        )
        data, header = self._clean(parsed, patient, header)
        return Prepared(
            data=data,
            header=header,
            sop_key=uid(parsed.sop_instance_uid),
            study=StudyRecord(study_key, patient, sealed_identity),
            series=SeriesRecord(series_key, study_key, sealed_routing),
            suspicion=suspicion,
        )

    def _clean(self, parsed: Parsed, patient: str, header: SliceHeader) -> tuple[bytes, SliceHeader]:
        try:
            self._cleaner.clean(parsed.ds, patient)
            return encode(parsed, header, self._pseudonyms.uid(parsed.sop_instance_uid))
        except Refused as refused:
            raise RefusedInstance(
                refused.reason, refused.detail, parsed.study_instance_uid, parsed.series_instance_uid
            ) from refused
