"""Fakes of the repositories of what goes back to the archive."""

import dataclasses
from collections.abc import Sequence

from ingest.domain.exports import Export, ExportSource
from ingest.domain.messages import NoteDisclosure
from ingest.domain.model import Original


class FakeOriginals:
    def __init__(self) -> None:
        self.rows: dict[str, Original] = {}

    def has(self, sop_key: str) -> bool:
        return sop_key in self.rows

    def add(self, original: Original) -> None:
        self.rows.setdefault(original.sop_key, original)

    def sealed(self, sop_keys: Sequence[str]) -> dict[str, str]:
        return {key: self.rows[key].sealed for key in sop_keys if key in self.rows}

    def forget(self, study_key: str) -> None:
        self.rows = {key: row for key, row in self.rows.items() if row.study_key != study_key}


class FakeExports:
    def __init__(self) -> None:
        self.sources: dict[str, ExportSource] = {}
        self.rows: dict[str, Export] = {}
        self.disclosures: list[NoteDisclosure] = []

    def add_source(self, source: ExportSource, at: float) -> None:
        self.sources.setdefault(source.source_id, source)

    def source(self, source_id: str) -> ExportSource | None:
        return self.sources.get(source_id)

    def sources_of(self, case_id: str) -> list[ExportSource]:
        return [source for source in self.sources.values() if source.case_id == case_id]

    def get(self, export_id: str) -> Export | None:
        return self.rows.get(export_id)

    def save(self, export: Export) -> None:
        self.rows[export.export_id] = export

    def next_due(self, now: float) -> str | None:
        waiting = [row for row in self.rows.values() if row.state in ("waiting", "sending") and row.due_at <= now]
        return min(waiting, key=lambda row: row.due_at).export_id if waiting else None

    def take_back(self, now: float) -> None:
        for row in self.rows.values():
            if row.state == "sending":
                self.rows[row.export_id] = dataclasses.replace(row, due_at=now)

    def forget(self, study_key: str) -> None:
        self.sources = {key: row for key, row in self.sources.items() if row.study_key != study_key}
        self.rows = {key: row for key, row in self.rows.items() if row.study_key != study_key}

    def note_disclosure(self, noted: NoteDisclosure, at: float) -> None:
        self.disclosures.append(noted)
