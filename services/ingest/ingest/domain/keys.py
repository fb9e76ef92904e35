"""The versions of a site's key: the newest is for who is new, each older one for whoever was known under it.

So a rotation changes no pseudonym, no UID and no date of a patient or study that is known. Nobody remembers originals: who
comes in is pseudonymised under every version, and looked for under each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ingest.domain.pseudonyms import PatientIdentity, Pseudonyms
from radloop.errors import Invalid

FIRST_VERSION = 1


class Known(Protocol):
    """Who and what was pseudonymised before."""

    def knows_study(self, study_key: str) -> bool:
        """Whether a study is here, or was withdrawn."""
        ...

    def patient_version(self, patient: str) -> int | None:
        """Return the key version of a site-wide pseudonym; None when it is new."""
        ...

    def knows_split(self, project_id: str, patient_key: str) -> bool:
        """Whether a patient's split was decided in a project."""
        ...

    def project_ids(self) -> list[str]:
        """Return the projects there are."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """The key versions of a study and of its patient: they differ when a known study comes back with a known other patient."""

    study: int
    patient: int


@dataclass(frozen=True, slots=True)
class Names:
    """One study and its patient under every key version, newest first."""

    study_keys: Mapping[int, str]
    patients: Mapping[int, str]

    @property
    def newest(self) -> int:
        """The newest version they were named under."""
        return next(iter(self.study_keys))


class KeyRing:
    """All key versions of one site.

    Parameters
    ----------
    keys : Mapping of int to bytes
        32 random bytes by version.

    Raises
    ------
    Invalid
        When there is none, or one has another length.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys or min(keys) < FIRST_VERSION:
            raise Invalid("site-key-invalid", expected="a key of version 1 or higher", got="none")
        self._pseudonyms = {version: Pseudonyms(keys[version]) for version in sorted(keys, reverse=True)}
        self.current = max(keys)

    def __getitem__(self, version: int) -> Pseudonyms:
        """Return the pseudonyms under a version.

        Raises
        ------
        Invalid
            There is no such version.
        """
        if version not in self._pseudonyms:
            raise Invalid(
                "site-key-unknown",
                expected=f"a key version of {sorted(self._pseudonyms)}",
                got=str(version),
                do="restore the file INGEST_SITE_KEY_FILE names",
            )
        return self._pseudonyms[version]

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version, newest first."""
        return tuple(self._pseudonyms)

    @property
    def fingerprints(self) -> dict[int, str]:
        """Fingerprint of every version, oldest first."""
        return {version: self._pseudonyms[version].fingerprint for version in reversed(self._pseudonyms)}

    @property
    def vault_keys(self) -> list[bytes]:
        """Keys of the vault, newest first."""
        return [pseudonyms.vault_key for pseudonyms in self._pseudonyms.values()]

    def names(self, identity: PatientIdentity, study_instance_uid: str) -> Names:
        """Return a study's and its patient's pseudonyms under every version."""
        return Names(
            {version: each.uid(study_instance_uid) for version, each in self._pseudonyms.items()},
            {version: each.patient(identity, study_instance_uid) for version, each in self._pseudonyms.items()},
        )

    def choose(self, names: Names, known: Known) -> Chosen:
        """Return the versions under which a study and its patient go on, or begin.

        A study keeps its version. A new study of a known patient takes the patient's, so that what refers from study to
        study, such as Frame of Reference UIDs, stays in one piece.
        """
        if len(self._pseudonyms) == 1:
            return Chosen(self.current, self.current)
        study = next((version for version, key in names.study_keys.items() if known.knows_study(key)), None)
        patient = self._patient_version(names, known) or study or self.current
        return Chosen(study or patient, patient)

    def study_key(self, study_instance_uid: str, known: Known) -> tuple[str, int]:
        """Return a study's key and its version: as it is known, else under the newest version."""
        keys = {version: each.uid(study_instance_uid) for version, each in self._pseudonyms.items()}
        version = next((version for version, key in keys.items() if known.knows_study(key)), self.current)
        return keys[version], version

    def patient(self, identity: PatientIdentity, known: Known) -> tuple[str, int]:
        """Return the site-wide pseudonym of a patient with an id, and its version."""
        names = self.names(identity, "")
        version = self._patient_version(names, known) or self.current
        return names.patients[version], version

    def _patient_version(self, names: Names, known: Known) -> int | None:
        for version, patient in names.patients.items():
            if known.patient_version(patient) == version:
                return version
        # Not seen yet, but a list may have decided the split.
        projects = known.project_ids()
        for version, patient in names.patients.items():
            each = self._pseudonyms[version]
            if any(known.knows_split(project, each.patient_key(project, patient)) for project in projects):
                return version
        return None
