"""The fake of `ports.Pulls`."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from ingest.domain.pulls import LEFT, Entry, Fate, Pull, PullState


class FakePulls:
    def __init__(self, instances: Any, held: Any) -> None:
        self.rows: dict[str, Pull] = {}
        self.entries: dict[str, Entry] = {}
        self._instances, self._held = instances, held

    def get(self, pull_id: str) -> Pull | None:
        return self.rows.get(pull_id)

    def save(self, pull: Pull) -> None:
        known = self.rows.get(pull.pull_id, pull)
        self.rows[pull.pull_id] = dataclasses.replace(pull, order=known.order, vault_version=known.vault_version)

    def going(self) -> list[Pull]:
        found = [pull for pull in self.rows.values() if pull.state in (PullState.PLANNED, PullState.RUNNING)]
        return sorted(found, key=lambda pull: (pull.created_at, pull.pull_id))

    def add_entries(self, entries: Sequence[Entry]) -> None:
        self.entries |= {entry.entry_id: entry for entry in entries}

    def entry(self, entry_id: str) -> Entry | None:
        return self.entries.get(entry_id)

    def save_entry(self, entry: Entry) -> None:
        self.entries[entry.entry_id] = entry

    def _of(self, pull_id: str) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.pull_id == pull_id]

    def next_entry(self, pull_id: str, now: float) -> Entry | None:
        due = [entry for entry in self._of(pull_id) if entry.fate in LEFT and entry.not_before <= now]
        return min(due, key=lambda entry: (entry.fate is not Fate.RETRIEVING, entry.position), default=None)

    def counts(self, pull_id: str) -> dict[Fate, int]:
        return dict(Counter(entry.fate for entry in self._of(pull_id)))

    def retry_failed(self, pull_id: str) -> None:
        for entry in self._of(pull_id):
            if entry.fate is Fate.FAILED:
                again = dataclasses.replace(entry, fate=Fate.WAITING, attempts=0, not_before=0.0, ended_at=0.0)
                self.save_entry(again)

    def present(self, study_keys: Collection[str]) -> int:
        here = {key for key, (_, one) in self._instances.rows.items() if one.study_key in study_keys}
        return len(here | {one.sop_key for one in self._held.rows.values() if one.study_key in study_keys})

    def forget(self, study_key: str) -> None:
        for entry in [one for one in self.entries.values() if one.study_key == study_key]:
            self.save_entry(dataclasses.replace(entry, fate=Fate.WITHDRAWN, identity=""))
