"""Fakes of the ports that keep patients private: keys, profiles, changes, refused patients, what retention looks at."""

from collections.abc import Collection

from ingest.domain.changes import Changes
from ingest.domain.reasons import WithdrawReason


class FakeChanges:
    def __init__(self) -> None:
        self.rows: dict[str, Changes] = {}

    def remember(self, changes: Changes) -> None:
        self.rows[changes.digest] = changes


class FakeSiteProfiles:
    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def fingerprint(self, label: str) -> str | None:
        return self.rows.get(label)

    def remember(self, label: str, fingerprint: str, body: str, at: float) -> None:
        assert label not in self.rows
        self.rows[label] = fingerprint


class FakeRefusedPatients:
    def __init__(self) -> None:
        self.rows: dict[str, WithdrawReason] = {}

    def has(self, patients: Collection[str]) -> bool:
        return any(patient in self.rows for patient in patients)

    def add(self, patient: str, reason: WithdrawReason, at: float, key_version: int) -> None:
        self.rows.setdefault(patient, reason)

    def remove(self, patients: Collection[str]) -> int:
        return len([self.rows.pop(patient) for patient in patients if patient in self.rows])


class FakeUsedCases:
    def __init__(self) -> None:
        self.labelled: dict[str, str] = {}
        self.flagged: dict[str, tuple[str, float]] = {}
        self.notices: dict[str, float] = {}

    def label(self, case_id: str, study_key: str) -> None:
        self.labelled.setdefault(case_id, study_key)

    def flag(self, case_id: str, study_key: str, at: float) -> None:
        self.flagged[case_id] = (study_key, at)

    def notice(self, study_key: str, why: str, at: float) -> None:
        self.notices.setdefault(study_key, at)

    def drop_notice(self, study_key: str) -> None:
        self.notices.pop(study_key, None)

    def forget(self, study_key: str) -> None:
        self.labelled = {case: study for case, study in self.labelled.items() if study != study_key}
        self.flagged = {case: row for case, row in self.flagged.items() if row[0] != study_key}
        self.drop_notice(study_key)


class FakeSiteKeys:
    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.needed: dict[int, dict[str, int]] = {}

    def fingerprints(self) -> dict[int, str]:
        return dict(self.rows)

    def current(self) -> int:
        return max(self.rows, default=0)

    def remember(self, version: int, fingerprint: str) -> None:
        self.rows[version] = fingerprint

    def forget(self, version: int) -> None:
        del self.rows[version]

    def needs(self) -> dict[int, dict[str, int]]:
        return self.needed
