"""Keyed pseudonyms: the same original always gives the same pseudonym at one site, and nobody without the key goes back.

Everything is HMAC-SHA256 of the site key under a label of its own, so that knowing one kind of pseudonym tells nothing
about another. Nothing is looked up, so nothing has to be stored to stay stable over restarts.
"""

import hashlib
import hmac
import uuid
from dataclasses import dataclass

from radloop.errors import Invalid

KEY_BYTES = 32
_SHORTEST_SHIFT_DAYS = 365
_SHIFT_RANGE_DAYS = 3650


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """Who a patient is outside: never stored, never logged.

    Attributes
    ----------
    issuer : str
        Issuer of Patient ID (0010,0021), empty when absent.
    patient_id : str
        Patient ID (0010,0020), empty when absent.
    """

    issuer: str
    patient_id: str


class Pseudonyms:
    """All pseudonyms of one site.

    Parameters
    ----------
    site_key : bytes
        32 random bytes, secret.

    Raises
    ------
    Invalid
        When the key has another length.
    """

    def __init__(self, site_key: bytes) -> None:
        if len(site_key) != KEY_BYTES:
            raise Invalid("site-key-invalid", expected=f"{KEY_BYTES} bytes", got=f"{len(site_key)} bytes")
        self._keys = {label: hmac.digest(site_key, label.encode(), "sha256") for label in _LABELS}

    def _digest(self, label: str, *parts: str) -> bytes:
        # The length before each part keeps ("ab", "c") and ("a", "bc") apart.
        message = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.digest(self._keys[label], message.encode(), "sha256")

    @property
    def fingerprint(self) -> str:
        """Tells one site key from another without giving it away; 16 hex digits."""
        return self._digest("fingerprint").hex()[:16]

    @property
    def vault_key(self) -> bytes:
        """32 bytes for encrypting what must be kept identified at the site."""
        return self._keys["vault"]

    def uid(self, original: str) -> str:
        """Return the pseudonym of a UID: ``2.25.<UUID as a decimal>`` (PS3.5 Annex B.2), at most 44 characters."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', original)[:16], version=5).int}"

    def patient(self, identity: PatientIdentity, study_instance_uid: str) -> str:
        """Return the site-wide pseudonym of a patient: 32 hex digits.

        A study without Patient ID is a patient of its own: two nameless studies must not become one person.
        """
        if not identity.patient_id:
            return self._digest("nameless", study_instance_uid).hex()[:32]
        return self._digest("patient", identity.issuer, identity.patient_id).hex()[:32]

    def patient_key(self, project_id: str, patient: str) -> str:
        """Return the pseudonym of a patient in one project, from the site-wide one; other projects cannot link it."""
        return f"patient-{self._digest('project', project_id, patient).hex()[:16]}"

    def days_back(self, patient: str) -> int:
        """Return by how many days a patient's dates are moved into the past: 365 to 4014, the same for all studies."""
        return _SHORTEST_SHIFT_DAYS + int.from_bytes(self._digest("dates", patient)[:4]) % _SHIFT_RANGE_DAYS

    def fraction(self, project_id: str, patient_key: str) -> float:
        """Return a uniform number in [0, 1) that decides a patient's split in a project."""
        return int.from_bytes(self._digest("split", project_id, patient_key)[:8]) / 2**64


_LABELS = ("uid", "patient", "nameless", "project", "dates", "split", "vault", "fingerprint")


def case_id(site: str, project_id: str, series_keys: list[str], phase: int, rule_version: int) -> str:
    """Return the identity of a case: UUIDv5 of what it is made of, so that forming it twice gives it once."""
    name = "/".join([site, project_id, *sorted(series_keys), str(phase), str(rule_version)])
    return str(uuid.uuid5(_CASE_NAMESPACE, name))


_CASE_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://radloop.io/case")


def content_id(*parts: str) -> str:
    """Return a UUIDv5 of parts, for rows that must come out the same when the same thing happens again."""
    return str(uuid.uuid5(_CASE_NAMESPACE, hashlib.sha256("\0".join(parts).encode()).hexdigest()))
